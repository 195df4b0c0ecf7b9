"""Longest paths: `depth` as the papers count layers, `chain` as dependencies really run.

depth: convolutions and linear layers on the longest path; a GUNN layer is taken as its SUNN twin, a SeqConv
layer as one, and what only gates (the second branch of multiply) is not counted. chain: all of it.
"""

from explorer.blocks.graph import Entry, Op, Scope
from explorer.blocks.loops import Loop
from explorer.blocks.quantity import Quantity, largest, smallest
from explorer.blocks.walk import alive, is_array

Lengths = dict[int, Quantity]  # from a port of the scope, the longest path to a value; arrays behind a loop
NO_PATH = -(10**9)
LAYERS = frozenset(("conv", "linear"))


def depth_of(root: Scope) -> Quantity:
    """Layers as the papers count them."""
    return largest(0, *_outputs(root, papers=True)[0].values())


def chain_of(root: Scope) -> Quantity:
    """Convolutions and linear layers that must run one after the other."""
    return largest(0, *_outputs(root, papers=False)[0].values())


def _outputs(scope: Scope, papers: bool) -> tuple[Lengths, ...]:
    """For each output of the scope, the longest path from each port; computed once for each shared scope."""
    papers = papers and not _is_plain(scope)
    key = "depth" if papers else "chain"
    known: tuple[Lengths, ...] | None = scope.memo.get(key)
    if known is None:
        known = _walk(scope, papers)
        loop = scope.attrs.get("loop")
        if loop is not None and not (papers and loop.original):
            known = _rounds(loop, known)
        if papers and scope.kind in ("aggregate", "windowed"):
            known = tuple({port: smallest(1, n) for port, n in lengths.items()} for lengths in known)
        scope.memo[key] = known
    return known


def _is_plain(scope: Scope) -> bool:
    """Whether both ways of counting agree: no gates and no folds inside."""
    plain: bool | None = scope.memo.get("plain")
    if plain is None:
        loop = scope.attrs.get("loop")
        folded = scope.kind in ("update", "aggregate", "windowed") or (loop is not None and loop.original)
        plain = scope.memo["plain"] = not folded and all(
            entry.node.kind != "multiply" if isinstance(entry.node, Op) else _is_plain(entry.node)
            for entry in scope.body
        )
    return plain


def _walk(scope: Scope, papers: bool) -> tuple[Lengths, ...]:
    values: dict[int, Lengths] = {port: {port: 0} for port in scope.ports}
    twin = papers and scope.kind == "update" and scope.attrs["reads"] == "current"
    original: dict[int, Lengths] = {}  # states of a GUNN layer, as its SUNN twin would read them
    for entry in scope.body:
        node = entry.node
        if isinstance(node, Op):
            read = values[entry.inputs[0]]
            if len(entry.inputs) > 1 and not (papers and node.kind == "multiply"):
                read = _longest([values[i] for i in entry.inputs])
            if node.kind in LAYERS:  # one that reads several values has computed weights
                read = {port: length + 1 for port, length in read.items()}
            values[entry.outputs[0]] = read
            if twin and node.kind == "update":
                original[entry.outputs[0]] = original.get(entry.inputs[0], values[entry.inputs[0]])
        else:
            _use(values, original, entry, node, papers)
            if twin and "loop" in node.attrs:
                state = entry.inputs[node.ports.index(node.attrs["loop"].carried[0])]
                original[entry.outputs[0]] = original.get(state, values[state])
                values[entry.outputs[0]] = _longest([values[state], values[entry.outputs[0]]])
    return tuple(values[i] for i in scope.outputs)


def _use(values: dict[int, Lengths], original: dict[int, Lengths], entry: Entry, node: Scope, papers: bool) -> None:
    arguments = {p: original.get(i) or values[i] for p, i in zip(node.ports, entry.inputs, strict=True)}
    for index, lengths in zip(entry.outputs, _outputs(node, papers), strict=True):
        values[index] = _through(lengths, arguments)


def _through(inner: Lengths, arguments: dict[int, Lengths]) -> Lengths:
    """Paths that go on inside a scope: up to its ports, and from there."""
    longest: Lengths = {}
    for port, further in inner.items():
        for start, length in arguments[port].items():
            _extend(longest, start, length + further)
    return longest


def _extend(longest: Lengths, start: int, length: Quantity) -> None:
    known = longest.get(start)
    if known is None:
        longest[start] = length
    elif type(known) is int and type(length) is int:
        if known < length:
            longest[start] = length
    else:
        longest[start] = largest(known, length)


def _longest(read: list[Lengths]) -> Lengths:
    result = dict(read[0])
    for lengths in read[1:]:
        for port, length in lengths.items():
            _extend(result, port, length)
    return result


# --- loops of array walks ---


def _rounds(loop: Loop, once: tuple[Lengths, ...]) -> tuple[Lengths, ...]:
    """Paths through all rounds of a loop, from those through one: its power, by squaring."""
    paths: tuple[Lengths, ...] = tuple({port: 0} for port in loop.carried)
    times, power = loop.times, once
    for bit in range(int(alive(times).max() if is_array(times) else times).bit_length()):
        paths = tuple(map(_chosen, [times >> bit & 1 == 1] * len(once), _after(loop, paths, power), paths))
        power = _after(loop, power, power)
    return paths


def _after(loop: Loop, first: tuple[Lengths, ...], then: tuple[Lengths, ...]) -> tuple[Lengths, ...]:
    """Paths through some rounds and then others: the results of the first go into the ports that are carried."""
    arguments = {port: {port: 0} for lengths in then for port in lengths}
    arguments.update(zip(loop.carried, first, strict=True))
    return tuple(_through(lengths, arguments) for lengths in then)


def _chosen(condition: Quantity, these: Lengths, those: Lengths) -> Lengths:
    """For each row, one or the other."""
    if not is_array(condition):
        return these if condition else those
    import numpy

    ports = these.keys() | those.keys()
    return {port: numpy.where(condition, these.get(port, NO_PATH), those.get(port, NO_PATH)) for port in ports}
