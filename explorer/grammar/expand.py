"""From a network expression to its graph."""

from typing import Any

from explorer.blocks.builder import Builder, Tensor
from explorer.blocks.graph import Auxiliary, Graph, Scope
from explorer.blocks.quantity import positive
from explorer.blocks.walk import Walk, walking
from explorer.errors import ArchError
from explorer.grammar import rewriting
from explorer.grammar.expander import Expander
from explorer.grammar.frame import Frame, result_of
from explorer.grammar.library import Library
from explorer.grammar.printer import print_expression
from explorer.grammar.resolve import Resolved, resolve
from explorer.grammar.syntax import Expect, Expression, Input


def expand(
    expression: Expression,
    library: Library,
    *,
    input: tuple[Any, Any, Any] | None = None,
    values: dict[str, Any] | None = None,
    walk: Walk | None = None,
) -> Graph:
    """Expand a network expression.

    `input`: (channels, height, width) in place of the network's own. `values`: parameters by name; ints,
    int64 arrays or sympy symbols. `walk` is told what the walk learns, also where it ends with an error.
    Raises ArchError for whatever cannot be built, naming the layer.
    """
    with walking(walk) as learned:
        return _expand(expression, library, input, values or {}, learned)


def _expand(
    expression: Expression, library: Library, input: tuple[Any, Any, Any] | None, values: dict[str, Any], walk: Walk
) -> Graph:
    resolved = resolve(expression, library, values)
    expander = Expander(library, resolved.modifiers)
    shape = input_shape(resolved, input)
    builder = Builder("network", resolved.network.name, 0)
    image = builder.port(0, Tensor(0, shape, image=True))
    active = tuple(m.number for m in resolved.modifiers if m.on is None)
    frame = Frame(resolved.names, image, builder, resolved.network.source, active=active)
    assert resolved.network.body is not None
    steps = tuple(item for item in resolved.network.body if not isinstance(item, Input | Expect))
    expander.chain(steps, frame)
    root = builder.close(result_of(frame)).scope
    rewriting.check_changes(expander, root)
    return Graph(
        root,
        print_expression(expression),
        shape,
        tuple(m.text for m in resolved.modifiers),
        walk.valid,
        tuple(walk.assumptions),
        auxiliaries(expander, root),
    )


def auxiliaries(expander: Expander, root: Scope) -> tuple[Auxiliary, ...]:
    """The heads with the values of the root that they read. Raises ArchError where no such value comes out."""
    if any(tap not in root.taps for tap in expander.heads):
        raise ArchError("auxiliary stands in the network itself, not in a rewrite or a branch for each value of a list")
    outputs = dict(zip(root.taps, root.outputs[1:], strict=True))
    return tuple(
        Auxiliary(f"auxiliary{number}", weight, scope, outputs[tap])
        for number, (tap, (weight, scope)) in enumerate(expander.heads.items(), start=1)
    )


def input_shape(resolved: Resolved, given: tuple[Any, Any, Any] | None) -> tuple[Any, Any, Any]:
    """The image's shape. Raises ArchError when there is none or it is not three positive sides."""
    network = resolved.network
    stated = [item for item in network.body or () if isinstance(item, Input)]
    if len(stated) > 1 or (stated and len(stated[0].size) != 3):
        raise ArchError("state one input as channels x height x width: input 3x32x32", network.source, stated[-1].at)
    size = given or (stated[0].size if stated else None)
    if size is None:
        raise ArchError(f"network '{network.name}' states no input: input 3x32x32", network.source, network.at)
    try:
        for side in size:
            positive(side, "a side of the input")
    except ArchError as error:
        raise error.locate(network.source, stated[0].at) if stated and not given else error from None
    return (size[0], size[1], size[2])
