"""What `explorer sweep` prints of candidates and trials: costs, errors, and what went wrong."""

from typing import TYPE_CHECKING

import typer

from explorer.cli.options import Format
from explorer.cli.printing import difference, print_table, sides, whole
from explorer.cli.sweep_document import cost_of
from explorer.cli.sweep_tables import print_rows, print_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from explorer.sweep.records import CandidateRecord, TrialRecord
    from explorer.sweep.run import SweepResult

REASONS = 5  # why trials failed, on stderr


def print_costs(result: "SweepResult", format: Format) -> None:
    """The candidates' costs; on stderr which are left out."""
    if format is Format.table:
        print_table_of(result.candidates)
    else:
        print_rows([cost_of(candidate) for candidate in result.candidates], format)
    tell_repeated(result.repeated)


def tell_repeated(texts: "Sequence[str]") -> None:
    """Say what was left out because it is one of the networks by another name."""
    if texts:
        shown = ", ".join(texts[:3]) + (", ..." if len(texts) > 3 else "")
        typer.echo(f"left out, as another of the networks is the same: {shown}", err=True)


def tell_reasons(trials: "Sequence[TrialRecord]") -> None:
    """Why trials failed or diverged, the most frequent reasons first; numbers apart, equal ones are one."""
    from explorer.sweep.space import skeleton

    found: dict[tuple[str, str], list[str]] = {}
    for trial in trials:
        if trial.message:
            found.setdefault((trial.status, skeleton(trial.message)), []).append(trial.message)
    reasons = sorted(found.items(), key=lambda one: -len(one[1]))
    for (status, _), messages in reasons[:REASONS]:
        typer.echo(f"{len(messages)} {'trial' if len(messages) == 1 else 'trials'} {status}: {messages[0]}", err=True)
    if len(reasons) > REASONS:
        typer.echo(f"and {len(reasons) - REASONS} other reasons; the report has them all", err=True)


def _plain(candidates: "tuple[CandidateRecord, ...]") -> "dict[str, CandidateRecord]":
    """Each base's plain network: what differences are to."""
    found: dict[str, CandidateRecord] = {}
    for candidate in candidates:
        if not candidate.scales:
            found.setdefault(candidate.base, candidate)
    return found


def print_table_of(candidates: "tuple[CandidateRecord, ...]") -> None:
    """The costs of candidates, and how they differ from the plain networks'."""
    plain = _plain(candidates)
    references = [plain.get(candidate.base, candidate).network for candidate in candidates]
    sized = len({candidate.network.input for candidate in candidates}) > 1
    compared = any(reference is not c.network for c, reference in zip(candidates, references, strict=True))
    shown = []
    for c, reference in zip(candidates, references, strict=True):
        params, macs, *rest = _numbers(c)
        pairs = [(params, reference.params), (macs, reference.macs)]
        own = [difference(*pair) if reference is not c.network else "" for pair in pairs] if compared else []
        counts = [[whole(params), *own[:1]], [whole(macs), *own[1:]]]
        size = [sides(c.network.input)] if sized else []
        shown.append([c.network.canonical, *size, *counts[0], *counts[1], *map(whole, rest)])
    change, size = ["Δ"] if compared else [], ["input"] if sized else []
    headers = ["network", *size, "params", *change, "MACs", *change, "activations", "depth", "chain"]
    print_table(headers, shown, range(1 + sized))
    if compared:
        typer.echo("Δ: against the same network without MS-SAR")
    print_size(c.network.input for c in candidates)


def _numbers(candidate: "CandidateRecord") -> list[int]:
    network = candidate.network
    return [network.params, network.macs, network.activations, network.depth, network.chain]


def print_errors(result: "SweepResult", how: str, seeds: int) -> None:
    """Each network's test error, on data and within a budget that `how` names."""
    from statistics import mean, stdev

    rows = []
    for candidate in result.candidates:
        trials = [t for t in result.trials if t.network == candidate.network.digest]
        errors = [t.test_error for t in trials if t.test_error is not None]
        spread = f" ± {100 * stdev(errors):.1f}" if len(errors) > 1 else ""
        shown = f"{100 * mean(errors):.1f}{spread}" if errors else "-"
        rows.append(
            [candidate.network.canonical, whole(candidate.network.macs), shown, f"{len(errors)} of {len(trials)}"]
        )
    print_table(["network", "MACs", "test error, %", "trials"], rows)
    spread = "mean ± standard deviation over" if seeds > 1 else "of"
    typer.echo(f"{how}; test error: {spread} {seeds} {'seed' if seeds == 1 else 'seeds'}")
    if result.found:
        typer.echo(f"{result.found} of {len(result.trials)} trials were in the store already")
