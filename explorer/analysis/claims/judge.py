"""What it means that a statement holds, to the digits it is printed with.

All tolerances of the claims stand in this file. A quoted figure means what rounds to its printed digits: "0.3%" is
0.25% to 0.35%, "12x" is 11.5 to 12.5, "about 20" (a round number) is 15 to 25. A statement *holds after rounding*
when it is true only to those digits. Orderings and bounds are not rounded: 3.98% is not above "4%".
"""

import operator
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from explorer.analysis.audit.figures import parse_figure

HOLDS, ROUNDED, UNDECIDED, FAILS = "holds", "holds after rounding", "not decidable by cost", "fails"
VERDICTS = (HOLDS, ROUNDED, UNDECIDED, FAILS)  # best first

SYMBOLS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
NEGATED = {"==": "is not", "!=": "=", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}
SHOWN_FAILING, SHOWN_HOLDING = 8, 4  # cases of a statement about all of something that are listed


class Figure(Fraction):
    """A number as it is printed, such as `0.3%`, `2.35x`, `25.6M` or `about 20`."""

    text: str
    unit: str  # % or x, or nothing
    step: Fraction  # the worth of the last digit

    def __new__(cls, text: str) -> "Figure":
        """Raises ValueError where the text is no figure."""
        number = text.removeprefix("about ")
        unit = number[-1] if number[-1:] in ("%", "x") else ""
        figure = parse_figure(number.removesuffix(unit))
        step = figure.step
        while number != text and step >= 1 and figure.value % (10 * step) == 0:
            step *= 10
        scale = 100 if unit == "%" else 1
        self = super().__new__(cls, figure.value / scale)
        self.text, self.unit, self.step = text, unit, step / scale
        return self


# Words that the papers leave to the reader.
WORDS = {
    "similar": Figure("10%"),  # sizes: at most that much apart
    "ignorable": Figure("1%"),  # extra cost: the bound of MS-SAR's introduction
    "comparable": Figure("1"),  # error rates in %: at most one point apart
}


class Finding(NamedTuple):
    """Whether a statement holds, and the numbers that say so."""

    verdict: str
    numbers: str


def compare(symbol: str, left: Any, right: Any) -> Finding:
    """One comparison. Text beside a number is a quoted figure."""
    if isinstance(left, str) and not isinstance(right, str):
        left = Figure(left)
    if isinstance(right, str) and not isinstance(left, str):
        right = Figure(right)
    if SYMBOLS[symbol](left, right):
        said = f"= {shown(right)}" if symbol == "==" else f"{shown(left, right)} {symbol} {shown(right, left)}"
        return Finding(HOLDS, said)
    if symbol == "==" and _rounds(left, right):
        fine, coarse = sorted((left, right), key=_step)
        return Finding(ROUNDED, f"{shown(fine, coarse)} rounds to {shown(coarse)}")
    return Finding(FAILS, f"{shown(left, right)} {NEGATED[symbol]} {shown(right, left)}{_gap(left, right)}")


def _rounds(left: Any, right: Any) -> bool:
    """Whether one number is the other, to the digits of the one that is printed with fewer."""
    return any(isinstance(side, Figure) and 2 * abs(left - right) <= side.step for side in (left, right))


def _step(number: Any) -> Fraction:
    """The worth of the last digit; 0 for an exact number."""
    return number.step if isinstance(number, Figure) else Fraction(0)


def every(findings: Sequence[tuple[str, Finding]]) -> Finding:
    """A statement about several cases, each with its label: it holds as its weakest case does."""
    cases = list(dict.fromkeys(findings))
    if not cases:
        raise ValueError("a statement about all of nothing")
    verdict = max((finding.verdict for _, finding in cases), key=VERDICTS.index)
    failing = [case for case in cases if case[1].verdict == FAILS]
    counted = f"{len(failing)} of {len(cases)} fail: " if failing and len(cases) > 1 else ""
    listed = failing or cases
    most = SHOWN_FAILING if failing else SHOWN_HOLDING
    said = [f"{label} {finding.numbers}".strip() for label, finding in listed[:most]]
    left_out = [f"and {len(listed) - most} more"] if len(listed) > most else []
    return Finding(verdict, counted + "; ".join(said + left_out))


def both(findings: Sequence[Finding]) -> Finding:
    """Statements that must hold together; where some fail, only those are told."""
    verdict = max((finding.verdict for finding in findings), key=VERDICTS.index)
    told = [finding for finding in findings if finding.verdict == verdict] if verdict == FAILS else findings
    return Finding(verdict, "; ".join(finding.numbers for finding in told))


def shown(value: Any, beside: Any = None) -> str:
    """A value as details print it, in the unit of the figure that it is compared with."""
    if isinstance(value, Figure):
        return value.text
    if isinstance(value, list):
        return f"[{', '.join(str(item) if isinstance(item, int) else shown(item) for item in value)}]"
    if isinstance(value, str):
        return value
    unit = beside.unit if isinstance(beside, Figure) else ""
    return _decimal(value * 100 if unit == "%" else value) + unit


def _decimal(value: Any, sign: str = "", places: int = 4) -> str:
    """Decimals as far as they go, without trailing zeros."""
    text = f"{float(value):{sign},.{places}f}" if Fraction(value).denominator != 1 else f"{int(value):{sign},}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _gap(left: Any, right: Any) -> str:
    """By how much a comparison of numbers fails."""
    if isinstance(left, str | list) or isinstance(right, str | list) or left == right:
        return ""
    units = {side.unit for side in (left, right) if isinstance(side, Figure)}
    if "%" in units:
        return f" (by {_decimal((left - right) * 100, '+')} points)"
    if abs(right) >= 1000:
        return f" (by {_decimal((left / Fraction(right) - 1) * 100, '+', 2)}%)"
    return f" (by {_decimal(left - right, '+')})"
