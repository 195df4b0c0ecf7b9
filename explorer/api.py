"""The functions that `import explorer` offers."""

from typing import TYPE_CHECKING, Any

from explorer.analysis.cost import Cost, cost_of
from explorer.analysis.foreign import foreign_cost, is_foreign
from explorer.blocks.graph import Graph
from explorer.catalog.load import last_network, load
from explorer.catalog.load import parse as parse
from explorer.errors import UserError
from explorer.grammar import expand as expansion
from explorer.grammar.library import Library
from explorer.grammar.syntax import Expression, File

if TYPE_CHECKING:
    from explorer.nn.module import NetworkModule

Net = str | Expression | File
Size = tuple[Any, Any, Any]


def expand(net: Net, *, input: Size | None = None, classes: Any = None, values: dict[str, Any] | None = None) -> Graph:
    """A network as a graph of primitive ops.

    `net`: text (`resnet50 + se`, `my.arch:net`, definitions) or a syntax tree; of a File, its last network.
    `input`: (channels, height, width) in place of the network's own. `values`: parameters by name, as ints,
    int64 arrays or sympy symbols. Raises UserError for whatever is wrong with the text or the network.
    """
    if isinstance(net, str) and is_foreign(net):
        raise UserError(f"'{net.strip()[:100]}' is a torch module: only its cost can be told, with explorer cost")
    expression, library = _meant(net)
    given = {**(values or {}), **({} if classes is None else {"classes": classes})}
    return expansion.expand(expression, library, input=_size(input), values=given)


def _size(input: Size | None) -> Size | None:
    if input is not None and (not isinstance(input, tuple | list) or len(input) != 3):
        raise UserError("input is (channels, height, width), such as (3, 32, 32)")
    return tuple(input) if input else None  # type: ignore[return-value]


def _meant(net: Net) -> tuple[Expression, Library]:
    if isinstance(net, str):
        return load(net)
    if isinstance(net, Expression):
        return net, Library()
    if isinstance(net, File):
        return last_network(net, None, ""), Library(net)
    raise UserError(f"a network is text or a syntax tree, not {type(net).__name__}")


def cost(
    net: Net,
    *,
    input: Size | None = None,
    classes: Any = None,
    batch: int = 1,
    values: dict[str, Any] | None = None,
) -> Cost:
    """Exact parameters, MACs, activations, depth and chain of a network, in total and as a tree.

    `net` may also name a torch module: FILE.py:FUNCTION or timm:NAME.
    """
    if type(batch) is not int or batch < 1:
        raise UserError("batch is a whole number of at least 1")
    if isinstance(net, str) and is_foreign(net):
        if classes is not None or values:
            raise UserError(f"'{net.strip()[:100]}' is a torch module: it has no parameters to set, nor classes")
        return foreign_cost(net, _size(input), batch)
    graph = expand(net, input=input, classes=classes, values=values)
    return cost_of(graph, net if isinstance(net, str) else None, batch)


def build(
    net: Net, *, input: Size | None = None, classes: int | None = None, layers: str = "reference"
) -> "NetworkModule":
    """The network as a torch module that maps [N, C, H, W] to [N, classes], initialised as its paper says.

    Weights are drawn from torch's global generator: call torch.manual_seed before for reproducible ones.
    `layers`: `reference`, or faster substitutes that compute the same, `balanced` or `lean`.
    """
    from explorer.nn.fast.choose import substitute
    from explorer.nn.module import NetworkModule

    return NetworkModule(expand(net, input=input, classes=classes), substitute(layers))
