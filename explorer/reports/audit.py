"""The audit as a page, as Markdown for the documentation, and as LaTeX: one table per paper."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from explorer.analysis.audit.result import Audit
from explorer.analysis.audit.verdicts import Verdict
from explorer.reports.latex import escaped
from explorer.reports.writing import write_file

TITLES = {
    "ms-sar": "MS-SAR: multi-scale spatially asymmetric recalibration",
    "seqconv": "SeqConv: sequentially aggregated convolutional networks",
    "gunn": "GUNN: gradually updated neural networks",
}
ROW_HEADINGS = ("table", "network", "data", "metric", "printed", "ours", "verdict", "why")
CLAIM_HEADINGS = ("section", "claim", "verdict", "computed")


def sentences(result: Audit) -> tuple[str, str]:
    """The summary: how many figures and claims have which verdict."""
    return (
        f"{len(result.rows)} printed figures: " + _counted(result.counts),
        f"{len(result.claims)} claims: " + _counted(result.claim_counts),
    )


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.items())


def _papers(result: Audit) -> list[str]:
    return list(dict.fromkeys(row.row.paper for row in result.rows))


def _cells(row: Verdict) -> tuple[str, ...]:
    r = row.row
    return r.table, r.network, r.dataset, r.metric, r.printed, f"{row.ours:,}", row.verdict, row.reason


def _section(result: Audit, paper: str) -> dict[str, Any]:
    rows = [row for row in result.rows if row.row.paper == paper]
    claims = [claim for claim in result.claims if claim.paper == paper]
    part = Audit(rows, claims)
    return {
        "title": TITLES[paper],
        "summary": sentences(part),
        "rows": [_cells(row) for row in rows],
        "claims": [(claim.where, claim.claim, claim.verdict, claim.detail) for claim in claims],
    }


def page(result: Audit) -> str:
    """The HTML page; it needs no other file."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    loader = PackageLoader("explorer.reports", "templates")
    jinja = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    css = Markup(jinja.get_template("report.css").render())
    return jinja.get_template("audit.html").render(
        css=css,
        summary=sentences(result),
        row_headings=ROW_HEADINGS,
        claim_headings=CLAIM_HEADINGS,
        sections=[_section(result, paper) for paper in _papers(result)],
    )


def write_page(result: Audit, path: str) -> Path:
    """Write the page into a folder that is there. Raises UserError where that is impossible."""
    target = Path(path)
    write_file(target, page(result).encode(), "--html")
    return target


def markdown(result: Audit) -> str:
    """Tables for the documentation."""
    lines = [*(f"* {sentence}" for sentence in sentences(result))]
    for paper in _papers(result):
        section = _section(result, paper)
        lines += ["", f"## {section['title']}", "", *(f"* {sentence}" for sentence in section["summary"]), ""]
        lines += [*_markdown_table(ROW_HEADINGS, section["rows"]), ""]
        lines += _markdown_table(CLAIM_HEADINGS, section["claims"])
    return "\n".join(lines) + "\n"


def _markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    escaped = [[cell.replace("|", "\\|").replace("*", "\\*") for cell in row] for row in rows]
    return [_line(headings), _line(["---"] * len(headings)), *map(_line, escaped)]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def latex(result: Audit) -> str:
    """One table per paper with its printed figures; needs the packages booktabs and longtable."""
    parts = []
    for paper in _papers(result):
        section = _section(result, paper)
        parts += [r"\begin{longtable}{lllllrl}", rf"\caption{{{escaped(section['title'])}}}\\", r"\toprule"]
        parts += [" & ".join(ROW_HEADINGS[:-1]) + r" \\", r"\midrule", r"\endhead"]
        parts += [" & ".join(map(escaped, row[:-1])) + r" \\" for row in section["rows"]]
        parts += [r"\bottomrule", r"\end{longtable}", ""]
    return "\n".join(parts)
