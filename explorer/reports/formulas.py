"""The derived formulas as a LaTeX table and as tables in Markdown."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from explorer.analysis.derive.rows import Row
from explorer.analysis.derive.symbols import pretty
from explorer.reports.latex import escaped

COLUMNS = ("section", "formula", "claimed", "derived", "difference", "verdict", "range")
PREAMBLE = r"""% \usepackage{amsmath, array, booktabs, longtable}
\begin{longtable}{@{}>{\raggedright\arraybackslash}p{0.3\linewidth}>{\raggedright\arraybackslash}p{0.66\linewidth}@{}}
\toprule
formula & claimed, derived, difference, verdict and range \\
\midrule
\endhead
"""
INFINITE = "--"  # the difference of infinities


def latex(rows: Iterable[Row]) -> str:
    """A longtable with booktabs rules and a heading for each paper; formulas stand below each other to fit a page."""
    lines: list[str] = []
    paper = ""
    for row in rows:
        if row.paper != paper:
            paper = row.paper
            lines.append(rf"\multicolumn{{2}}{{@{{}}l}}{{\textbf{{{escaped(paper)}}}}} \\*")
        cells = dict(zip(COLUMNS[2:], _mathematics(row, "$", "$"), strict=True))
        right = r" \newline ".join(rf"\textit{{{name}}} {text}" for name, text in cells.items())
        lines.append(rf"{escaped(row.name)} ({escaped(row.where)}) & {right} \\ \addlinespace")
    return PREAMBLE + "\n".join(lines) + "\n\\bottomrule\n\\end{longtable}\n"


def markdown(rows: Sequence[Row]) -> str:
    """A table for each paper, with mathematics as GitHub shows it."""
    parts: list[str] = []
    for paper in dict.fromkeys(row.paper for row in rows):
        mine = [row for row in rows if row.paper == paper]
        head = [f"## {paper}", "", _line(COLUMNS), _line(["---"] * len(COLUMNS))]
        lines = [_line((row.where, row.name, *_mathematics(row, "$`", "`$"))) for row in mine]
        parts.append("\n".join([*head, *lines, "", legend(mine)]) + "\n")
    return "\n".join(parts)


def legend(rows: Iterable[Row]) -> str:
    """What the symbols stand for, those of the most rows first."""
    counted = Counter(meaning for row in rows for meaning in row.symbols.split("; ") if meaning)
    return "Symbols: " + "; ".join(pretty(meaning) for meaning, _ in counted.most_common()) + "."


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _mathematics(row: Row, left: str, right: str) -> tuple[str, ...]:
    """Claim, derived expression, difference, verdict and range, with their formulas between two signs."""
    expressions = (row.claim_latex, row.derived_latex, row.difference_latex)
    sentences = (row.verdict_latex, row.range_latex)
    return (
        *(f"{left}{text}{right}" if text else INFINITE for text in expressions),
        *(re.sub(r"\$(.*?)\$", lambda found: f"{left}{found[1]}{right}", text) for text in sentences),
    )
