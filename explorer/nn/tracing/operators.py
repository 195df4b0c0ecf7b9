"""Torch's operators as the trace meets them: names of arguments, what is written to, and why it has no MACs.

Every operator gets one verdict: COUNTED (it has multiply-adds), ZERO with a reason, or UNKNOWN. Nothing is
zero by default: an operator without a rule, a reason below or one of torch's own tags is unknown.
"""

from functools import cache
from typing import Any, NamedTuple

import torch
from torch._ops import OpOverload

COUNTED, ZERO, UNKNOWN = "counted", "zero", "unknown"

VIEW = "a view: no data is touched"
MOVES = "moves data: counted in copied elements"
ELEMENTWISE = "elementwise: counted in elements"
REDUCTION = "reduction: counted in elements"
NORM = "normalisation: counted in elements"
POOLING = "pooling: counted in windows"
CONSTANT = "makes a constant"
COMPARES = "compares elements"
VALUES = "hands values to Python"

# Operators that torch's tags do not describe, or not in all its versions; without the underscore of in-place ones.
LISTED: dict[str, str] = {
    VIEW: "_unsafe_view unsafe_split unsafe_split_with_sizes unsafe_chunk lift_fresh _reshape_alias as_strided",
    MOVES: """_to_copy cat stack clone constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d
            replication_pad1d replication_pad2d replication_pad3d channel_shuffle native_channel_shuffle copy
            pixel_shuffle pixel_unshuffle im2col repeat roll flip index _unsafe_index index_select index_put
            _unsafe_index_put index_fill index_copy gather scatter slice_scatter select_scatter embedding
            tril triu take masked_scatter masked_select diag_embed repeat_interleave
            upsample_nearest1d upsample_nearest2d upsample_nearest3d""",
    ELEMENTWISE: """_softmax _log_softmax _safe_softmax native_dropout glu upsample_linear1d upsample_bilinear2d
            upsample_trilinear3d upsample_bicubic2d _upsample_bilinear2d_aa _upsample_bicubic2d_aa grid_sampler_2d
            grid_sampler_3d _prelu_kernel hardswish cumsum cumprod logcumsumexp col2im scatter_add scatter_reduce
            index_add _weight_norm_interface""",
    REDUCTION: """sum mean amax amin max min aminmax prod var std var_mean std_mean argmax argmin any all norm
            linalg_vector_norm logsumexp""",
    NORM: """native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training
            _batch_norm_with_update _batch_norm_no_update native_layer_norm native_group_norm _fused_rms_norm""",
    POOLING: """max_pool2d_with_indices max_pool3d_with_indices avg_pool1d avg_pool2d avg_pool3d
            _adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_max_pool2d adaptive_max_pool3d""",
    CONSTANT: """zeros ones full empty arange linspace logspace eye scalar_tensor zeros_like ones_like full_like
            empty_like new_zeros new_ones new_full new_empty new_empty_strided empty_strided rand randn randint
            randperm rand_like randn_like randint_like tril_indices triu_indices fill zero bernoulli uniform normal
            exponential""",
    COMPARES: """sort topk kthvalue median mode searchsorted bucketize nonzero _unique unique_dim _unique2
            unique_consecutive""",
    VALUES: "_local_scalar_dense equal is_nonzero allclose _fused_sdp_choice _linalg_check_errors",
}
REASONS = {name: reason for reason, names in LISTED.items() for name in names.split()}
# What is written over entirely is not read, although it is an argument.
OVERWRITES = frozenset(("copy", "zero", "fill", "bernoulli", "uniform", "normal", "exponential"))


class Operator(NamedTuple):
    """What the trace needs to know of one overload."""

    name: str  # relu, of relu_ too
    title: str  # aten.relu
    arguments: tuple[str, ...]
    defaults: dict[str, Any]
    writes: frozenset[str]  # arguments that are changed in place
    overwrites: bool  # ... without being read
    reason: str | None  # why it has no MACs; None: counted by a rule, or unknown
    asks: bool  # whether Python gets values, which a run without values does not have
    dynamic: bool  # whether the sizes of what it makes may depend on values
    composite: bool  # made of other operators, which are counted instead


@cache
def describe(func: OpOverload[Any, Any]) -> Operator:
    """The schema and tags of an overload; asked once for each."""
    schema = func._schema
    namespace, _, name = schema.name.partition("::")
    arguments = {a.name: a for a in schema.arguments}
    writes = frozenset(n for n, a in arguments.items() if a.alias_info is not None and a.alias_info.is_write)
    if writes and name.endswith("_") and not name.endswith("__"):
        name = name[:-1]
    return Operator(
        name=name if namespace == "aten" else f"{namespace}.{name}",
        title=f"{namespace}.{name}",
        arguments=tuple(arguments),
        defaults={n: a.default_value for n, a in arguments.items() if a.has_default_value()},
        writes=writes,
        overwrites=name in OVERWRITES or any(arguments[n].is_out for n in writes),
        reason=_reason(func, name) if namespace == "aten" else None,
        asks=torch.Tag.data_dependent_output in func.tags,
        dynamic=torch.Tag.dynamic_output_shape in func.tags,
        composite=torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd"),  # type: ignore[no-untyped-call]
    )


def _reason(func: OpOverload[Any, Any], name: str) -> str | None:
    if name in REASONS:
        return REASONS[name]
    if func.is_view or torch.Tag.inplace_view in func.tags:
        return VIEW
    for tag, reason in (("pointwise", ELEMENTWISE), ("reduction", REDUCTION), ("view_copy", MOVES)):
        if getattr(torch.Tag, tag, None) in func.tags:
            return reason
    return None


def bind(op: Operator, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Arguments by the schema's names, defaults included."""
    return {**op.defaults, **dict(zip(op.arguments, args, strict=False)), **kwargs}
