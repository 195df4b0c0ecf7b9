"""explorer list --runs: what each command in the store compared, on what, and how far it is."""

import json
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import typer

from explorer.cli.options import Format
from explorer.cli.printing import DASH, print_csv

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from explorer.sweep.records import RunRecord

HEADERS = ("run", "begun", "what", "data", "budget", "how", "seeds", "done", "failed", "missing")
WHAT, HOW = HEADERS.index("what"), HEADERS.index("how")
WORDS = ("begun", "what", "data", "budget", "how")  # to the left
LEAST = 20  # characters of what was compared, however narrow the terminal
LONGEST = 12  # characters of the name of a data set, twice as many of how it was trained


def list_runs(workspace: str, format: Format, wanted: "Callable[[str], bool]") -> None:
    """A line for each run of wanted networks, no wider than the terminal; json and csv have everything in full."""
    from explorer.sweep.store import Store

    with Store.read(workspace) as store:
        runs = [_as_dict(run) for run in store.runs() if wanted(what(run.config))]
    if format is Format.json:
        typer.echo(json.dumps(runs))
    elif format is Format.csv:
        shown = [run | {"config": json.dumps(run["config"], sort_keys=True)} for run in runs]
        print_csv(list(_NAMES), [list(run.values()) for run in shown])
    else:
        _print(runs)


_NAMES = ("run", "created", "command", "what", "data", "budget", "how", "seeds", "planned", "done", "failed", "missing",
          "config")  # fmt: skip


def _as_dict(run: "RunRecord") -> dict[str, Any]:
    """A run for programs; done counts trials that diverged as well, for they are not run again."""
    config = run.config
    missing = run.planned - run.finished - run.failed
    about = (run.id, run.created, run.command, what(config), config.get("data"), config.get("budget"), how(config))
    return dict(
        zip(
            _NAMES,
            (*about, config.get("seeds", 1), run.planned, run.finished, run.failed, missing, config),
            strict=True,
        )
    )


def what(config: "Mapping[str, Any]") -> str:
    """What a run compared, in one line: an experiment by its name, else networks and what was done to them."""
    if "network" in config:
        return f"{config['network']}, seed {config.get('seed', 0)}"
    name = str(config.get("experiment") or "")
    if name and not name.endswith(".toml"):
        return name
    networks = ", ".join([*config.get("bases", ()), *(f"space {draw['name']}" for draw in config.get("draws", ()))])
    parts = [f"{PurePath(name).name}: {networks}" if name else networks]
    if config.get("scales"):
        parts.append(f"scales {','.join(map(str, config['scales']))}")
    parts += [f"+ {modifier}" for modifier in config.get("modifiers", ())]
    parts += [f"axis {axis}" for axis in config.get("axes") or ()]
    parts += [f"where {config['where']}"] if config.get("where") else []
    return "; ".join(parts)


def how(config: "Mapping[str, Any]") -> str:
    """How a run trained, as far as that was asked for: the recipe, and what is not usual of its execution."""
    from explorer.train.execution import Execution

    return ", ".join(filter(None, [config.get("recipe"), Execution(**config.get("execution", {})).unusual]))


def _print(runs: "list[dict[str, Any]]") -> None:
    """The table, one space between its columns: what was compared takes the width that the others leave."""
    rows = [
        [
            str(run["run"]),
            run["created"][:10],
            " ".join(run["what"].split()),
            _cut(PurePath(run["data"] or DASH).name, LONGEST),
            run["budget"] or DASH,
            _cut(run["how"] or DASH, 2 * LONGEST),
            *(str(run[name]) for name in ("seeds", "done", "failed", "missing")),
        ]
        for run in runs
    ]
    rows = [list(HEADERS), *rows]
    if not any(run["how"] for run in runs):
        rows = [row[:HOW] + row[HOW + 1 :] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    room = max(LEAST, _width() - sum(widths) + widths[WHAT] - len(widths) + 1)
    widths[WHAT] = min(widths[WHAT], room)
    headers = rows[0].copy()
    for row in rows:
        row[WHAT] = _cut(row[WHAT], room)
        cells = [
            cell.ljust(width) if header in WORDS else cell.rjust(width)
            for header, cell, width in zip(headers, row, widths, strict=True)
        ]
        typer.echo(" ".join(cells).rstrip())


def _width() -> int:
    """Characters of a line on the terminal; 80 where there is none."""
    from shutil import get_terminal_size

    return get_terminal_size((80, 24)).columns


def _cut(text: str, most: int) -> str:
    """A text of at most so many characters."""
    return text if len(text) <= most else f"{text[: most - 1]}\N{HORIZONTAL ELLIPSIS}"
