"""The scale table for other programs: CSV, JSON and LaTeX, as text."""

import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from explorer.errors import UserError, nearest
from explorer.reports.claims import Claims, compare
from explorer.reports.latex import escaped
from explorer.reports.numbers import scale_set
from explorer.reports.study import Group, Study, read
from explorer.reports.table import COMPARED, Line, cells, group_lines, headings, lines
from explorer.sweep.store import DEFAULT_WORKSPACE, collector_paused


@collector_paused()
def export_table(
    workspace: str | Path = DEFAULT_WORKSPACE, runs: Sequence[int] | None = None, form: str = "csv"
) -> str:
    """The scale table of the given runs (None: of all) as csv, json or latex.

    csv and json hold raw values: errors as fractions, what was not measured empty or null. latex is the
    printed table, in percent. UserError for an unknown form, store or run, and where no trial has ended.
    """
    if form not in FORMS:
        raise UserError(f"--format: there is no format {form[:80]!r}; {nearest(form, FORMS)}")
    studies = read(workspace, runs, brief=True).studies
    return FORMS[form]([(study, compare(study)) for study in studies])


Compared = Sequence[tuple[Study, Claims]]


def to_json(compared: Compared) -> str:
    """A list of objects, one for each network and on a line of its own."""
    objects = [json.dumps(line._asdict()) for study, claims in compared for line in lines(study, claims)]
    return "[\n" + ",\n".join(objects) + "\n]\n"


def to_csv(compared: Compared) -> str:
    """One line for each network, with a header; scales as {1,2,4}."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(Line._fields)
    for study, claims in compared:
        for line in lines(study, claims):
            scaled = line.scales is not None
            writer.writerow((line._asdict() | {"scales": scale_set(line.scales)}).values() if scaled else line)
    return stream.getvalue()


def to_latex(compared: Compared) -> str:
    """One tabular for each base network; needs no package."""
    return "\n".join(_tabular(study, group, claims) for study, claims in compared for group in study.groups)


def _tabular(study: Study, group: Group, claims: Claims) -> str:
    """One group of a study as a tabular, with a comment saying what it is."""
    scales = group.scales
    first = [str(scale) for scale in scales] if group.base is not None else ["Network"]
    compared = group.base is None and any(claims.of(row) for row in group.rows)
    printed = [*headings(group), *(COMPARED if compared else ())]
    columns = ("c" * len(first) if group.base is not None else "l") + "r" * len(printed)
    units = [f"{heading.text} ({heading.below})" if heading.below else heading.text for heading in printed]
    table = group_lines(study, group, claims)
    rows = [" & ".join(map(escaped, [*first, *units]))]
    for row, line in zip(group.rows, table, strict=True):
        marks = [r"$\surd$" if scale in (row.scales or ()) else "" for scale in scales]
        head = marks if group.base is not None else [escaped(row.label)]
        rows.append(" & ".join([*head, *(escaped(cell.text) for cell in cells(printed, line, claims.of(row)))]))
    header, *body = (f"{row} \\\\" for row in rows)
    computed = f", {study.execution}" if study.execution else ""
    comment = f"% {group.title}; {study.data.name}, {study.budget} a trial{computed}".replace("\n", " ")
    return "\n".join(
        [
            comment,
            f"\\begin{{tabular}}{{{columns}}}",
            "\\hline",
            header,
            "\\hline",
            *body,
            "\\hline",
            "\\end{tabular}",
            "",
        ]
    )


FORMS: dict[str, Callable[[Compared], str]] = {"csv": to_csv, "json": to_json, "latex": to_latex}
