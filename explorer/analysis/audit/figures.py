"""Figures as they are printed, `40.8M` or `1585746`, and what it means to reproduce one."""

import re
from fractions import Fraction
from typing import NamedTuple

DECIMAL = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}
BINARY = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}
_FIGURE = re.compile(r"(?P<digits>\d+(?:\.(?P<decimals>\d+))?)(?:e(?P<exponent>\d+))?(?P<prefix>[KMG]?)(?P<unit>B?)")

EQUAL, TRUNCATED = "equal", "truncated"


class Figure(NamedTuple):
    """A printed number: `steps` units of `step`, the last printed digit. 40.8M is 408 steps of 100,000."""

    text: str
    steps: int
    step: Fraction  # the worth of the last digit, under decimal prefixes
    prefix: str

    @property
    def value(self) -> Fraction:
        """The number as printed, under decimal prefixes."""
        return self.steps * self.step

    @property
    def digits(self) -> int:
        """How many significant digits are printed."""
        return len(str(self.steps))

    def match(self, count: int, binary: bool = False) -> str | None:
        """`equal` where the count rounds to the printed digits, `truncated` where cutting gives them, or None.

        `binary`: the prefix means a power of 1024.
        """
        step = self.step * Fraction(BINARY[self.prefix], DECIMAL[self.prefix]) if binary else self.step
        above = count * step.denominator - self.steps * step.numerator  # in parts of a step: integers are quick
        if 2 * abs(above) <= step.numerator:
            return EQUAL
        return TRUNCATED if 0 <= above < step.numerator else None


def parse_figure(text: str) -> Figure:
    """Read `40.8M`, `7.95G`, `1585746`, `1.38e8`, `4.903GB`. Raises ValueError for anything else."""
    found = _FIGURE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a printed figure")
    decimals = len(found["decimals"] or "")
    scale = Fraction(DECIMAL[found["prefix"]] * 10 ** int(found["exponent"] or 0), 10**decimals)
    return Figure(text, int(found["digits"].replace(".", "")), scale, found["prefix"])
