"""The tables of `explorer cost`: one network as a tree, or several beside each other."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import typer

from explorer.analysis.cost import COLUMNS, MEMORY, TRAFFIC, Cost
from explorer.analysis.paths import LAYERS, chain_of, depth_of
from explorer.analysis.units import Bytes, Macs, decimal
from explorer.blocks.graph import Scope
from explorer.cli.printing import DASH, difference, percent, print_csv, print_table, short, sides, whole

if TYPE_CHECKING:
    from explorer.analysis.reach import Distribution, Reach, Walk

ALL = "all"  # a receptive field that is the whole image


TREE = ("layer", "kind", "output", "params", "MACs", "of MACs", "activations", "MB saved")


def print_tree(cost: Cost, depth: int) -> None:
    """The parts of one network, `depth` levels deep, and its totals."""
    title = f"{cost.canonical}  ({_input([cost])})"
    rows: list[list[str]] = []
    tree = cost.tree(depth, saved=True)
    _tree_rows(tree, 0, cost, rows)
    saved = megabytes(tree["columns"].get("saved"))
    total = ["total", "", "", whole(cost.params), whole(cost.macs), "100.0%", whole(cost.activations), saved]
    print_table(TREE, [*rows, total], (0, 1, 2), title)
    for change in changes(cost):
        typer.echo(change)
    typer.echo(
        f"params {short(cost.params)}   {decimal(Macs(cost.macs))} of {_multiplying(cost)}   "
        f"depth {cost.depth}   chain {cost.chain}"
    )
    if cost.launches is not None and cost.bytes_moved is not None and cost.bytes_copied is not None:
        copied = f", {decimal(Bytes(cost.bytes_copied))} by copying" if cost.bytes_copied else ""
        typer.echo(
            f"launches {cost.launches:,}   {decimal(Bytes(cost.bytes_moved))} moved{copied}   "
            f"{rate(cost.intensity)} FLOPs for each byte"
        )
    if cost.train_memory is not None:
        typer.echo(
            f"memory, predicted, reference layers: training {size(cost.train_memory)}{_substituted(cost)}, inference "
            f"{size(cost.infer_memory)} ({_images(cost.batch)}; MB saved: kept for the backward pass)"
        )
    for name, head in cost.auxiliaries.items():
        typer.echo(f"{name}, in training only: params {short(head.params)}   {decimal(Macs(head.macs))}")


def _substituted(cost: Cost) -> str:
    """What training takes with substituted layers, where there are any that matter."""
    peaks = {layers: cost.memory("train", layers) for layers in ("balanced", "lean")}
    told = [f"{size(one.peak)} {name}" for name, one in peaks.items() if one and one.peak != cost.train_memory]
    return f" ({', '.join(told)})" if told else ""


def _multiplying(cost: Cost) -> str:
    return f"convolutions{', matrix products' if 'matmul' in cost.ledger else ''} and linear layers"


def _input(costs: list[Cost]) -> str:
    """3x32x32, image"""
    sizes = dict.fromkeys(sides(cost.input) for cost in costs)
    return f"{' or '.join(sizes)}, {_images(costs[0].batch)}"


def _images(batch: int) -> str:
    return "1 image" if batch == 1 else f"{batch} images"


def _tree_rows(node: dict[str, Any], level: int, cost: Cost, rows: list[list[str]]) -> None:
    for child in node["children"]:
        columns = child["columns"]
        rows.append(
            [
                "  " * level + child["name"],
                child["kind"],
                sides(child["shape"]),
                whole(columns["params"]),
                whole(columns["macs"]),
                percent(columns["macs"], cost.macs),
                whole(columns["activations"]),
                megabytes(columns.get("saved")),
            ]
        )
        _tree_rows(child, level + 1, cost, rows)


def changes(cost: Cost) -> list[str]:
    """What each modifier changed and what it left, in sentences."""
    lines = []
    for index, text in enumerate(cost.graph.modifiers):
        mine = [c for c in cost.graph.root.changes if c.modifier == index]
        changed = sum(c.places for c in mine if c.reason is None)
        left = [f"{c.places} left: {c.reason}" for c in mine if c.reason is not None]
        lines.append(f"+ {text}: {changed} place{'s' * (changed != 1)} changed" + "".join(f", {x}" for x in left))
    return lines


# --- several networks


DIFFERENCES = (
    "network", "params", "Δ", "MACs", "Δ", "activations", "Δ", "depth", "chain", "training", "inference",
)  # fmt: skip


def print_differences(costs: list[Cost]) -> None:
    """Networks beside the first one."""
    first = costs[0]
    rows = []
    for cost in costs:
        row = [cost.canonical]
        for column in COLUMNS:
            value, reference = getattr(cost, column), getattr(first, column)
            row += [whole(value), "" if cost is first else difference(value, reference)]
        rows.append([*row, whole(cost.depth), whole(cost.chain), size(cost.train_memory), size(cost.infer_memory)])
    print_table(DIFFERENCES, rows)
    _print_changes(costs)
    typer.echo(f"Δ: difference to {first.canonical}; MACs of convolutions and linear layers; {_images(first.batch)}")
    typer.echo("training, inference: predicted peak of memory, reference layers")


def _print_changes(costs: list[Cost]) -> None:
    for cost in costs:
        for change in changes(cost):
            typer.echo(f"{cost.canonical.split(' + ')[0]} {change}")


SIDE_BY_SIDE = (
    "network", "params", "MACs", "activations", "depth", "chain", "launches", "MB\nmoved", "by\ncopying",
    "FLOPs\n/ byte", "of channels:\ndepth", "field",
)  # fmt: skip
LEGEND = (
    "depth: layers as the papers count; chain: as they wait for each other; MB: 1,000,000 bytes read and written\n"
    "of channels: fewest, median and most layers on the longest path to an output channel, and side of its receptive\n"
    "field; of a network from the image to its last map, of a part from that part's own input"
)


def print_side_by_side(costs: list[Cost], depth: int) -> None:
    """Networks and their parts, `depth` levels deep, with what multiply-adds cannot see."""
    from explorer.analysis.reach import Walk

    rows: list[list[str]] = []
    for name, cost in zip(_names(costs), costs, strict=True):
        rows.append(_row(name, cost.depth, cost.chain, _columns(cost), cost.reach))
        rows += _parts(cost.tree(depth), cost.graph.root, 1, None if cost.traffic is None else Walk())
    print_table(SIDE_BY_SIDE, rows, title=f"{len(costs)} networks  ({_input(costs)})", tight=True)
    _print_changes(costs)
    typer.echo(LEGEND)


def _names(costs: list[Cost]) -> list[str]:
    """Canonical names; of variants of the first network only what they add to it."""
    first, *others = [cost.canonical for cost in costs]
    variants = all(name.startswith(f"{first} + ") for name in others)
    return [first, *(name.removeprefix(f"{first} ") if variants else name for name in others)]


def _columns(cost: Cost) -> dict[str, Any]:
    return {name: getattr(cost, name) for name in (*COLUMNS, *TRAFFIC)}


def _parts(node: dict[str, Any], scope: Scope, level: int, walk: "Walk | None") -> Iterator[list[str]]:
    """A row for each part below a node of the tree; `scope` is what the node shows. No walk: no reach."""
    from explorer.analysis.reach import reach_of

    if not node["children"]:
        return
    for child, entry in zip(node["children"], scope.body, strict=True):
        part, name = entry.node, "  " * level + child["name"]
        reach = None if walk is None else reach_of(part, walk)
        if isinstance(part, Scope):
            yield _row(name, depth_of(part), chain_of(part), child["columns"], reach)
            yield from _parts(child, part, level + 1, walk)
        else:
            layers = int(part.kind in LAYERS)
            yield _row(name, layers, layers, child["columns"], reach)


def _row(name: str, depth: int, chain: int, columns: dict[str, Any], reach: "Reach | None") -> list[str]:
    moved, copied = columns.get("bytes_moved"), columns.get("bytes_copied")
    return [
        name,
        *(whole(columns[column]) for column in COLUMNS),
        whole(depth),
        whole(chain),
        whole(columns.get("launches")),
        megabytes(moved),
        DASH if not moved else percent(copied or 0, moved),
        rate(2 * columns["macs"] / moved if moved else None),
        DASH if reach is None else spread(reach.longest),
        DASH if reach is None else spread(reach.field),
    ]


def megabytes(amount: int | None) -> str:
    """6.91, or 1,062.7, for a column whose header says MB; not known is a dash."""
    return DASH if amount is None else f"{amount / 1e6:,.{1 if amount >= 1e8 else 2}f}"


def size(amount: int | None) -> str:
    """3.301 GB; not known is a dash."""
    return DASH if amount is None else decimal(Bytes(amount))


def rate(value: Any) -> str:
    """18.3; not known is a dash."""
    return DASH if value is None else f"{float(value):.1f}"


def spread(values: "Distribution") -> str:
    """4·42·80: least, median and most over channels; one number where all have the same."""
    low, middle, high = (values.quantile(share) for share in (0, 0.5, 1))
    shown = [ALL if value is None else str(value) for value in (low, middle, high)]
    return shown[0] if low == high else "·".join(shown)


# --- for other programs


def print_parts_csv(costs: list[Cost], depth: int) -> None:
    """A row for each network and part."""
    rows: list[list[Any]] = []
    for cost in costs:
        tree = cost.tree(depth, saved=True)
        peaks = [getattr(cost, name) for name in MEMORY]
        rows.append([cost.network, "", "network", sides(cost.graph.root.out), *_csv_columns(tree), *peaks])
        rows += _csv_rows(tree, "", cost.network)
    print_csv(["network", "path", "kind", "shape", *COLUMNS, *TRAFFIC, "saved", *MEMORY], rows)


def _csv_columns(node: dict[str, Any]) -> list[Any]:
    return [node["columns"].get(name) for name in (*COLUMNS, *TRAFFIC, "saved")]


def _csv_rows(node: dict[str, Any], prefix: str, network: str) -> Iterator[list[Any]]:
    for child in node["children"]:
        path = prefix + child["name"]
        yield [network, path, child["kind"], sides(child["shape"]), *_csv_columns(child), *[None] * len(MEMORY)]
        yield from _csv_rows(child, f"{path}.", network)
