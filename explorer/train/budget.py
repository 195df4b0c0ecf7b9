"""How long to train: epochs or FLOPs (deterministic), seconds (the schedule follows the time), or as the paper does."""

import re
from dataclasses import dataclass
from decimal import Decimal

from explorer.errors import UserError

FORMS = "write 5epochs, 60s, 2e15flops or full"
LIMITS = {"epochs": 100_000, "s": 30 * 24 * 3600, "flops": 10**24}  # beyond is a slip of the keyboard
_PATTERN = re.compile(r"(\d{1,12}(?:\.\d{1,12})?(?:e\d{1,2})?)\s*(epochs?|s|flops?)", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class Budget:
    """A positive number of epochs, of seconds of wall time from the first step, or of floating-point operations.

    FLOPs are those of training: two for each multiply-add of the forward pass and of both gradients.
    """

    amount: int
    unit: str  # epochs, s, flops; or full: as many epochs as the paper trains

    def __str__(self) -> str:
        if self.unit == "full":
            return "full"
        return (_scientific(self.amount) if self.unit == "flops" else str(self.amount)) + self.unit

    @property
    def epochs(self) -> int | None:
        """The number of epochs; None for a budget in anything else."""
        return self.amount if self.unit == "epochs" else None

    def of(self, epochs: int) -> "Budget":
        """This budget, a full one being `epochs` epochs."""
        return Budget(epochs, "epochs") if self.unit == "full" else self

    def steps(self, images: int, batch: int, macs: int) -> int | None:
        """Whole steps within the budget, through `images` images in batches of `batch`; None: only time will tell.

        `macs`: multiply-adds of one image's step (analysis.training). UserError where there are FLOPs for no step.
        """
        if self.unit == "s":
            return None
        each = steps_per_epoch(images, batch)
        if self.unit == "epochs":
            return self.amount * each
        epochs, rest = divmod(self.amount // (2 * macs), min(images, each * batch))
        steps: int = epochs * each + min(rest // batch, each - 1)
        if steps == 0:
            raise UserError(
                f"--budget: {self} is less than one step of this network takes: a batch of {min(batch, images)} is "
                f"{_scientific(_rounded(2 * macs * min(batch, images)))}flops"
            )
        return steps


FULL = Budget(1, "full")


def steps_per_epoch(images: int, batch: int) -> int:
    """Batches of an epoch; a last one of a single image, which batch norm cannot take, is left out."""
    whole, rest = divmod(images, batch)
    return whole + (rest > 1 or whole == 0)


def parse_budget(text: str) -> Budget:
    """Read `5epochs`, `1epoch`, `60s`, `2e15flops` or `full`; UserError naming --budget for anything else."""
    given = text.strip()
    if given == "full":
        return FULL
    found = _PATTERN.fullmatch(given)
    if not found:
        raise UserError(f"--budget: {text[:80]!r} is neither epochs, seconds nor FLOPs; {FORMS}")
    unit = {"s": "s", "f": "flops", "e": "epochs"}[found[2][0].lower()]
    amount = Decimal(found[1])
    if not 1 <= amount <= LIMITS[unit]:
        top = _scientific(LIMITS[unit]) if unit == "flops" else LIMITS[unit]
        raise UserError(f"--budget: {text[:80]!r} is outside 1{unit} to {top}{unit}")
    if amount % 1:
        name = {"s": "seconds", "flops": "FLOPs"}.get(unit, unit)
        raise UserError(f"--budget: {text[:80]!r} is no whole number of {name}; {FORMS}")
    return Budget(int(amount), unit)


def _scientific(amount: int) -> str:
    """2e15 for 2,000,000,000,000,000; no digit is lost."""
    digits = str(amount).rstrip("0")
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{digits[0]}{fraction}e{len(str(amount)) - 1}"


def _rounded(amount: int) -> int:
    """The amount to three digits, upwards: enough for whoever copies it."""
    unit: int = 10 ** max(0, len(str(amount)) - 3)
    return -(-amount // unit) * unit
