"""Times in conditions: a latency is compared with times, and times have their unit."""

from fractions import Fraction
from typing import TYPE_CHECKING

from explorer.errors import ArchError
from explorer.grammar.lexer import TIMES
from explorer.grammar.printer import print_expr
from explorer.grammar.syntax import Binary, Expr, Function, Name, Number, Unary

if TYPE_CHECKING:
    from collections.abc import Callable

    from explorer.analysis.cost import Cost
    from explorer.analysis.device import Device

LATENCIES = {"train_latency": "train", "infer_latency": "infer"}  # of a device: nanoseconds; the mode of each
COMPARISONS = ("<", "<=", ">", ">=", "==", "!=")
EXAMPLES = "write times with their unit, such as 5ms (ns, us, ms, s)"


def latency_of(name: str, device: "Device", dtype: str, channels_last: bool = False) -> "Callable[[Cost], int | None]":
    """What tells a latency in LATENCIES as it is predicted for a device, in nanoseconds; None for foreign modules."""
    from explorer.analysis.memory import predictable
    from explorer.analysis.roofline import latency

    def predicted(cost: "Cost") -> int | None:
        if not predictable(cost.graph):
            return None
        return round(1e9 * latency(cost.graph, device, cost.batch, LATENCIES[name], dtype, channels_last).total)

    return predicted


def duration(nanoseconds: int | Fraction) -> str:
    """12.5 ms, 1.25 s: four digits."""
    amount = Fraction(nanoseconds)
    unit = next((unit for unit, size in reversed(TIMES.items()) if abs(amount) >= size), "ns")
    return f"{float(amount / TIMES[unit]):,.4g} {unit}"


def check_times(condition: Expr) -> None:
    """Raises ArchError, at its place, where a time is compared with or added to what is none."""
    if isinstance(condition, Unary) and condition.op == "not":
        check_times(condition.operand)
    elif isinstance(condition, Binary) and condition.op in ("and", "or"):
        check_times(condition.left)
        check_times(condition.right)
    elif isinstance(condition, Binary) and condition.op in COMPARISONS:
        _alike(condition, [condition.left, condition.right])
    elif time_power(condition):
        message = f"{print_expr(condition)} is a time, no condition; write one such as train_latency <= 200ms"
        raise ArchError(message, at=condition.at)


def time_power(expr: Expr) -> int:
    """1 for a time, 0 for a plain number, 2 for a product of times. Raises ArchError where unlike ones are added."""
    if isinstance(expr, Number):
        return 1 if expr.unit else 0
    if isinstance(expr, Name):
        return 1 if expr.id in LATENCIES else 0
    if isinstance(expr, Unary):
        return time_power(expr.operand)
    if isinstance(expr, Function):
        return _alike(expr, [argument.value for argument in expr.args])
    if not isinstance(expr, Binary):
        return 0
    if expr.op == "*":
        return time_power(expr.left) + time_power(expr.right)
    if expr.op in ("/", "//"):
        return time_power(expr.left) - time_power(expr.right)
    return _alike(expr, [expr.left, expr.right])


def _alike(whole: Expr, sides: list[Expr]) -> int:
    """The power that all sides have; a zero needs no unit."""
    powers = {time_power(side) for side in sides if side != Number(0)}
    if len(powers) > 1:
        raise ArchError(f"{print_expr(whole)}: one side is a time, the other is not; {EXAMPLES}", at=whole.at)
    return powers.pop() if powers else 0
