"""Repetition on arrays: one round stands for all where rows repeat something differently often (blocks/loops.py)."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from explorer.blocks.builder import Record, Tensor, Value, main_of
from explorer.blocks.loops import Growing, Loop, Uneven
from explorer.blocks.quantity import Quantity, product, same
from explorer.blocks.walk import Differs, decide, is_array
from explorer.grammar.frame import Fold, Frame, result_of

if TYPE_CHECKING:
    from explorer.grammar.expander import Expander

MANY = 4  # rounds on arrays of which one is walked for all, though all rows have as many
Round = Callable[[Frame], None]  # from frame.it to frame.it


class _Changed(Exception):
    """A round's result is not what the next round can begin with."""


def wanted(times: Quantity, value: Value | None) -> bool:
    """Whether a repetition is walked as a loop."""
    if value is None or is_array(times):
        return is_array(times)
    return bool(times >= MANY) and any(is_array(side) for tensor in _tensors(value) for side in tensor.shape)


def repeat(expander: "Expander", run: Round, times: Quantity, frame: Frame) -> None:
    """`times` rounds. The first may change the shape; the last, which alone sees what follows, is run apart."""
    tail, frame.tail = frame.tail, None
    if not decide(times > 0):
        return
    left = times - 1 if tail else times
    for _ in range(2):
        if not decide(left > 0):
            break
        if loop(expander, frame, left, run):
            left = 0
            break
        run(frame)
        left = left - 1
    one_by_one(expander, run, left, frame)
    frame.tail = tail
    if tail:
        run(frame)


def one_by_one(expander: "Expander", run: Round, times: Quantity, frame: Frame) -> None:
    """Rounds that no loop can stand for. Raises Differs where the rows have not equally many."""
    if is_array(times) and decide(times > 0):
        raise Differs(times)
    for _ in range(0 if is_array(times) else times):
        run(frame)


def loop(
    expander: "Expander",
    frame: Frame,
    times: Quantity,
    run: Round,
    *,
    growth: Quantity = 0,
    fold: Fold | None = None,
    original: bool = False,
) -> bool:
    """Run rounds as one scope; False, and nothing done, where its rounds differ.

    `times` is at least 1. Each round adds `growth` channels. `original`: see loops.Loop.
    """
    made = Loop(times, original)

    def body(inner: Frame) -> None:
        assert inner.it is not None
        inner.it = start = _carried(inner, made, growth)
        steps = expander.steps
        run(inner)
        _close(inner, made, start, result_of(inner), growth)
        if isinstance(main_of(start).shape[0], Growing) and is_array(times):  # each round is expanded by itself
            expander.account(product(times, expander.steps - steps))

    before, heads, it = (expander.nesting, expander.within), dict(expander.heads), frame.it
    try:
        frame.it = expander.scope("rounds", "rounds", "rounds", frame, body, attrs={"loop": made}, fold=fold)
    except (_Changed, Uneven) as reason:
        if isinstance(reason, Uneven) and reason.loop is not made:
            raise
        (expander.nesting, expander.within), expander.heads = before, heads
        expander.last_call, frame.it = None, it
        return False
    return True


def _tensors(value: Value) -> tuple[Tensor, ...]:
    return (value.main, *value.taps.values()) if isinstance(value, Record) else (value,)


def _carried(inner: Frame, made: Loop, growth: Quantity) -> Value:
    """Ports of their own for what goes round: inside, other names may mean the same value, which does not change."""
    builder, value = inner.builder, inner.it
    assert value is not None
    main = main_of(value)
    channels = main.shape[0]
    if not (isinstance(growth, int) and growth == 0):
        if isinstance(channels, Growing) or isinstance(growth, Growing):
            raise Uneven((channels if isinstance(channels, Growing) else growth).loop)
        channels = Growing(made, channels, growth)
    shapes = [(channels, *main.shape[1:]), *[tensor.shape for tensor in _tensors(value)[1:]]]
    ports = [
        builder.port(builder.ports[tensor.index].formal, Tensor(0, shape, tensor.image))
        for tensor, shape in zip(_tensors(value), shapes, strict=True)
    ]
    made.carried = tuple(port.index for port in ports)
    builder.used.update(made.carried)
    return Record(ports[0], dict(zip(value.taps, ports[1:], strict=True))) if isinstance(value, Record) else ports[0]


def _close(inner: Frame, made: Loop, start: Value, end: Value, growth: Quantity) -> None:
    """Check that the next round begins as this one did; write down the shape after the last."""
    before, after = _tensors(start), _tensors(end)
    names = [value.taps.keys() if isinstance(value, Record) else () for value in (start, end)]
    if inner.taps or list(names[0]) != list(names[1]):
        raise _Changed
    grown = [(before[0].shape[0] + growth, *before[0].shape[1:]), *[tensor.shape for tensor in before[1:]]]
    for shape, tensor, port in zip(grown, after, before, strict=True):
        if not all(map(same, shape, tensor.shape)) or tensor.image is not port.image:
            raise _Changed
    if isinstance(before[0].shape[0], Growing):
        first = before[0].shape[0].terms[0]
        inner.builder.scope.shapes[after[0].index] = (first + product(made.times, growth), *after[0].shape[1:])
