"""explorer cost: exact parameters, MACs and activations, in total and per stage and block."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from explorer.analysis.cost import COLUMNS, Cost
from explorer.cli.options import Batch, Classes, Format, Input, Nets, OutputFormat, at_least, input_size
from explorer.cli.printing import difference, percent, print_csv, print_table, short, sides, whole

if TYPE_CHECKING:
    from explorer.analysis.verify import Comparison

DEFAULT_DEPTH = 1  # stages, for one network
Depth = Annotated[int | None, typer.Option("--depth", help="Levels of the tree: 0 totals, 1 stages, 2 blocks, ...")]
Verify = Annotated[
    bool, typer.Option("--verify", help="Build the module and compare with torchinfo, fvcore and torch.")
]


def cost(
    nets: Nets,
    input: Input = None,
    classes: Classes = None,
    batch: Batch = 1,
    depth: Depth = None,
    verify: Verify = False,
    format: OutputFormat = Format.table,
) -> None:
    """What networks cost: parameters, MACs of convolutions and linear layers, activations, depth."""
    import explorer

    size = input_size(input)
    at_least(classes, 1, "--classes")
    at_least(batch, 1, "--batch")
    at_least(depth, 0, "--depth")
    costs: list[Cost] = [explorer.cost(net, input=size, classes=classes, batch=batch) for net in nets]
    checked = [_verified(c) for c in costs] if verify else []
    if format is Format.json:
        found = [c.as_dict(depth) for c in costs]
        for shown, rows in zip(found, checked, strict=False):
            shown["verify"] = [row._asdict() for row in rows]
        typer.echo(json.dumps(found[0] if len(found) == 1 else found))
    elif format is Format.csv:
        print_csv(["network", "path", "kind", "shape", *COLUMNS], _csv_rows(costs, depth))
    else:
        _print(costs, depth)
        for c, rows in zip(costs, checked, strict=False):
            _print_verified(c, rows)
    if not all(row.explained for rows in checked for row in rows):
        typer.echo("explorer: a difference between counters has no known reason", err=True)
        raise typer.Exit(1)


def _print(costs: list[Cost], depth: int | None) -> None:
    if len(costs) == 1 or depth:
        for cost in costs:
            _print_tree(cost, DEFAULT_DEPTH if depth is None else depth)
    if len(costs) > 1:
        _print_comparison(costs)


def _print_tree(cost: Cost, depth: int) -> None:
    unit = "image" if cost.batch == 1 else f"{cost.batch} images"
    title = f"{cost.canonical}  ({sides(cost.input)}, {unit})"
    rows: list[list[str]] = []
    _tree_rows(cost.tree(depth), 0, cost, rows)
    total = ["total", "", "", whole(cost.params), whole(cost.macs), "100.0%", whole(cost.activations)]
    print_table(
        ["layer", "kind", "output", "params", "MACs", "of MACs", "activations"], [*rows, total], (0, 1, 2), title
    )
    for change in changes(cost):
        typer.echo(change)
    typer.echo(
        f"params {short(cost.params)}   {short(cost.macs, 'MACs')} of convolutions and linear layers   "
        f"depth {cost.depth}   chain {cost.chain}"
    )


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


def _print_comparison(costs: list[Cost]) -> None:
    first = costs[0]
    headers = ["network", "params", "Δ", "MACs", "Δ", "activations", "Δ", "depth", "chain"]
    rows = []
    for cost in costs:
        row = [cost.canonical]
        for column in COLUMNS:
            value, reference = getattr(cost, column), getattr(first, column)
            row += [whole(value), "" if cost is first else difference(value, reference)]
        rows.append([*row, whole(cost.depth), whole(cost.chain)])
    print_table(headers, rows)
    for cost in costs:
        for change in changes(cost):
            typer.echo(f"{cost.canonical.split(' + ')[0]} {change}")
    typer.echo(f"Δ: difference to {first.canonical}; MACs of convolutions and linear layers")


def _csv_rows(costs: list[Cost], depth: int | None) -> list[list[Any]]:
    rows: list[list[Any]] = []
    for cost in costs:
        totals = [cost.params, cost.macs, cost.activations]
        rows.append([cost.network, "", "network", sides(cost.graph.root.out), *totals])
        _walk_csv(cost.tree(DEFAULT_DEPTH if depth is None else depth), "", cost.network, rows)
    return rows


def _walk_csv(node: dict[str, Any], prefix: str, network: str, rows: list[list[Any]]) -> None:
    for child in node["children"]:
        path = prefix + child["name"]
        columns = [child["columns"][name] for name in COLUMNS]
        rows.append([network, path, child["kind"], sides(child["shape"]), *columns])
        _walk_csv(child, f"{path}.", network, rows)


def _verified(cost: Cost) -> "list[Comparison]":
    from explorer.analysis.verify import verify

    return verify(cost)


def _print_verified(cost: Cost, rows: "list[Comparison]") -> None:
    shown = [[r.quantity, r.counter, whole(r.ours), whole(r.theirs), whole(r.gap), r.reason] for r in rows]
    headers = ["quantity", "counter", "ours", "theirs", "gap", "reason"]
    print_table(headers, shown, (0, 1, 5), f"{cost.canonical}: ours beside other counters")
