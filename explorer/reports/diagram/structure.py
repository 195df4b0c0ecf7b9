"""From an expanded network to what its drawing shows."""

from dataclasses import replace
from typing import Any

from explorer.analysis.ledger import ledger_of, row_of, totals_of
from explorer.blocks.graph import Auxiliary, Entry, Graph, Op, Scope, Shape
from explorer.errors import UserError
from explorer.reports.diagram.chips import TIMES, chip
from explorer.reports.diagram.glyph import shown
from explorer.reports.diagram.items import Box, Chain, Chip, Diagram, Fold, Gate, Item, Row, Skip
from explorer.reports.diagram.paths import Paths, Side, joins_inside, made_by, needed_for, paths_of
from explorer.reports.diagram.repeats import folded, shortened

FOLDS = {
    "grow": "n",
    "aggregate": "groups",
    "windowed": "groups",
    "update": "parts",
}  # and what counts their parts
_GATES = {"mssar": "MS-SAR", "se": "SE"}
_PARTS = {"grow": "layers", "update": "parts"}
_READS = {"original": ", reading the original", "sparse": ", reading 1, 2, 4, ... back"}
_MOST_ROWS = 40
_MOST_BRANCHES = 40  # of one chain; what is beyond is cut off anyway


def diagram_of(graph: Graph) -> Diagram:
    """The stages of a network and what is in them. UserError for one with arrays or symbols in its shapes."""
    if not isinstance(sum(totals_of(ledger_of(graph.root))), int):
        raise UserError("only a network of whole numbers can be drawn, not one of arrays or symbols")
    reader = _Reader()
    groups = _stages(graph.root)
    rows = (*(reader.row(entries) for entries in groups), *(reader.head(head) for head in graph.auxiliaries))
    whole = len(rows) <= _MOST_ROWS
    return Diagram(
        title=graph.canonical,
        input=_sides(graph.input),
        rows=_shortened(rows),
        params=sum(row.params for row in rows if not row.aside),
        macs=sum(row.macs for row in rows if not row.aside),
        links=_links(graph, groups) if whole else tuple((i, i + 1) for i in range(_MOST_ROWS - 1)),
    )


def _stages(root: Scope) -> list[list[Entry]]:
    """Entries of the network that make a stage each: scopes, and runs of ops between them."""
    groups: list[list[Entry]] = []
    for entry in root.body:
        if isinstance(entry.node, Op) and groups and isinstance(groups[-1][-1].node, Op):
            groups[-1].append(entry)
        else:
            groups.append([entry])
    return groups


def _links(graph: Graph, groups: list[list[Entry]]) -> tuple[tuple[int, int], ...]:
    """Pairs of stages between which a value passes; auxiliary heads stand behind the stages."""
    made = dict.fromkeys(graph.root.ports, -1)
    made |= {value: index for index, group in enumerate(groups) for entry in group for value in made_by(entry)}
    found = {
        (made[value], index)
        for index, group in enumerate(groups)
        for entry in group
        for value in entry.inputs
        if made[value] != index
    }
    found |= {(made[head.source], index) for index, head in enumerate(graph.auxiliaries, start=len(groups))}
    return tuple(sorted(found))


def _shortened(rows: tuple[Row, ...]) -> tuple[Row, ...]:
    """At most so many rows: of more, those in the middle become one."""
    if len(rows) <= _MOST_ROWS:
        return rows
    half = _MOST_ROWS // 2
    middle = rows[half : len(rows) - half + 1]
    name = f"{len(middle)} more stages"
    params, macs = sum(row.params for row in middle), sum(row.macs for row in middle)
    return (*rows[:half], Row(name, middle[-1].shape, Chain(()), params, macs), *rows[len(rows) - half + 1 :])


def _sides(shape: Shape) -> str:
    channels, height, width = shape
    return str(channels) if (height, width) == (1, 1) else TIMES.join(str(side) for side in shape)


class _Reader:
    """Reads scopes into chains; what is shared in the graph is read once."""

    def __init__(self) -> None:
        self.chains: dict[int, Chain] = {}

    def row(self, entries: list[Entry]) -> Row:
        """One stage."""
        last = entries[-1].node
        totals = [totals_of({e.node.kind: row_of(e.node)} if isinstance(e.node, Op) else ledger_of(e.node))
                  for e in entries]  # fmt: skip
        name = entries[0].name if len(entries) == 1 else f"{entries[0].name} to {entries[-1].name}"
        scope = last if isinstance(last, Scope) else None
        chain = self.stage(scope) if scope else self.chain(tuple(entries), entries[-1].outputs[0])
        shape = _sides(last.out)
        return Row(name, shape, chain, sum(t.params for t in totals), sum(t.macs for t in totals))

    def head(self, head: Auxiliary) -> Row:
        """An auxiliary head."""
        totals = totals_of(ledger_of(head.scope))
        return Row(head.name, _sides(head.scope.out), self.stage(head.scope), totals.params, totals.macs, aside=True)

    def stage(self, scope: Scope) -> Chain:
        """What stands in a stage: a block's name is kept where the block is all there is."""
        items, skips = self.items(scope, 0)
        only = items[0] if len(items) == 1 else None
        if isinstance(only, Box) and all(isinstance(item, Box) for item in only.chain.items) and not only.chain.skips:
            return only.chain  # a block of blocks
        return Chain(items, skips)

    def items(self, scope: Scope, depth: int) -> tuple[tuple[Item, ...], tuple[Skip, ...]]:
        """The items a scope is drawn as, and the paths around them."""
        if gate := _gate(scope):
            return (gate,), ()
        if scope.kind in FOLDS:
            return (self.fold(scope),), ()
        chain = self.scope_chain(scope, depth)
        only = chain.items[0] if len(chain.items) == 1 else None
        if scope.kind != "block" or (isinstance(only, Chip | Gate | Box) and not chain.skips):
            return chain.items, chain.skips
        if isinstance(only, Fold):
            return (replace(only, title=f"{scope.title}: {only.title}"),), ()
        if depth > 0 and not chain.skips and not any(isinstance(item, Box) for item in chain.items):
            return chain.items, ()
        return (Box(scope.title, chain),), ()

    def scope_chain(self, scope: Scope, depth: int, second: str = "") -> Chain:
        """The chain that leads to a scope's main output; `second` names what comes in besides its main input."""
        if id(scope) not in self.chains:
            inner = depth + (scope.kind == "block")
            names = dict.fromkeys(scope.ports[1:], second)
            self.chains[id(scope)] = self.chain(scope.body, scope.outputs[0], inner, names)
        return self.chains[id(scope)]

    def chain(
        self, entries: tuple[Entry, ...], target: int, depth: int = 0, names: dict[int, str] | None = None
    ) -> Chain:
        """Entries as a chain of items with the paths beside it, repeats drawn once; `names` of some values."""
        paths = paths_of(entries, target)
        items: list[Item] = []
        skips: list[Skip] = []
        begins = []  # where each main entry's items begin
        for entry in paths.main:
            begins.append(len(items))
            own, inner = self.entry(entry, depth)
            skips += [replace(s, start=s.start + len(items), end=s.end + len(items)) for s in inner]
            items += own
        begins.append(len(items))
        for number, side in enumerate(paths.sides):
            branch = self.branch(entries, paths, side, depth) if number < _MOST_BRANCHES else ()
            label = (names or {}).get(side.source, "")
            skips.append(Skip(begins[side.start], begins[side.end], branch, label))
        if paths.aside:
            items.append(Chip("other", ("and", f"{paths.aside} more")))
        return shortened(folded(Chain(tuple(items), tuple(skips))))

    def branch(self, entries: tuple[Entry, ...], paths: Paths, side: Side, depth: int) -> tuple[Item, ...]:
        """What lies on a side path: its items, or one frame around them where paths join on it."""
        if not joins_inside(side):
            return tuple(item for entry in side.entries for item in self.entry(entry, depth)[0])
        main = {entry.name for entry in paths.main}
        target = side.entries[-1].outputs[0]
        own = needed_for([entry for entry in entries if entry.name not in main], target)
        inner = self.chain(tuple(own), target, depth)
        return (Box("", inner),) if inner.skips else inner.items

    def entry(self, entry: Entry, depth: int) -> tuple[tuple[Item, ...], tuple[Skip, ...]]:
        """The items of one entry."""
        if isinstance(entry.node, Op):
            return (chip(entry.node),), ()
        return self.items(entry.node, depth)

    def fold(self, scope: Scope) -> Fold:
        """A fold: its kind, the number of its parts, and one of them."""
        parts = int(scope.attrs[FOLDS[scope.kind]])
        units: list[Any] = [entry.node for entry in scope.body if isinstance(entry.node, Scope)]
        current = scope.attrs.get("reads") != "original"
        kind = "sparse" if scope.attrs.get("reads") == "sparse" else scope.kind
        if not units:
            ops = [
                chip(e.node)
                for e in scope.body
                if isinstance(e.node, Op) and e.node.kind not in ("concat", "slice", "update")
            ]
            return Fold(kind, _fold_title(scope, kind, parts, None), parts, current, Chain(tuple(ops[:1])))
        unit = units[min(1, len(units) - 1)]  # the second: the first may have nothing before it
        named = unit.title if unit.kind == "block" else None
        return Fold(
            kind,
            _fold_title(scope, kind, parts, named),
            parts,
            current,
            self.scope_chain(unit, 1, "own part"),
        )


def _fold_title(scope: Scope, kind: str, parts: int, unit: str | None) -> str:
    reads = _READS.get(scope.attrs.get("reads", ""), "")
    named = f" of {unit}" if unit else ""
    rows = shown(kind, parts)
    drawn = f" ({rows} drawn)" if rows < parts else ""
    return f"{scope.kind}, {parts} {_PARTS.get(scope.kind, 'groups')}{drawn}{named}{reads}"


def _gate(scope: Scope) -> Gate | None:
    """A block that ends by multiplying what it was given; its scales by the names of its branches."""
    last = scope.body[-1].node if scope.body else None
    if scope.kind != "block" or not isinstance(last, Op) or last.kind != "multiply":
        return None
    if scope.ports[0] not in scope.body[-1].inputs:
        return None
    scales = [entry.name[1:] for entry in scope.body if entry.name[:1] == "K" and entry.name[1:].isdigit()]
    sets = ("{" + ",".join(scales) + "}",) if scales else ()
    return Gate((_GATES.get(scope.title, scope.title), *sets))
