"""From an expression to the network that is meant: derived networks unfolded, arguments bound, modifiers listed."""

from typing import Any, NamedTuple

from explorer.errors import ArchError, Source, nearest
from explorer.grammar.bind import bind, spread
from explorer.grammar.frame import Frame
from explorer.grammar.library import Library
from explorer.grammar.printer import print_modifier
from explorer.grammar.syntax import Arg, Block, Call, Expression, Modifier, Network, Rewrite

MAX_DERIVED = 20
DEFAULT_SLOT = "recalibrate"


class ActiveModifier(NamedTuple):
    """A modifier of the network being expanded; it fills `slot` with `block`, or applies `rewrite`."""

    number: int
    text: str
    block: Block | None
    rewrite: Rewrite | None
    slot: str | None
    on: str | None
    args: tuple[Arg, ...]
    names: dict[str, Any]  # what its arguments can see: the parameters of a derived network
    source: Source | None
    at: int


class Resolved(NamedTuple):
    """The network with a body, its parameter values, and the modifiers from left to right."""

    network: Network
    names: dict[str, Any]
    modifiers: tuple[ActiveModifier, ...]


def resolve(expression: Expression, library: Library, values: dict[str, Any]) -> Resolved:
    """Unfold the expression. `values` override parameters by name. Raises ArchError at the wrong word."""
    call, names, source = expression.call, {}, expression.source
    positional, named = _spread(call, {}, source)
    modifiers: list[tuple[Modifier, dict[str, Any], Source | None]] = [(m, {}, source) for m in expression.modifiers]
    for _ in range(MAX_DERIVED):
        network = _network(call, library, source)
        inside = Frame({}, None, None, network.source)  # type: ignore[arg-type]
        try:
            if network.base is None:
                what = f"network '{network.name}'"
                names = bind(what, network.params, positional, named, inside, network.source, strong=values)
                active = tuple(_activate(i, *m, library) for i, m in enumerate(modifiers))
                return Resolved(network, names, active)
            own = {p.name for p in network.params}
            passed = {k: v for k, v in named.items() if k not in own}
            kept = {k: v for k, v in named.items() if k in own}
            mine = {k: v for k, v in values.items() if k in own}
            values = {**passed, **{k: v for k, v in values.items() if k not in own}}
            what = f"network '{network.name}'"
            names = bind(what, network.params, positional, kept, inside, network.source, strong=mine)
        except ArchError as error:
            raise error.locate(source, call.at) from None
        modifiers = [(m, names, network.source) for m in network.base.modifiers] + modifiers
        call, source = network.base.call, network.source
        positional, named = _spread(call, names, source)
    raise ArchError(f"'{expression.call.name}' is derived through more than {MAX_DERIVED} networks", source, call.at)


def _spread(call: Call, names: dict[str, Any], source: Source | None) -> tuple[list[Any], dict[str, Any]]:
    try:
        return spread(call.args, Frame(names, None, None, source))  # type: ignore[arg-type]
    except ArchError as error:
        raise error.locate(source, call.at) from None


def _network(call: Call, library: Library, source: Source | None) -> Network:
    found = library.find(call.name)
    if isinstance(found, Network):
        return found
    if found is not None:
        message = f"'{call.name}' is a {type(found).__name__.lower()}, not a network; add it to one: NET + {call.name}"
    else:
        message = f"unknown network '{call.name}'; {nearest(call.name, library.names(Network))}"
    raise ArchError(message, source, call.at)


def _activate(
    index: int, modifier: Modifier, names: dict[str, Any], source: Source | None, library: Library
) -> ActiveModifier:
    call = modifier.call
    found = library.find(call.name)
    text = print_modifier(modifier)
    if isinstance(found, Rewrite):
        return ActiveModifier(index, text, None, found, None, modifier.on, call.args, names, source, call.at)
    if isinstance(found, Block) and not found.unit:
        slot, args = _slot(call, source)
        return ActiveModifier(index, text, found, None, slot, modifier.on, args, names, source, call.at)
    known = [*library.names(Rewrite), *library.names(Block)]
    what = "a network" if isinstance(found, Network) else "a unit" if found else "unknown"
    raise ArchError(
        f"modifier '{call.name}' is {what}; after + comes a block or a rewrite, {nearest(call.name, known)}",
        source,
        call.at,
    )


def _slot(call: Call, source: Source | None) -> tuple[str, tuple[Arg, ...]]:
    """The slot a block fills (`at = NAME`) and its other arguments."""
    slot = DEFAULT_SLOT
    for arg in call.args:
        if arg.name == "at":
            name = getattr(arg.value, "id", None)
            if name is None:
                raise ArchError("at= names a slot: at = output", source, arg.at)
            slot = name
    return slot, tuple(arg for arg in call.args if arg.name != "at")
