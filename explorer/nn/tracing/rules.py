"""What the operators that the ledger knows by kind do: a function of a few lines for each.

An operator without a function here keeps its own name as its kind (`aten.gelu`), with the elements it reads
and makes. Counts are those of the whole batch.
"""

from collections.abc import Callable
from math import prod
from typing import Any, NamedTuple

from torch import Tensor

from explorer.blocks.graph import Shape
from explorer.nn.tracing.operators import COUNTED, MOVES, UNKNOWN, ZERO, Operator


class Seen(NamedTuple):
    """One executed operation, as a rule sees it."""

    title: str  # aten.relu; the kind of what has no kind of ours
    args: dict[str, Any]  # by the schema's names
    out: Tensor  # the first tensor it made
    values: int  # how many of its arguments are computed by the network
    depends: Callable[[Tensor], bool]  # whether a tensor depends on the image
    batch: int

    def size(self, name: str) -> tuple[int, ...]:
        """Sizes of a tensor argument."""
        return tuple(self.args[name].shape)


class Found(NamedTuple):
    """The kind of an operation and the counts that its elements alone do not give."""

    kind: str
    attrs: dict[str, Any] = {}  # noqa: RUF012  (never written to)
    counts: dict[str, int] = {}  # noqa: RUF012  columns of the ledger
    params: dict[str, str] = {}  # noqa: RUF012  argument -> the column that its parameters belong to
    shapes: dict[str, Shape] = {}  # noqa: RUF012  of arguments, and of `out`, where they are not the usual ones
    channels_first: bool = False  # [N, C, L], not tokens [N, L, C]


def image_shape(size: tuple[int, ...], batch: int, channels_first: bool = False) -> Shape:
    """Sizes of one image's part of a tensor as (C, H, W), elements preserved.

    A vector is (C, 1, 1), tokens [N, L, C] are (C, L, 1), [N, C, L] with `channels_first` (C, L, 1); more than
    three sides keep torch's order and the last ones are multiplied. A batch folded into another side is divided out.
    """
    rest = list(size[1:] if size and size[0] == batch else size)
    if len(rest) == len(size) and batch > 1:
        for i, side in enumerate(rest):
            if side % batch == 0:
                rest[i] = side // batch
                break
    if len(rest) == 2 and not channels_first:
        rest.reverse()
    rest += [1] * (3 - len(rest))
    return (rest[0], rest[1], prod(rest[2:]))


def _plain(sides: list[int] | tuple[int, ...], n: int = 2) -> int | tuple[int, ...]:
    """3 for (3, 3): attributes as the grammar writes them, where it could."""
    sides = tuple(sides) if len(sides) == n else tuple(sides) * n
    return sides[0] if n == 2 and len(set(sides)) == 1 else sides


def _convolution(seen: Seen) -> Found:
    a = seen.args
    weight, transposed = seen.size("weight"), a["transposed"]
    kernel = weight[2:]
    n = len(kernel)
    per_position = weight[1] * prod(kernel)  # products of one output element, or of one input element if transposed
    positions = a["input"].numel() if transposed else seen.out.numel()
    attrs = {
        "kernel": _plain(kernel, n),
        "width": seen.out.shape[1],
        "stride": _plain(a["stride"], n),
        "groups": a["groups"],
        "pad": _plain(a["padding"], n),
        "bias": a["bias"] is not None,
    }
    if n != 2:
        attrs["dimensions"] = n
    if transposed:
        attrs["transposed"] = True
    if any(d != 1 for d in a["dilation"]):
        attrs["dilation"] = _plain(a["dilation"], n)
    counts = {"macs": positions * per_position, "bias_adds": seen.out.numel() if attrs["bias"] else 0}
    return Found("conv", attrs, counts, {"weight": "weights", "bias": "biases"}, channels_first=True)


def _product(left: str, right: str, addend: str | None = None) -> Callable[[Seen], Found]:
    """A matrix product; one with a side that no image reaches is a linear layer."""

    def rule(seen: Seen) -> Found:
        a, b = seen.args[left], seen.args[right]
        inner = a.shape[-1]
        rows = a.numel() // inner if inner else 0
        columns = b.shape[-1] if b.dim() > 1 else 1
        counts = {"macs": rows * inner * columns, "bias_adds": seen.out.numel() if addend else 0}
        reads = [name for name in (left, right) if seen.depends(seen.args[name])]
        if len(reads) != 1:
            return Found("matmul", {}, counts)
        weight = right if reads == [left] else left
        times = a.shape[0] if a.dim() == 3 else 1  # a product of stacks of matrices
        width = columns if weight == right else rows // times
        attrs = {"width": width, "bias": addend is not None}
        if times > 1:
            attrs["groups"] = times
        params = {weight: "weights", **({addend: "biases"} if addend else {})}
        shapes = {reads[0]: _rows(seen.args[reads[0]], inner, seen.batch), "out": _rows(seen.out, width, seen.batch)}
        return Found("linear", attrs, counts, params, shapes)

    return rule


def _rows(tensor: Tensor, features: int, batch: int) -> Shape:
    return (features, max(1, tensor.numel() // max(1, features * batch)), 1)


def _norm(kind: str) -> Callable[[Seen], Found]:
    return lambda seen: Found(
        kind,
        {} if kind == "bn" else {"function": seen.title.removeprefix("aten.native_")},
        params={"weight": "norms", "bias": "norms"},
        channels_first=kind == "bn",
    )


def _pool(kind: str) -> Callable[[Seen], Found]:
    def rule(seen: Seen) -> Found:
        a, n = seen.args, len(seen.args["kernel_size"])
        n = max(n, seen.out.dim() - 2)
        kernel = _plain(a["kernel_size"], n)
        stride, pad = _plain(a["stride"] or a["kernel_size"], n), _plain(a["padding"], n)
        window = kernel**n if isinstance(kernel, int) else prod(kernel)
        counts = {"windows": window * seen.out.numel()}
        return Found(kind, {"kernel": kernel, "stride": stride, "pad": pad}, counts, channels_first=True)

    return rule


def _adaptive(kind: str) -> Callable[[Seen], Found]:
    """Windows from floor(i H / K) to ceil((i + 1) H / K), which overlap where K does not divide H."""

    def rule(seen: Seen) -> Found:
        sides = tuple(seen.args["output_size"])
        given = seen.size("self")
        windows = given[0] * given[1] if len(given) == len(sides) + 2 else given[0]
        for side, parts in zip(given[-len(sides) :], sides, strict=True):
            windows *= sum(-(-(i + 1) * side // parts) - i * side // parts for i in range(parts))
        return Found(kind, {"adaptive": sides}, {"windows": windows}, channels_first=True)

    return rule


def _mean(seen: Seen) -> Found:
    """Over all positions of a map: global pooling. Otherwise a reduction."""
    given = seen.args["self"]
    dims = sorted(d % given.dim() for d in seen.args.get("dim") or ())
    if given.dim() >= 4 and dims == list(range(2, given.dim())):
        return Found("gap", {}, {"windows": given.numel()}, channels_first=True)
    return Found(seen.title)


def _join(kind: str) -> Callable[[Seen], Found]:
    """Of two values our kind; with a number or a constant torch's own name."""
    return lambda seen: Found(kind if seen.values > 1 else seen.title)


def _copies(kind: str) -> Callable[[Seen], Found]:
    return lambda seen: Found(kind, {}, {"copied": seen.out.numel()})


def _concat(seen: Seen) -> Found:
    return Found("concat", {"dim": seen.args["dim"] % seen.out.dim()}, {"copied": seen.out.numel()})


def _upsample(mode: str) -> Callable[[Seen], Found]:
    def rule(seen: Seen) -> Found:
        sides = tuple(seen.out.shape[2:])
        attrs = {"mode": mode, **(dict(zip(("height", "width"), sides, strict=True)) if len(sides) == 2 else {})}
        counts = {"copied": seen.out.numel()} if mode == "nearest" else {}
        return Found("upsample", attrs, counts, channels_first=True)

    return rule


def _written(seen: Seen) -> Found:
    return Found(seen.title, {}, {"copied": seen.args["src"].numel()})


def _named(kind: str, *attrs: tuple[str, str]) -> Callable[[Seen], Found]:
    return lambda seen: Found(kind, {ours: seen.args[theirs] for ours, theirs in attrs})


_PADS = ("constant_pad_nd", *(f"{way}_pad{n}d" for way in ("reflection", "replication") for n in (1, 2, 3)))
_BATCH_NORMS = (
    "native_batch_norm",
    "_native_batch_norm_legit",
    "_native_batch_norm_legit_no_training",
    "_batch_norm_with_update",
    "_batch_norm_no_update",
)

MULTIPLIES: dict[str, Callable[[Seen], Found]] = {  # what has multiply-adds
    "convolution": _convolution,
    "_convolution": _convolution,
    "mm": _product("self", "mat2"),
    "addmm": _product("mat1", "mat2", "self"),
    "bmm": _product("self", "mat2"),
    "baddbmm": _product("batch1", "batch2", "self"),
    "addbmm": _product("batch1", "batch2", "self"),
    "mv": _product("self", "vec"),
    "addmv": _product("mat", "vec", "self"),
    "dot": _product("self", "tensor"),
    "vdot": _product("self", "other"),
}
KINDS: dict[str, Callable[[Seen], Found]] = {  # what has none, but a kind or counts of its own
    **dict.fromkeys(_BATCH_NORMS, _norm("bn")),
    **dict.fromkeys(("native_layer_norm", "native_group_norm", "_fused_rms_norm"), _norm("norm")),
    **dict.fromkeys(("max_pool2d_with_indices", "max_pool3d_with_indices"), _pool("maxpool")),
    **dict.fromkeys(("avg_pool1d", "avg_pool2d", "avg_pool3d"), _pool("avgpool")),
    **dict.fromkeys(("_adaptive_avg_pool2d", "_adaptive_avg_pool3d"), _adaptive("avgpool")),
    **dict.fromkeys(("adaptive_max_pool2d", "adaptive_max_pool3d"), _adaptive("maxpool")),
    "mean": _mean,
    "relu": _named("relu"),
    "sigmoid": _named("sigmoid"),
    "native_dropout": _named("dropout", ("rate", "p")),
    "add": _join("add"),
    "mul": _join("multiply"),
    **dict.fromkeys(("cat", "stack"), _concat),
    **dict.fromkeys(_PADS, _copies("pad")),
    **{f"upsample_nearest{n}d": _upsample("nearest") for n in (1, 2, 3)},
    "upsample_linear1d": _upsample("linear"),
    "upsample_bilinear2d": _upsample("bilinear"),
    "upsample_trilinear3d": _upsample("trilinear"),
    "upsample_bicubic2d": _upsample("bicubic"),
    "copy": _written,
}


def found(op: Operator, seen: Seen) -> Found:
    """What an operation does; without a rule, elements read and made under torch's own name."""
    rule = MULTIPLIES.get(op.name) or KINDS.get(op.name)
    if rule is not None:
        return rule(seen)
    return Found(op.title, {}, {"copied": seen.out.numel()} if op.reason == MOVES else {})


def verdict(op: Operator) -> tuple[str, str]:
    """COUNTED, ZERO or UNKNOWN, and the reason in words."""
    if op.name in MULTIPLIES:
        return COUNTED, "multiply-adds"
    return (ZERO, op.reason) if op.reason else (UNKNOWN, "no rule says what it computes")
