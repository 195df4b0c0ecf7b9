"""Group folds: grow, aggregate, windowed, update. One idea, four ways in which a part reads the parts before it."""

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from explorer.blocks.builder import Record, Tensor, main_of
from explorer.blocks.quantity import Quantity, count, divide_exactly, floor_divide, is_symbolic, positive, show
from explorer.errors import ArchError
from explorer.grammar.bind import bind, spread
from explorer.grammar.frame import NO_INPUT, Fold, Frame
from explorer.grammar.syntax import Chain, Name, Param, Step

if TYPE_CHECKING:
    from explorer.grammar.expander import Expander

GROUPED = (Param("width"), Param("k"))
SIGNATURES = {
    "grow": (Param("n"),),
    "aggregate": GROUPED,
    "windowed": GROUPED,
    "update": (Param("parts"), Param("reads", Name("current"))),
}


def _arguments(step: Step, frame: Frame) -> tuple[dict[str, Any], Chain]:
    """The fold's arguments and the chain it repeats."""
    assert step.branches is not None
    if len(step.branches) != 1 or step.each is not None:
        raise ArchError(f"{step.name} repeats one chain, without '|'")
    positional, named = spread(step.args, frame)
    inside = Frame({}, None, frame.builder, None)
    return bind(step.name, SIGNATURES[step.name], positional, named, inside, None), step.branches[0]


def _in_scope(
    expander: "Expander", step: Step, frame: Frame, run: Callable[[Frame], None], attrs: dict[str, Any]
) -> None:
    """Run a fold in a scope of its own."""
    if frame.it is None:
        raise ArchError(NO_INPUT)
    frame.it = expander.scope(step.name, step.name, step.name, frame, run, attrs=attrs)


def _part(
    expander: "Expander",
    name: str,
    chain: Chain,
    frame: Frame,
    view: Tensor,
    out: Quantity | None,
    base: Tensor,
) -> Record:
    """One part of a fold: run the chain on its view; checks that it makes `out` channels."""
    frame.it = view
    result = expander.named_chain(name, "part", chain, frame, fold=Fold(out, base, view), key=id(chain))
    made = main_of(result)
    if out is not None and made.shape[0] is not out and _differs(made.shape[0], out):
        raise ArchError(f"each {name} must make {show(out)} channels here, not {show(made.shape[0])}")
    return result if isinstance(result, Record) else Record(made, {})


def _differs(a: Quantity, b: Quantity) -> bool:
    different = a != b
    return bool(different.any()) if hasattr(different, "any") else bool(different)


def _concat(expander: "Expander", parts: list[Tensor], frame: Frame) -> Tensor:
    return parts[0] if len(parts) == 1 else expander.op("concat", {}, tuple(parts), frame.builder)


def _gather(expander: "Expander", records: list[Record], frame: Frame) -> None:
    """The parts side by side; so are tensors tapped in every part."""
    frame.it = _concat(expander, [r.main for r in records], frame)
    _gather_taps(expander, records, frame)


def _gather_taps(expander: "Expander", records: list[Record], frame: Frame) -> None:
    for name in records[0].taps:
        if all(name in r.taps for r in records):
            frame.taps[name] = _concat(expander, [r.taps[name] for r in records], frame)


def grow(expander: "Expander", step: Step, frame: Frame) -> None:
    """grow(n) { ... }: what each of n layers makes is appended to what it read (dense block)."""
    arguments, chain = _arguments(step, frame)
    times = count(arguments["n"], "n of grow")
    expander.account(times)

    def run(inner: Frame) -> None:
        base = state = main_of(inner.it)  # type: ignore[arg-type]
        for _ in range(times):
            made = _part(expander, "layer", chain, inner, state, None, base)
            state = expander.op("concat", {}, (state, made.main), inner.builder)
        inner.it = state

    _in_scope(expander, step, frame, run, {"n": times})


def _groups(name: str, width: Quantity, k: Quantity) -> int:
    positive(k, f"k of {name}")
    positive(width, f"the width of {name}")
    number = divide_exactly(
        width, k, lambda: f"{name}: groups of {show(k)} channels do not divide the width {show(width)}"
    )
    return count(number, f"width / k of {name}")


def aggregate(expander: "Expander", step: Step, frame: Frame) -> None:
    """aggregate(width, k) { ... }: group i reads the input and groups before it (SeqConv, equation 1)."""
    _grouped(expander, step, frame, windowed=False)


def windowed(expander: "Expander", step: Step, frame: Frame) -> None:
    """windowed(width, k) { ... }: as aggregate, but the oldest k channels leave the view (WSeqConv, equation 2)."""
    _grouped(expander, step, frame, windowed=True)


def _grouped(expander: "Expander", step: Step, frame: Frame, windowed: bool) -> None:
    arguments, chain = _arguments(step, frame)
    width, k = arguments["width"], arguments["k"]
    groups = _groups(step.name, width, k)
    expander.account(groups)
    if groups < 1:
        raise ArchError(f"{step.name} needs a width of at least one group")

    def run(inner: Frame) -> None:
        base = view = main_of(inner.it)  # type: ignore[arg-type]
        if windowed:
            _groups("windowed (its input)", base.shape[0], k)
        records: list[Record] = []
        for i in range(groups):
            inner.builder.at_segment(i * k, (i + 1) * k, width)
            records.append(_part(expander, "group", chain, inner, view, k, base))
            if i < groups - 1:
                view = _next_view(expander, inner, view, records[-1].main, k if windowed else None)
        _gather(expander, records, inner)

    _in_scope(expander, step, frame, run, {"groups": groups, "windowed": windowed})


def _next_view(expander: "Expander", frame: Frame, view: Tensor, made: Tensor, dropped: Quantity | None) -> Tensor:
    if dropped is None:
        return expander.op("concat", {}, (view, made), frame.builder)
    channels = view.shape[0]
    if channels is dropped or not _differs(channels, dropped):
        return made
    recent = expander.op("slice", {"start": dropped, "stop": channels}, (view,), frame.builder)
    return expander.op("concat", {}, (recent, made), frame.builder)


def segment_cuts(total: Quantity, parts: int) -> list[Quantity]:
    """floor(i N / P) for i = 0 .. P; a symbolic N is taken to be divisible by P."""
    if is_symbolic(total):
        each = floor_divide(total, parts)
        return [i * each for i in range(parts + 1)]
    return [i * total // parts for i in range(parts + 1)]


def update(expander: "Expander", step: Step, frame: Frame) -> None:
    """update(parts, reads=current|original) { ... }: segments replaced one after the other (GUNN, equation 4).

    reads=original is SUNN: every segment reads the layer's input. Segments are cut at floor(i N / P).
    """
    arguments, chain = _arguments(step, frame)
    parts, reads = count(arguments["parts"], "parts of update"), arguments["reads"]
    if reads not in ("current", "original"):
        raise ArchError(f"reads is current or original, not {show(reads)}")
    total = main_of(frame.it).shape[0] if frame.it is not None else 0
    if parts < 1 or (type(total) is int and parts > total):
        raise ArchError(f"{parts} parts of {show(total)} channels: there must be from 1 to {show(total)}")

    expander.account(parts)

    def run(inner: Frame) -> None:
        base = state = main_of(inner.it)  # type: ignore[arg-type]
        cuts = segment_cuts(total, parts)
        records: list[Record] = []
        for start, stop in pairwise(cuts):
            inner.builder.at_segment(start, stop, total)
            view = state if reads == "current" else base
            records.append(_part(expander, "segment", chain, inner, view, stop - start, base))
            if reads == "current":
                state = expander.op("update", {"start": start}, (state, records[-1].main), inner.builder)
        if reads == "current":
            inner.it = state
            _gather_taps(expander, records, inner)
        else:
            _gather(expander, records, inner)

    _in_scope(expander, step, frame, run, {"parts": parts, "reads": reads})


FOLDS: dict[str, Callable[["Expander", Step, Frame], None]] = {
    "grow": grow,
    "aggregate": aggregate,
    "windowed": windowed,
    "update": update,
}
