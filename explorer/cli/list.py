"""explorer list: networks, families, blocks, modifiers and devices by name."""

import re
from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import partial
from typing import Annotated

import typer

from explorer.cli.list_runs import list_runs
from explorer.cli.options import Format, OutputFormat, Workspace
from explorer.errors import UserError

Pattern = Annotated[
    str | None,
    typer.Argument(
        metavar="[PATTERN]",
        help="Part of a name, a pattern with * and ?, or a section: networks, blocks, units, modifiers, primitives, "
        "devices, data, experiments. With --runs and --measurements, of the networks.",
    ),
]
Runs = Annotated[bool, typer.Option("--runs", help="The runs in the store instead.")]
Measurements = Annotated[bool, typer.Option("--measurements", help="What the store has of `cost --on` instead.")]
KINDS = {"network": "networks", "block": "blocks and modifiers that fill a slot", "unit": "units (inside folds)",
         "rewrite": "modifiers that rewrite convolutions"}  # fmt: skip
_SENTENCE = re.compile(r"(?<!\bal)\. ")  # ends one: not "et al. 2018"
CLOSE = 3  # names that are suggested


def list_(
    pattern: Pattern = None,
    runs: Runs = False,
    measurements: Measurements = False,
    workspace: Workspace = "explorer-work",
    format: OutputFormat = Format.table,
) -> None:
    """What there is by name: networks, blocks, modifiers, primitives, devices, data sets, experiments; or past runs."""
    if runs and measurements:
        raise UserError("--runs and --measurements exclude each other")
    if format is not Format.table and not (runs or measurements):
        raise UserError("--format: it is for --runs and --measurements")
    if runs:
        return list_runs(workspace, format, partial(_matches, pattern=pattern))
    if measurements:
        return _list_measurements(workspace, format, pattern)
    sections = _sections()
    named = [lines for words, lines in sections if pattern in words]
    shown = [line for lines in named for line in lines(None)]
    shown = shown or [line for _, lines in sections for line in lines(pattern)]
    if not shown:
        raise UserError(f"nothing is called '{(pattern or '')[:200]}'; {_hint(pattern or '')}")
    typer.echo("\n".join(shown))


def _sections() -> list[tuple[tuple[str, ...], Callable[[str | None], list[str]]]]:
    """What is listed: the words that each section is known by, and its lines for a pattern (None: all)."""
    return [
        (("networks",), partial(_definitions, "network")),
        (("blocks", "modifiers"), partial(_definitions, "block")),
        (("units",), partial(_definitions, "unit")),
        (("modifiers",), partial(_definitions, "rewrite")),
        (("primitives",), _primitives),
        (("devices",), _devices),
        (("data",), _data),
        (("experiments",), _experiments),
    ]


def _hint(pattern: str) -> str:
    """The nearest names, and the sections there are."""
    from difflib import get_close_matches

    from explorer.analysis.device import shipped_devices
    from explorer.blocks.ops import PRIMITIVES
    from explorer.catalog.experiments import titles
    from explorer.grammar.folds import FOLDS
    from explorer.grammar.library import shipped
    from explorer.train.data import SOURCES

    sections = dict.fromkeys(word for words, _ in _sections() for word in words)
    names = [*shipped(), *PRIMITIVES, *FOLDS, *shipped_devices(), *SOURCES, *titles(), *sections]
    close = " or ".join(f"'{name}'" for name in get_close_matches(pattern[:80], names, CLOSE))
    return f"{f'did you mean {close}? ' if close else ''}sections are {', '.join(sections)}"


def _matches(name: str, pattern: str | None) -> bool:
    if pattern is None:
        return True
    wild = any(c in pattern for c in "*?[")
    return fnmatchcase(name, pattern) if wild else pattern.lower() in name.lower()


def _definitions(kind: str, pattern: str | None) -> list[str]:
    from explorer.grammar.library import comment, header, shipped

    names = [n for n, place in shipped().items() if place.kind == kind and _matches(n, pattern)]
    lines = [f"{KINDS[kind]}:"] if names else []
    for name in names:
        about = _SENTENCE.split(comment(name), maxsplit=1)[0].rstrip(".")
        shown = header(name)
        joiner = "\n      " if about and len(shown) > 46 else f"{'':{max(1, 48 - len(shown))}}"
        lines.append(f"  {shown}{joiner}{about}".rstrip())
    return lines


def _primitives(pattern: str | None) -> list[str]:
    from explorer.blocks.ops import PRIMITIVES
    from explorer.grammar.folds import FOLDS

    lines = [f"  {p.doc}" for name, p in PRIMITIVES.items() if _matches(name, pattern)]
    lines += [
        f"  {(fold.__doc__ or '').strip().splitlines()[0]}" for name, fold in FOLDS.items() if _matches(name, pattern)
    ]
    return ["primitives, joins and folds:", *lines] if lines else []


def _devices(pattern: str | None) -> list[str]:
    from explorer.analysis.device import shipped_devices

    lines = [
        f"  {name:16}{device.source.partition(';')[0]}{'' if device.measured else '; not measured'}"
        for name, device in shipped_devices().items()
        if _matches(name, pattern)
    ]
    return ["devices, for predictions:", *lines] if lines else []


def _data(pattern: str | None) -> list[str]:
    from explorer.train.data import SOURCES

    names = [name for name in SOURCES if _matches(name, pattern)]
    return ["data:", *[f"  {name}" for name in names]] if names else []


def _experiments(pattern: str | None) -> list[str]:
    from explorer.catalog.experiments import titles

    lines = [f"  {name:<20}{title}" for name, title in titles().items() if _matches(name, pattern)]
    return ["experiments (explorer sweep NAME):", *lines] if lines else []


def _list_measurements(workspace: str, format: Format, pattern: str | None) -> None:
    from explorer.cli.cost_tables import megabytes
    from explorer.cli.measured_tables import milliseconds
    from explorer.cli.printing import DASH, print_table, sides
    from explorer.cli.sweep_tables import print_rows
    from explorer.sweep.store import Store

    with Store.read(workspace) as store:
        found = [one for one in store.measured() if _matches(one["canonical"], pattern)]
    if format is not Format.table:
        return print_rows(found, format)
    rows = [
        [
            *(one["canonical"], sides(one["input"]), one["device_name"] or one["device"]),
            *(str(one.get(name, DASH)) for name in ("mode", "dtype", "layers", "batch")),
            *(milliseconds(one.get("latency_ms")), megabytes(one.get("peak_bytes"))),
            *(one.get("outcome", DASH), one["measured"][:19]),
        ]
        for one in found
    ]
    headers = ["network", "input", "device", "mode", "dtype", "layers", "batch", "ms", "peak, MB", "outcome",
               "measured (UTC)"]  # fmt: skip
    print_table(headers, rows, (0, 1, 2, 3, 4, 5, 9, 10))
