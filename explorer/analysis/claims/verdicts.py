"""The claims of the three papers (`catalog/claims.csv`) and a verdict on each.

A claim about cost, structure or accuracy is a check in `ms-sar.toml`, `seqconv.toml` or `gunn.toml`; formulas and
identities are derived symbolically. The check decides by one source, the others stand beside it.
"""

import csv
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple

from explorer.analysis.audit.reported import PAPERS, reported
from explorer.analysis.claims.evidence import LEDGER, NUMBERS, PRINTED, Evidence, ledger
from explorer.analysis.claims.judge import FAILS, ROUNDED, UNDECIDED, VERDICTS, Finding
from explorer.analysis.claims.language import finding
from explorer.errors import UserError, nearest

if TYPE_CHECKING:
    from explorer.analysis.derivations import ClaimVerdict

# Which source decides, unless a claim says otherwise: what a network costs and how it is built is counted; whether
# a paper agrees with itself, and what was learned, is read off its tables; how layers learn is tried on small ones.
DECIDES = {
    "cost": (LEDGER, PRINTED),
    "structure": (LEDGER,),
    "shape": (LEDGER,),
    "accuracy": (PRINTED,),
    "ordering": (PRINTED,),
    "consistency": (PRINTED,),
    "algorithm": (NUMBERS,),
    "behaviour": (NUMBERS,),
}
DERIVED = ("formula", "identity")
SAYS = {LEDGER: "by the ledger", PRINTED: "by the printed figures", NUMBERS: "on random layers in float64"}
SAYS_ROUNDED = "over figures rounded first"


class ClaimRow(NamedTuple):
    """One claim and its verdict; the first five fields are copied unchanged from the file."""

    paper: str
    where: str
    kind: str
    claim: str
    values: str
    expression: str
    verdict: str
    detail: str

    def as_dict(self) -> dict[str, str]:
        """One claim of `explorer audit --format json`."""
        return self._asdict()


@dataclass(frozen=True)
class Check:
    """How one claim is judged, as its .toml entry has it."""

    where: str
    starts: str  # how the claim begins: enough to tell it from the others of the same place
    check: str = ""
    by: Sequence[str] = ()  # sources; the first decides
    rounded: str = ""  # the check over figures that are rounded first, as a paper's authors may have computed
    beside: dict[str, str] = field(default_factory=dict)  # other readings: reported, not decisive
    needs: str = ""  # what would decide the part that cost cannot
    names: dict[str, Any] = field(default_factory=dict)


def claims(
    paper: str | None = None, evidence: Evidence | None = None, tell: Callable[[str], None] = lambda where: None
) -> list[ClaimRow]:
    """A verdict on every claim of one paper, or of all; `tell` is told where. Raises UserError for an unknown paper."""
    if paper is not None and paper not in PAPERS:
        raise UserError(f"no paper '{paper[:40]}'; {nearest(paper, PAPERS)}; papers: {', '.join(PAPERS)}")
    evidence = evidence or Evidence(reported(), ledger)
    verdicts = []
    for row in claim_rows():
        if paper in (None, row["paper"]):
            tell(f"{row['paper']}/{row['where']}")
            verdicts.append(judged(row, evidence))
    return verdicts


def counts(rows: Iterable[ClaimRow]) -> dict[str, int]:
    """How many claims got each verdict."""
    found = Counter(row.verdict for row in rows)
    return {verdict: found[verdict] for verdict in VERDICTS}


@cache
def claim_rows() -> tuple[dict[str, str], ...]:
    """The rows of claims.csv, as they stand there."""
    text = files("explorer.catalog").joinpath("claims.csv").read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines()))


@cache
def checks(paper: str) -> tuple[Check, ...]:
    """The checks of one paper, in the file's order."""
    data = tomllib.loads(files("explorer.analysis.claims").joinpath(f"{paper}.toml").read_text(encoding="utf-8"))
    return tuple(Check(**{**entry, "names": data["names"]}) for entry in data["claim"])


def judged(row: dict[str, str], evidence: Evidence) -> ClaimRow:
    """The verdict on one row of claims.csv."""
    if row["kind"] in DERIVED:
        found = derived_verdicts(row["paper"]).get((row["paper"], row["where"], row["claim"]))
        if found is None:
            raise ValueError(f"no derivation for the claim {row['paper']}, {row['where']}: {row['claim']}")
        expression = f"derived: {row['values'] or row['claim']}"
        return ClaimRow(**row, expression=expression, verdict=found.verdict, detail=found.detail)
    check = check_of(row)
    verdict, detail = _judge(check, row, evidence)
    return ClaimRow(**row, expression=_one_line(check.check), verdict=verdict, detail=detail)


def check_of(row: dict[str, str]) -> Check:
    """The one check of a claim. Raises ValueError where there is none, or more than one."""
    found = [c for c in checks(row["paper"]) if c.where == row["where"] and row["claim"].startswith(c.starts)]
    if len(found) != 1:
        raise ValueError(f"{len(found)} checks for the claim {row['paper']}, {row['where']}: {row['claim']}")
    return found[0]


@cache
def derived_verdicts(paper: str) -> dict[tuple[str, str, str], "ClaimVerdict"]:
    """Verdicts on a paper's formulas and identities by paper, where and claim; loaded late, as they need sympy."""
    from explorer.analysis.derivations import claim_verdicts

    return {(found.paper, found.where, found.claim): found for found in claim_verdicts(paper)}


def _judge(check: Check, row: dict[str, str], evidence: Evidence) -> tuple[str, str]:
    def look(expression: str, source: str) -> Finding:
        return finding(expression, {**evidence.names(row["paper"], source), **check.names})

    sources = check.by or DECIDES.get(row["kind"], (LEDGER,))
    found = {SAYS[source]: look(check.check, source) for source in sources if check.check}
    verdict = found[SAYS[sources[0]]].verdict if found else UNDECIDED
    if check.rounded:
        found[SAYS_ROUNDED] = look(check.rounded, sources[0])
        verdict = ROUNDED if verdict == FAILS != found[SAYS_ROUNDED].verdict else verdict
    found.update({label: look(expression, LEDGER) for label, expression in check.beside.items()})
    said = [f"{label} ({each.verdict}): {each.numbers}" for label, each in found.items()]
    if check.needs:
        verdict = FAILS if verdict == FAILS else UNDECIDED
        said.append(f"what would decide it: {check.needs}")
    return verdict, " | ".join(said)


def _one_line(text: str) -> str:
    return " ".join(text.split())
