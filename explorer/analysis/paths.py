"""Longest paths: `depth` as the papers count layers, `chain` as dependencies really run.

depth: convolutions and linear layers on the longest path; a GUNN layer is taken as its SUNN twin, a SeqConv
layer as one, and what only gates (the second branch of multiply) is not counted. chain: all of it.
"""

from explorer.blocks.graph import Entry, Op, Scope

Lengths = dict[int, int]  # from a port of the scope, the longest path to a value
LAYERS = frozenset(("conv", "linear"))


def depth_of(root: Scope) -> int:
    """Layers as the papers count them."""
    return max(_outputs(root, papers=True)[0].values(), default=0)


def chain_of(root: Scope) -> int:
    """Convolutions and linear layers that must run one after the other."""
    return max(_outputs(root, papers=False)[0].values(), default=0)


def _outputs(scope: Scope, papers: bool) -> tuple[Lengths, ...]:
    """For each output of the scope, the longest path from each port; computed once for each shared scope."""
    papers = papers and not _is_plain(scope)
    key = "depth" if papers else "chain"
    known: tuple[Lengths, ...] | None = scope.memo.get(key)
    if known is None:
        known = _walk(scope, papers)
        if papers and scope.kind in ("aggregate", "windowed"):
            known = tuple({port: min(1, n) for port, n in lengths.items()} for lengths in known)
        scope.memo[key] = known
    return known


def _is_plain(scope: Scope) -> bool:
    """Whether both ways of counting agree: no gates and no folds inside."""
    plain: bool | None = scope.memo.get("plain")
    if plain is None:
        plain = scope.memo["plain"] = scope.kind not in ("update", "aggregate", "windowed") and all(
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
            if node.kind in LAYERS:
                read = {port: length + 1 for port, length in read.items()}
            elif len(entry.inputs) > 1 and not (papers and node.kind == "multiply"):
                read = _longest([values[i] for i in entry.inputs])
            values[entry.outputs[0]] = read
            if twin and node.kind == "update":
                original[entry.outputs[0]] = original.get(entry.inputs[0], values[entry.inputs[0]])
        else:
            _use(values, original, entry, node, papers)
    return tuple(values[i] for i in scope.outputs)


def _use(values: dict[int, Lengths], original: dict[int, Lengths], entry: Entry, node: Scope, papers: bool) -> None:
    arguments = {p: original.get(i) or values[i] for p, i in zip(node.ports, entry.inputs, strict=True)}
    for index, lengths in zip(entry.outputs, _outputs(node, papers), strict=True):
        longest: Lengths = {}
        for port, inner in lengths.items():
            for start, length in arguments[port].items():
                if longest.get(start, -1) < length + inner:
                    longest[start] = length + inner
        values[index] = longest


def _longest(read: list[Lengths]) -> Lengths:
    result = dict(read[0])
    for lengths in read[1:]:
        for port, length in lengths.items():
            if result.get(port, -1) < length:
                result[port] = length
    return result
