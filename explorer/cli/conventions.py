"""What `explorer cost --as NAME[,NAME...]` prints: counts by other conventions, and what makes up a difference."""

from collections.abc import Sequence
from typing import Any

import typer

from explorer.analysis.convention_tables import COLUMNS
from explorer.analysis.conventions import Convention, convention, count_of, difference
from explorer.analysis.cost import Cost
from explorer.analysis.training import TrainingCost, torch_training_flops, training_macs
from explorer.analysis.units import Amount, Macs, binary, decimal, exact
from explorer.cli.printing import print_table, whole
from explorer.errors import UserError

TRACED = (
    "counts of a traced module by the tables; a tool that looks at layers may miss subclasses and functions, "
    "and norms other than batch norm and attention have no rules"
)


def conventions_of(text: str) -> tuple[Convention, ...]:
    """The conventions that --as names: fvcore,thop. Raises UserError for one that is unknown or named twice."""
    names = [name.strip().lower() for name in text.split(",")]
    for name in names:
        if not name:
            raise UserError(f"--as: '{text[:60]}' is not a list of conventions such as fvcore,thop")
        if names.count(name) > 1:
            raise UserError(f"--as: '{name[:60]}' is named twice")
    try:
        return tuple(convention(name) for name in names)
    except UserError as error:
        raise UserError(f"--as: {error}") from None


def as_json(cost: Cost, conventions: Sequence[Convention]) -> dict[str, Any]:
    """The first convention as `convention`, `unit` and `count`, the others as {name: count} in `others`."""
    first, *others = conventions
    return {
        "convention": first.name,
        "unit": first.unit,
        "count": count_of(first, cost),
        "others": {other.name: count_of(other, cost) for other in others},
        **({"remark": TRACED} if "trace" in cost.graph.root.attrs else {}),
    }


def print_counts(costs: Sequence[Cost], conventions: Sequence[Convention]) -> None:
    """A row for each network and convention, what the conventions count, and how they differ from the first."""
    rows = [
        [cost.canonical if index == 0 else "", each.name, exact(amount), short(each, amount)]
        for cost in costs
        for index, each in enumerate(conventions)
        for amount in [amount_of(each, cost)]
    ]
    print_table(["network", "convention", "count", "in short"], rows, (0, 1))
    for each in conventions:
        typer.echo(f"{each.name}: {each.counts} ({each.source})")
    for cost in costs:
        if "trace" in cost.graph.root.attrs:
            typer.echo(f"{cost.canonical}: {TRACED}")
        for each in conventions:
            if missing := uncovered(each, cost):
                typer.echo(f"{cost.canonical}: {each.name} has no rule for {', '.join(missing)}, and counts them as 0")
        for other in conventions[1:]:
            _print_difference(cost, conventions[0], other)


def uncovered(convention: Convention, cost: Cost) -> list[str]:
    """Kinds of a traced module's operations that multiply and that a convention's table does not name."""
    return [kind for kind, row in cost.ledger.items() if row.macs and kind not in convention.weights]


def amount_of(convention: Convention, cost: Cost) -> Amount:
    """A convention's count in its own unit."""
    return convention.amount(count_of(convention, cost))


def short(convention: Convention, amount: Amount) -> str:
    """With the prefixes that the convention's source prints."""
    return binary(amount) if convention.binary else decimal(amount)


def _print_difference(cost: Cost, first: Convention, second: Convention) -> None:
    rows = sorted(difference(first, second, cost), key=lambda row: -abs(row.contribution))
    shown = [
        [r.rule, COLUMNS[r.column], whole(r.elements), whole(r.first), whole(r.second), signed(r.contribution)]
        for r in rows
    ]
    total = signed(sum(row.contribution for row in rows))
    ends = exact(amount_of(first, cost)), exact(amount_of(second, cost))
    title = f"{cost.canonical}: from {first.name} ({ends[0]}) to {second.name} ({ends[1]})"
    headers = ["of", "counted", "how many", first.name, second.name, "difference"]
    typer.echo()
    print_table(headers, [*shown, ["sum", "", "", "", "", total]], (0, 1), title)
    if first.unit != second.unit:
        typer.echo(f"{first.name} counts {first.unit}, {second.name} {second.unit}: the numbers differ by this much")


def signed(value: int) -> str:
    """+22,328,336; nothing is 0."""
    return f"{value:+,}" if value else "0"


def training_as_json(cost: Cost, verify: bool = False) -> dict[str, Any]:
    """The multiply-adds of a training step; `torch_flops` is torch's own count of it (None unless verified)."""
    training = training_macs(cost.graph)
    passes = {name: number * cost.batch for name, number in training._asdict().items()}
    theirs = torch_training_flops(cost.graph) * cost.batch if verify else None
    return {**passes, "total": training.total * cost.batch, "torch_flops": theirs}


def print_training(costs: Sequence[Cost], verify: bool = False) -> None:
    """The multiply-adds of a training step by kind of pass; with verify beside half of what torch's counter says."""
    headers = ["network", "forward", "gradients of inputs", "gradients of weights", "training step"]
    rows = []
    for cost in costs:
        training = training_macs(cost.graph)
        passes = (*training, training.total)
        row = [cost.canonical, *(decimal(Macs(number * cost.batch)) for number in passes)]
        rows.append(row + (_torch(training, cost) if verify else []))
    print_table(headers + (["torch's counter / 2", "too much by"] if verify else []), rows, title="training")


def _torch(training: TrainingCost, cost: Cost) -> list[str]:
    theirs = torch_training_flops(cost.graph) // 2
    factor = "=" if theirs == training.total else f"x{theirs / training.total:.3f}"
    return [decimal(Macs(theirs * cost.batch)), factor]
