"""How numbers are written: the one place. What was not measured is a dash."""

from collections.abc import Sequence
from datetime import datetime

DASH = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
_UNITS = ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k"))


def percent(fraction: float | None, digits: int = 2) -> str:
    """A fraction in [0, 1] in percent, without the sign: 0.0861 is 8.61."""
    return DASH if fraction is None else f"{100 * fraction:.{digits}f}"


def points(fraction: float | None, digits: int = 2) -> str:
    """A difference of fractions in percentage points, always signed."""
    return DASH if fraction is None else signed(100 * fraction, digits)


def signed(value: float | None, digits: int = 2) -> str:
    """A number with its sign; what rounds to zero has none."""
    if value is None:
        return DASH
    text = f"{abs(value):.{digits}f}"
    if float(text) == 0:
        return text
    return f"{MINUS if value < 0 else '+'}{text}"


def count(number: int | float | None) -> str:
    """A count in four significant digits with its unit, as the papers print: 40.81M."""
    return DASH if number is None else _with_unit(number, "#.4g")


def tick(number: float) -> str:
    """A round count as short as it can be, for axes: 40M."""
    return _with_unit(number, ".4g")


def _with_unit(number: float, form: str) -> str:
    """A number of at most four digits and the power of a thousand it stands for."""
    for size, unit in _UNITS:
        if abs(number) >= 0.99995 * size:
            return f"{number / size:{form}}".rstrip(".") + unit
    return f"{number:{'.4g' if number == int(number) else form}}"


def exact(number: int | None) -> str:
    """A whole number with its thousands apart."""
    return DASH if number is None else f"{number:,}"


def probability(p: float | None) -> str:
    """A p-value with two significant digits; small ones only as a bound."""
    if p is None:
        return DASH
    return "< 0.001" if p < 0.001 else f"{p:.2g}" if p < 0.995 else "1"


def factor(value: float) -> str:
    """A multiplier in two or three digits."""
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def duration(seconds: float | None) -> str:
    """A time span in its two largest units."""
    if seconds is None:
        return DASH
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def moment(iso: str | None) -> str:
    """A stored moment to the minute, in UTC."""
    return DASH if iso is None else datetime.fromisoformat(iso).strftime("%Y-%m-%d %H:%M UTC")


def scale_set(scales: Sequence[int] | None) -> str:
    """A set of scales as the paper writes it: {1,2,4}; {} is the plain network."""
    return DASH if scales is None else "{" + ",".join(map(str, scales)) + "}"


def listed(words: Sequence[str]) -> str:
    """Words as an enumeration: a, b and c."""
    return " and ".join(part for part in (", ".join(words[:-1]), *words[-1:]) if part)


def plural(number: int, noun: str) -> str:
    """A number with its noun: 1 seed, 3 seeds."""
    return f"{number:,} {noun if number == 1 else noun + 's'}"


def budget(text: str) -> str:
    """A stored budget in words: 20epochs is 20 epochs, 60s is 60 s, full is full training."""
    if text == "full":
        return "full training"
    amount = text.rstrip("abcdefghijklmnopqrstuvwxyz")
    unit = text[len(amount) :]
    return f"{amount} {'epoch' if (amount, unit) == ('1', 'epochs') else unit}" if amount and unit else text
