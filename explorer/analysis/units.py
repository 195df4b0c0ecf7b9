"""Amounts that know their unit: a MAC cannot be printed as a FLOP, nor a GiB as a GB.

Only an amount is ever printed with a unit, the unit is that of its type, and whoever chooses the prefix also
divides. An amount is no number: to compute with it, take its `number` and say again what the result is.
"""

from dataclasses import dataclass
from typing import ClassVar

_DECIMAL = (("P", 10**15), ("T", 10**12), ("G", 10**9), ("M", 10**6), ("k", 10**3))
_BINARY = (("Pi", 2**50), ("Ti", 2**40), ("Gi", 2**30), ("Mi", 2**20), ("Ki", 2**10))
_CARRY = 0.99995  # from here on four digits round to the next prefix


@dataclass(frozen=True, slots=True)
class Amount:
    """So many of one unit. Raises TypeError for anything but a plain integer, another amount included."""

    number: int
    unit: ClassVar[str]

    def __post_init__(self) -> None:
        if type(self.number) is not int:
            raise TypeError(f"{type(self).__name__} takes a plain integer, not {type(self.number).__name__}")


class Macs(Amount):
    """Multiply-adds: one multiplication and the addition of its product are one."""

    __slots__ = ()
    unit = "MACs"


class Flops(Amount):
    """Floating-point operations: a multiply-add is two."""

    __slots__ = ()
    unit = "FLOPs"


class Bytes(Amount):
    """Bytes of memory or traffic."""

    __slots__ = ()
    unit = "B"


def exact(amount: Amount) -> str:
    """4,089,184,256 MACs"""
    return f"{_number(amount):,} {amount.unit}"


def decimal(amount: Amount) -> str:
    """4.089 GMACs, 4.903 GB: prefixes of 1000."""
    return _prefixed(amount, _DECIMAL)


def binary(amount: Amount) -> str:
    """3.859 GiFLOPs, 4.566 GiB: prefixes of 1024."""
    return _prefixed(amount, _BINARY)


def _prefixed(amount: Amount, prefixes: tuple[tuple[str, int], ...]) -> str:
    number = _number(amount)
    for prefix, size in prefixes:
        if abs(number) >= _CARRY * size:
            return f"{number / size:.4g} {prefix}{amount.unit}"
    return f"{number} {amount.unit}"


def _number(amount: Amount) -> int:
    if not isinstance(amount, Amount):
        raise TypeError(f"only an amount has a unit to be printed with, not {type(amount).__name__}")
    return amount.number
