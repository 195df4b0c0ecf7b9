"""What `explorer sweep --format json` and `csv` write after training: one document with costs and results."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from explorer.cli.options import Format
from explorer.cli.sweep_tables import COLUMNS, extras, print_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from explorer.reports.report import ReportFiles
    from explorer.sweep.candidates import Selection
    from explorer.sweep.listing import Listing
    from explorer.sweep.records import CandidateRecord
    from explorer.sweep.run import SweepResult

ERRORS = ("test_error", "validation_error")


@dataclass(frozen=True)
class Swept:
    """What became of a sweep on one data set."""

    data: str
    budget: str
    seeds: int
    listings: "Sequence[Listing]"
    result: "SweepResult"


def cost_of(candidate: "CandidateRecord") -> dict[str, Any]:
    """A candidate's names and its exact costs for one image."""
    names = {"network": candidate.text, "canonical": candidate.network.canonical, "scales": candidate.scales}
    return names | {name: getattr(candidate.network, name) for name in COLUMNS}


def print_document(swept: "Sequence[Swept]", selection: "Selection", written: "ReportFiles", format: Format) -> None:
    """The document on standard output; as csv a line for each data set and network, without the report's files."""
    runs = [_run(one, selection) for one in swept]
    if format is Format.json:
        report = {"page": str(written.html), "figures": [str(path) for path in written.figures]}
        typer.echo(json.dumps({"runs": runs, "report": report}))
        return
    lines = [{name: run[name] for name in ("run", "data", "budget")} | row for run in runs for row in run["networks"]]
    print_rows(lines, format)


def _run(swept: Swept, selection: "Selection") -> dict[str, Any]:
    """One data set: the run's number in the store, and its networks in the order they were trained."""
    result = swept.result
    more = extras(swept.listings, selection) or [{}] * len(result.candidates)
    networks = [
        cost_of(candidate) | extra | _results(swept, candidate)
        for candidate, extra in zip(result.candidates, more, strict=True)
    ]
    facts = {"run": result.run, "data": swept.data, "budget": swept.budget, "seeds": swept.seeds}
    return facts | {"trials": len(result.trials), "found": result.found, "networks": networks}


def _results(swept: Swept, candidate: "CandidateRecord") -> dict[str, Any]:
    """How a network's trials ended, and its errors over those that are done, as fractions."""
    from explorer.reports.statistics import sample

    trials = [trial for trial in swept.result.trials if trial.network == candidate.network.digest]
    ended = [trial.status for trial in trials]
    found: dict[str, Any] = {status: ended.count(status) for status in ("done", "diverged", "failed")}
    found["messages"] = list(dict.fromkeys(trial.message for trial in trials if trial.message))
    for error in ERRORS:
        measured = sample([value for trial in trials if (value := getattr(trial, error)) is not None])
        found |= {f"{error}_mean": measured.mean, f"{error}_std": measured.std}
    return found
