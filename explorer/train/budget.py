"""How long to train: `20epochs` (deterministic) or `60s` (the schedule follows the time that has gone)."""

import re
from dataclasses import dataclass

from explorer.errors import UserError

LIMITS = {"epochs": 100_000, "s": 30 * 24 * 3600}  # beyond is a slip of the keyboard
_PATTERN = re.compile(r"(\d{1,12})\s*(epochs?|s)", re.ASCII)


@dataclass(frozen=True)
class Budget:
    """A positive number of epochs, or of seconds of wall time from the first step."""

    amount: int
    unit: str  # epochs or s

    def __str__(self) -> str:
        return f"{self.amount}{self.unit}"

    @property
    def epochs(self) -> int | None:
        """The number of epochs; None for a budget in seconds."""
        return self.amount if self.unit == "epochs" else None


def parse_budget(text: str) -> Budget:
    """Read `5epochs`, `1epoch` or `60s`; UserError naming --budget for anything else."""
    found = _PATTERN.fullmatch(text.strip())
    if not found:
        raise UserError(f"--budget: {text[:80]!r} is neither epochs nor seconds; write 5epochs or 60s")
    amount, unit = int(found[1]), "s" if found[2] == "s" else "epochs"
    if not 0 < amount <= LIMITS[unit]:
        raise UserError(f"--budget: {text[:80]!r} is outside 1{unit} to {LIMITS[unit]}{unit}")
    return Budget(amount, unit)
