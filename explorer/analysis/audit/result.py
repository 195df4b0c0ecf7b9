"""The audit as one result: verdicts and claims, and which of them are worse than those kept with the catalog."""

import csv
from collections import Counter
from collections.abc import Callable, Sequence
from importlib.resources import files
from itertools import count
from typing import Any, NamedTuple

from explorer.analysis.audit.reported import PAPERS, cost_rows
from explorer.analysis.audit.verdicts import VERDICTS, Verdict, audit
from explorer.analysis.claims import VERDICTS as CLAIM_VERDICTS
from explorer.analysis.claims import ClaimRow, claims
from explorer.analysis.claims.verdicts import claim_rows
from explorer.errors import UserError, nearest

KEPT = "verdicts.csv"
Key = tuple[str, ...]


class Audit(NamedTuple):
    """All verdicts on one paper, or on all."""

    rows: list[Verdict]
    claims: list[ClaimRow]

    @property
    def counts(self) -> dict[str, int]:
        """Printed figures by verdict; every verdict is listed."""
        return _tally(VERDICTS, [row.verdict for row in self.rows])

    @property
    def claim_counts(self) -> dict[str, int]:
        """Claims by verdict."""
        return _tally(CLAIM_VERDICTS, [claim.verdict for claim in self.claims])

    def as_dict(self) -> dict[str, Any]:
        """The JSON of `explorer audit`."""
        return {
            "summary": {"rows": self.counts, "claims": self.claim_counts},
            "rows": [row.as_dict() for row in self.rows],
            "claims": [claim.as_dict() for claim in self.claims],
        }


def run_audit(paper: str | None = None, progress: Callable[[float, str], None] = lambda share, what: None) -> Audit:
    """Audit one paper, or all; `progress` is told how much is done and what is next. UserError for an unknown paper."""
    if paper is not None and paper not in PAPERS:
        raise UserError(f"no paper '{paper[:40]}'; {nearest(paper, PAPERS)}; papers: {', '.join(PAPERS)}")
    places, total = count(), len(cost_rows(paper)) + sum(paper in (None, row["paper"]) for row in claim_rows())

    def tell(what: str) -> None:
        progress(next(places) / total, what)

    return Audit(audit(paper, tell=tell), claims(paper, tell=tell))


def _tally(words: Sequence[str], found: Sequence[str]) -> dict[str, int]:
    counts = Counter(found)
    return {word: counts[word] for word in words}


def kept_lines(result: Audit) -> list[list[str]]:
    """What is kept of an audit: which row or claim, and its verdict."""
    rows = [[*_row_key(row), row.verdict] for row in result.rows]
    return rows + [[*_claim_key(claim), claim.verdict] for claim in result.claims]


def worse_than_kept(result: Audit) -> list[str]:
    """Verdicts that are worse than those kept with the catalog, in words."""
    text = files("explorer.catalog").joinpath(KEPT).read_text(encoding="utf-8")
    before = {tuple(line[:-1]): line[-1] for line in csv.reader(text.splitlines())}
    lines = kept_lines(result)
    papers = {line[1] for line in lines}
    missing = [key for key in before if key[1] in papers and key not in {tuple(line[:-1]) for line in lines}]
    said = [f"{', '.join(key[1:])}: no longer audited, was {before[key]}" for key in missing]
    for line in lines:
        key, verdict = tuple(line[:-1]), line[-1]
        ranks = CLAIM_VERDICTS if key[0] == "claim" else VERDICTS
        old = before.get(key)
        if old is None:
            said.append(f"{', '.join(key[1:])}: {verdict}, not among those kept")
        elif ranks.index(verdict) > ranks.index(old):
            said.append(f"{', '.join(key[1:])}: {verdict}, was {old}")
    return said


def _row_key(row: Verdict) -> Key:
    return ("row", *row.row)


def _claim_key(claim: ClaimRow) -> Key:
    return ("claim", claim.paper, claim.where, claim.claim)
