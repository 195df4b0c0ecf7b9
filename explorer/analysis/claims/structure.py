"""What a check can ask about a network's graph. A place is a path of names, such as `stage1.basic1`."""

from collections.abc import Iterator

from explorer.blocks.graph import Op, Scope, Shape

Node = Op | Scope


def at(root: Scope, place: str) -> Node:
    """The op or scope at a place. Raises ValueError where there is none."""
    return _find(root, place)[0]


def _find(root: Scope, place: str) -> tuple[Node, Shape]:
    """What stands at a place, and the shape it reads."""
    node: Node = root
    read: Shape = root.out
    for name in place.split("."):
        entries = node.body if isinstance(node, Scope) else ()
        entry = next((entry for entry in entries if entry.name == name), None)
        if entry is None or not isinstance(node, Scope):
            raise ValueError(f"no {name!r} of {place!r} among {', '.join(e.name for e in entries)}")
        read, node = node.shapes[entry.inputs[0]], entry.node
    return node, read


def _title(node: Node) -> str:
    return node.kind if isinstance(node, Op) else node.title


def widths(root: Scope, *places: str) -> list[int]:
    """Channels made at each place."""
    return [at(root, place).out[0] for place in places]


def widths_read(root: Scope, *places: str) -> list[int]:
    """Channels read at each place."""
    return [_find(root, place)[1][0] for place in places]


def sides(root: Scope, *places: str) -> list[int]:
    """The side of the square map made at each place."""
    return [at(root, place).out[1] for place in places]


def sides_read(root: Scope, *places: str) -> list[int]:
    """The side of the square map read at each place."""
    return [_find(root, place)[1][1] for place in places]


def body(root: Scope, place: str) -> list[str]:
    """Names of the steps of a scope."""
    node = at(root, place)
    return [entry.name for entry in node.body] if isinstance(node, Scope) else []


def groups(root: Scope, *places: str) -> list[int]:
    """Groups of the convolutions at the places."""
    nodes = [at(root, place) for place in places]
    return [node.attrs["groups"] for node in nodes]


def layers(root: Scope, place: str) -> list[str]:
    """The ops at a place in order: `conv 3x3 24`, `bn`, `relu`."""
    return [_describe(op) for op in _ops(at(root, place))]


def _ops(node: Node) -> Iterator[Op]:
    if isinstance(node, Op):
        yield node
        return
    for entry in node.body:
        yield from _ops(entry.node)


def _describe(op: Op) -> str:
    return f"conv {op.attrs['kernel']}x{op.attrs['kernel']} {op.out[0]}" if op.kind == "conv" else op.kind


def count(
    root: Scope, what: str, place: str | None = None, inside: str | None = None, outside: str | None = None
) -> int:
    """How often a kind of op or a block occurs: at a place, inside blocks of one name, outside blocks of another."""
    return _count(at(root, place) if place else root, what, inside, outside)


def _count(node: Node, what: str, inside: str | None, outside: str | None) -> int:
    title = _title(node)
    if outside is not None and title in outside.split():
        return 0
    here = int(title == what and inside is None)
    if isinstance(node, Op):
        return here
    within = None if inside is not None and title in inside.split() else inside
    return here + sum(_count(entry.node, what, within, outside) for entry in node.body)


def npkm(root: Scope, *places: str) -> list[list[int]]:
    """{N, P, K, M} of the GUNN layers at the places, read off their segments (GUNN, section 5.1)."""
    return [_configuration(next(_scopes(at(root, place), "update"))) for place in places]


def _configuration(layer: Scope) -> list[int]:
    segment = next(_scopes(layer, "segment"))
    triples = list(_scopes(segment, "triple"))
    first = next(_ops(triples[0]))
    return [layer.out[0], layer.attrs["parts"], first.out[0] // segment.out[0], len(triples)]


def _scopes(node: Node, title: str) -> Iterator[Scope]:
    if isinstance(node, Scope):
        if node.title == title:
            yield node
        for entry in node.body:
            yield from _scopes(entry.node, title)


def updates(root: Scope, place: str) -> list[int]:
    """How often a GUNN layer replaces its channels, the least and the most; a SUNN layer replaces none."""
    times = [0] * at(root, place).out[0]
    for op in _ops(at(root, place)):
        if op.kind == "update":
            start = op.attrs["start"]
            for channel in range(start, start + op.ins[1][0]):
                times[channel] += 1
    return [min(times), max(times)]


READERS = (widths, widths_read, sides, sides_read, body, groups, layers, count, npkm, updates)


def sliding_sets(scale: int, side: int) -> int:
    """Different coordinate sets of the sliding strategy on a square map: L1 balls of radius side // scale, clipped."""
    radius, places = side // scale, range(side)
    spread = [[max(0, radius - abs(i - j) + 1) for j in places] for i in places]  # how far a ball reaches in each row
    sets = {
        tuple((max(0, x - reach + 1), min(side - 1, x + reach - 1)) if reach else None for reach in spread[y])
        for y in places
        for x in places
    }
    return len(sets)
