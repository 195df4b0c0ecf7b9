"""The verdict on each printed parameter or FLOPs figure, and the reason for it.

Verdicts are computed from the ledger, in this order: the plain count gives the printed digits (rounded, then cut);
a named convention does; another row of the same paper prints the right digits; a reading chosen on the *other* rows
of the column reproduces this one; another named network of the family gives the digits without any free choice.
What is left is contradicted.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from explorer.analysis.audit.counting import Counting, countings
from explorer.analysis.audit.families import file_of, siblings
from explorer.analysis.audit.figures import EQUAL, TRUNCATED, parse_figure
from explorer.analysis.audit.measure import copies_of, cost
from explorer.analysis.audit.reported import Reported, cost_rows, reported
from explorer.analysis.audit.search import Found, Reading, column_of, count_of, match_of, plain, search

CONVENTION, EXPLAINED, CONTRADICTED = "equal under a named convention", "explained", "contradicted"
VERDICTS = (EQUAL, TRUNCATED, CONVENTION, EXPLAINED, CONTRADICTED)


class Verdict(NamedTuple):
    """A printed figure, our count of the network as named, and how the two go together."""

    row: Reported
    ours: int
    verdict: str
    reason: str

    def as_dict(self) -> dict[str, Any]:
        """One row of `explorer audit --format json`."""
        return {**self.row._asdict(), "ours": self.ours, "verdict": self.verdict, "reason": self.reason}


def audit(
    paper: str | None = None, rows: Sequence[Reported] | None = None, tell: Callable[[str], None] = lambda row: None
) -> list[Verdict]:
    """A verdict for every printed params and FLOPs figure of one paper, or of all; `tell` is given each row's name."""
    printed, verdicts = tuple(cost_rows() if rows is None else rows), []
    for row in printed:
        if paper in (None, row.paper):
            tell(row.id)
            verdicts.append(verdict_on(row, printed))
    return verdicts


def verdict_on(row: Reported, printed: tuple[Reported, ...]) -> Verdict:
    """The verdict on one row; `printed` are all rows that may speak for a reading."""
    ours = count_of(row, plain(row.metric))
    match = match_of(row, plain(row.metric))
    if match == EQUAL:
        return Verdict(row, ours, EQUAL, "rounds to the printed digits")
    if match == TRUNCATED:
        return Verdict(row, ours, TRUNCATED, "cut after the printed digits")
    column = column_of(row, printed)
    for verdict, explain in (
        (CONVENTION, _convention),
        (EXPLAINED, _corroborated),
        (EXPLAINED, _reading),
        (EXPLAINED, _mislabelled),
    ):
        reason = explain(row, column)
        if reason is not None:
            return Verdict(row, ours, verdict, reason)
    return Verdict(row, ours, CONTRADICTED, _nearest(row, ours, column))


class Support(NamedTuple):
    """What the other rows of a column say about a reading; copies of the same figure count once."""

    gained: int = 0  # reproduced by this reading and not by the plain one
    kept: int = 0  # by both, although the counts differ
    lost: int = 0  # by the plain reading only
    changed: int = 0  # by neither, although the counts differ

    @property
    def speaks_for(self) -> bool:
        """More rows that the reading concerns are reproduced than not, and none is lost."""
        return not self.lost and self.gained + self.kept > self.changed


def support(reading: Reading, row: Reported, column: Sequence[Reported]) -> Support:
    """How the rows other than this one take to a reading."""
    others = {_figure_of(other): other for other in column if _figure_of(other) != _figure_of(row)}
    said = [_outcome(other, reading) for other in others.values()]
    return Support(*(said.count(word) for word in Support._fields))


def _outcome(row: Reported, reading: Reading) -> str | None:
    before, after = match_of(row, plain(row.metric)), match_of(row, reading)
    if not reading.binary and count_of(row, reading) == count_of(row, plain(row.metric)):
        return None
    return ("kept" if after else "lost") if before else "gained" if after else "changed"


def _figure_of(row: Reported) -> tuple[str, str, str]:
    return row.network, row.dataset, row.printed


def _convention(row: Reported, column: tuple[Reported, ...]) -> str | None:
    """The named convention that reproduces this row and that most of the column speaks for."""
    best: tuple[int, Counting, Support] | None = None
    for counting in countings(row.metric)[1:]:
        reading = Reading((), counting, counting.binary, 1)
        if counting.named and match_of(row, reading):
            found = support(reading, row, column)
            others = found.gained
            if found.gained and found.speaks_for and (best is None or others > best[0]):
                best = others, counting, found
    if best is None:
        return None
    others, counting, _ = best
    units = ", in units of 2^30" if counting.binary else ""
    return f"convention {counting.name}{units}; it gives {_plural(others, 'other figure')} of the column too"


def _plural(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _corroborated(row: Reported, column: tuple[Reported, ...]) -> str | None:
    """The paper itself prints the count that this figure should be, or is."""
    network, copies = copies_of(row.network)
    for other in printed_of(network, row) if copies > 1 else ():
        if copies * parse_figure(other.printed).value == parse_figure(row.printed).value:
            return f"{copies} times the {other.printed} that {_where(other)} prints of {network}"
    one = count_of(row, plain(row.metric)) // copies
    if copies > 1 and copies * _rounded(one, row) == parse_figure(row.printed).value and _products(row.paper):
        return f"{copies} times {network}, whose {one:,} were rounded first, as in the paper's other product"
    sure = [other for other in column if other.printed != row.printed and match_of(other, plain(other.metric))]
    for other in sure:
        count = count_of(other, plain(other.metric))
        if parse_figure(row.printed).match(count):
            for found in search(column):
                simple = len(found.reading.options) == found.reading.choices == 1
                if simple and count_of(row, found.reading) == count:
                    return f"{found.reading.says}: {count:,}, which {_where(other)} prints as {other.printed}"
    for other in sure:
        if (other.network, other.dataset) == (row.network, row.dataset) and _one_slip(row.printed, other.printed):
            return f"misprint: {_where(other)} prints {other.printed} for the same network, which is our count"
    return None


def _rounded(count: int, row: Reported) -> Fraction:
    """A count rounded to the last digit that the row prints."""
    step = parse_figure(row.printed).step
    return round(count / step) * step


def _products(paper: str) -> bool:
    """Whether the paper prints a figure times a number of copies elsewhere."""
    for row in cost_rows(paper):
        network, copies = copies_of(row.network)
        for other in printed_of(network, row) if copies > 1 else ():
            if copies * parse_figure(other.printed).value == parse_figure(row.printed).value:
                return True
    return False


def _one_slip(wrong: str, right: str) -> bool:
    """Whether one digit is wrong, or two neighbours stand in the wrong order."""
    if len(wrong) != len(right):
        return False
    places = [i for i, (a, b) in enumerate(zip(wrong, right, strict=True)) if a != b]
    if not all(wrong[i].isdigit() and right[i].isdigit() for i in places):
        return False
    swapped = (
        len(places) == 2 and places[1] == places[0] + 1 and {wrong[i] for i in places} == {right[i] for i in places}
    )
    return len(places) == 1 or swapped


def printed_of(network: str, row: Reported) -> list[Reported]:
    """What the row's paper prints of another network, by the same metric."""
    return [r for r in cost_rows(row.paper) if (r.network, r.metric) == (network, row.metric)]


def _where(row: Reported) -> str:
    return row.table.replace("text", "section") if row.table.startswith("text") else f"table {row.table}"


def _reading(row: Reported, column: tuple[Reported, ...]) -> str | None:
    """A reading that the other rows choose, if it predicts this row."""
    best = chosen_without(row, column)
    found = next((found for found in best if found.matches[column.index(row)]), None)
    if found is None:
        return None
    equal = f", one of {len(best)} they speak for equally" if len(best) > 1 else ""
    return (
        f"{found.reading.says}: {_plural(found.reading.choices, 'free choice')}, made on the other rows{equal}; "
        f"{found.reproduced} of {len(column)} {column_name(column)} reproduced"
    )


def column_name(column: tuple[Reported, ...]) -> str:
    """What a column is made of: rows of resnet.arch with modifiers."""
    kind = "with" if "+" in column[0].network else "without"
    return f"rows of {file_of(copies_of(column[0].network)[0])} {kind} modifiers"


def chosen_without(row: Reported, column: tuple[Reported, ...]) -> list[Found]:
    """The readings that the rest of the column speaks for most, among those that change this row's count.

    They explain at least as many other figures as they make free choices. What the row itself prints plays no part.
    """
    mine = count_of(row, plain(row.metric))
    most, best = (0, 0), list[Found]()
    for found in sorted(search(column), key=lambda found: (found.reading.choices, found.reading.says)):
        reading = found.reading
        if reading.choices and (reading.binary or count_of(row, reading) != mine):
            said = support(reading, row, column)
            worth = said.gained - reading.choices, said.gained
            if said.gained and said.speaks_for and worth >= most:
                best = [*best, found] if worth == most else [found]
                most = worth
    return best


def _mislabelled(row: Reported, column: tuple[Reported, ...]) -> str | None:
    """Another named network of the family gives all printed digits, at least two, without any free choice."""
    network, copies = copies_of(row.network)
    figure = parse_figure(row.printed)
    if copies > 1 or figure.digits < 2:
        return None
    for name in siblings(network):
        count = count_of(row._replace(network=name), plain(row.metric))
        match = figure.match(count)
        if match and count != count_of(row, plain(row.metric)):
            how = ", truncated" if match == TRUNCATED else ""
            return f"mislabelled: the figure of {name} ({count:,}{how}), of the same family{_other_depth(row, name)}"
    return None


def _other_depth(row: Reported, name: str) -> str:
    """A remark where the paper prints another number of layers than this network has."""
    printed = [r.printed for r in reported() if (*r[:3], r.metric) == (*row[:3], "layers")]
    depth = cost(name).depth
    return f"; its depth is {depth}, the row prints {printed[0]} layers" if printed and printed[0] != str(depth) else ""


def _nearest(row: Reported, ours: int, column: tuple[Reported, ...]) -> str:
    figure = parse_figure(row.printed)
    off = float((ours - figure.value) / figure.value)
    text = f"our count is {100 * abs(off):.2g}% {'above' if off > 0 else 'below'} the printed figure"
    reproducing = [found for found in search(column) if found.matches[column.index(row)]]
    if not reproducing:
        return f"{text}; no reading tried reproduces it"
    best = reproducing[0]
    return (
        f"{text}; {best.reading.says} would give it, but that takes {best.reading.choices} free choice"
        f"{'s' * (best.reading.choices != 1)} for {best.reproduced} of {len(column)} rows"
    )
