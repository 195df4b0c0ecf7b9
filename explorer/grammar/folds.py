"""Group folds: grow, aggregate, windowed, update. One idea, four ways in which a part reads the parts before it."""

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from explorer.blocks.builder import Record, Tensor, main_of
from explorer.blocks.loops import check_even
from explorer.blocks.quantity import (
    Quantity,
    check,
    count,
    divide_exactly,
    floor_divide,
    is_symbolic,
    positive,
    product,
    remainder,
    repetitions,
    show,
)
from explorer.blocks.walk import Differs, decide, is_array
from explorer.errors import ArchError
from explorer.grammar import rounds
from explorer.grammar.bind import bind, spread
from explorer.grammar.frame import NO_INPUT, Fold, Frame
from explorer.grammar.syntax import Chain, Name, Param, Step

if TYPE_CHECKING:
    from explorer.grammar.expander import Expander

GROUPED = (Param("width"), Param("k"))
SIGNATURES = {
    "grow": (Param("n"), Param("reads", Name("all"))),
    "aggregate": GROUPED,
    "windowed": GROUPED,
    "update": (Param("parts"), Param("reads", Name("current"))),
}


def _arguments(fold: str, step: Step, frame: Frame) -> tuple[dict[str, Any], Chain]:
    """The fold's arguments and the chain it repeats. In the text a parameter may stand for the fold's name."""
    assert step.branches is not None
    if len(step.branches) != 1 or step.each is not None:
        raise ArchError(f"{fold} repeats one chain, without '|'")
    positional, named = spread(step.args, frame)
    inside = Frame({}, None, frame.builder, None)
    return bind(fold, SIGNATURES[fold], positional, named, inside, None), step.branches[0]


def _in_scope(
    expander: "Expander", fold: str, frame: Frame, run: Callable[[Frame], None], attrs: dict[str, Any]
) -> None:
    """Run a fold in a scope of its own."""
    if frame.it is None:
        raise ArchError(NO_INPUT)
    frame.it = expander.scope(fold, fold, fold, frame, run, attrs=attrs)


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
    if out is not None and made.shape[0] is not out:
        check(
            made.shape[0] == out,
            lambda: f"each {name} must make {show(out)} channels here, not {show(made.shape[0])}",
        )
    return result if isinstance(result, Record) else Record(made, {})


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


def _gather_rounds(expander: "Expander", last: Record, parts: Quantity, inner: Frame) -> None:
    """The parts of a loop side by side: `parts` of them, as the last one."""
    many = decide(parts > 1)
    tensors = {"": last.main, **last.taps}
    for name, tensor in tensors.items():
        shape = (product(tensor.shape[0], parts), *tensor.shape[1:])
        tensors[name] = expander.op("concat", {}, (Tensor(tensor.index, shape),), inner.builder) if many else tensor
    inner.it = tensors.pop("")
    inner.taps.update(tensors)


def grow(expander: "Expander", step: Step, frame: Frame) -> None:
    """grow(n, reads=all|sparse) { ... }: n layers, each reading what the input and earlier layers made.

    reads=all: everything, with what is made appended (dense block). reads=sparse: only what was made 1, 2, 4, 8, ...
    places before, the input being the first; what follows the fold reads likewise (SparseNet).
    """
    arguments, chain = _arguments("grow", step, frame)
    times, reads = repetitions(arguments["n"], "n of grow"), arguments["reads"]
    if reads not in ("all", "sparse"):
        raise ArchError(f"reads of grow is all or sparse, not {show(reads)}")
    expander.account(times)

    def layer(inner: Frame) -> None:
        """A layer of a loop: from what it reads to what the next one reads."""
        assert inner.fold is not None
        view = main_of(inner.it)  # type: ignore[arg-type]
        made = _part(expander, "layer", chain, inner, view, None, inner.fold.base).main
        inner.it = _concat(expander, [view, made], inner)

    def run(inner: Frame) -> None:
        view = main_of(inner.it)  # type: ignore[arg-type]
        if reads == "all" and rounds.wanted(times, view) and decide(times > 1):
            inner.fold = Fold(None, view, view)
            layer(inner)
            growth = main_of(inner.it).shape[0] - view.shape[0]  # type: ignore[arg-type]
            if not rounds.loop(expander, inner, times - 1, layer, growth=growth):
                rounds.one_by_one(expander, layer, times - 1, inner)
            return
        made = [view]
        for _ in range(count(times, "n of grow")):
            made.append(_part(expander, "layer", chain, inner, view, None, made[0]).main)
            seen = [view, made[-1]] if reads == "all" else spaced(made)
            view = _concat(expander, seen, inner)
        inner.it = view

    _in_scope(expander, "grow", frame, run, {"n": times, "reads": reads})


def spaced(made: list[Tensor]) -> list[Tensor]:
    """Those that stand 1, 2, 4, 8, ... places from the end, the oldest first (SparseNet)."""
    return [made[-(1 << i)] for i in reversed(range(len(made).bit_length()))]


def _groups(name: str, width: Quantity, k: Quantity) -> Quantity:
    positive(k, f"k of {name}")
    positive(width, f"the width of {name}")
    number = divide_exactly(
        width, k, lambda: f"{name}: groups of {show(k)} channels do not divide the width {show(width)}"
    )
    return repetitions(number, f"width / k of {name}")


def aggregate(expander: "Expander", step: Step, frame: Frame) -> None:
    """aggregate(width, k) { ... }: group i reads the input and groups before it (SeqConv, equation 1)."""
    _grouped(expander, "aggregate", step, frame)


def windowed(expander: "Expander", step: Step, frame: Frame) -> None:
    """windowed(width, k) { ... }: as aggregate, but the oldest k channels leave the view (WSeqConv, equation 2)."""
    _grouped(expander, "windowed", step, frame)


def _grouped(expander: "Expander", fold: str, step: Step, frame: Frame) -> None:
    arguments, chain = _arguments(fold, step, frame)
    width, k, windowed = arguments["width"], arguments["k"], fold == "windowed"
    groups = _groups(fold, width, k)
    expander.account(groups)
    check(groups >= 1, lambda: f"{fold} needs a width of at least one group")

    def group(inner: Frame) -> None:
        """A group of a loop, but the last: from its view to the next one's."""
        assert inner.fold is not None
        view = main_of(inner.it)  # type: ignore[arg-type]
        inner.builder.at_segment(0, k, width)
        record = _part(expander, "group", chain, inner, view, k, inner.fold.base)
        for tensor in record.taps.values():
            check_even(tensor.shape[0])
        inner.it = _next_view(expander, inner, view, record.main, k if windowed else None)

    def run(inner: Frame) -> None:
        base = view = main_of(inner.it)  # type: ignore[arg-type]
        if windowed:
            _groups("windowed (its input)", base.shape[0], k)
        if rounds.wanted(groups, base) and decide(groups > 1):
            inner.fold = Fold(k, base, base)
            if rounds.loop(expander, inner, groups - 1, group, growth=0 if windowed else k):
                inner.builder.at_segment(0, k, width)
                view = main_of(inner.it)  # type: ignore[arg-type]
                last = _part(expander, "group", chain, inner, view, k, base)
                _gather_rounds(expander, last, groups, inner)
                return
        records: list[Record] = []
        for i in range(count(groups, f"width / k of {fold}")):
            inner.builder.at_segment(i * k, (i + 1) * k, width)
            records.append(_part(expander, "group", chain, inner, view, k, base))
            if i < groups - 1:
                view = _next_view(expander, inner, view, records[-1].main, k if windowed else None)
        _gather(expander, records, inner)

    _in_scope(expander, fold, frame, run, {"groups": groups, "windowed": windowed})


def _next_view(expander: "Expander", frame: Frame, view: Tensor, made: Tensor, dropped: Quantity | None) -> Tensor:
    if dropped is None:
        return expander.op("concat", {}, (view, made), frame.builder)
    channels = view.shape[0]
    if channels is dropped or not decide(channels != dropped):
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
    arguments, chain = _arguments("update", step, frame)
    parts, reads = repetitions(arguments["parts"], "parts of update"), arguments["reads"]
    if reads not in ("current", "original"):
        raise ArchError(f"reads of update is current or original, not {show(reads)}")
    total = main_of(frame.it).shape[0] if frame.it is not None else 0
    for fits in (parts >= 1, True if is_symbolic(total) else parts <= total):
        check(fits, lambda: f"{show(parts)} parts of {show(total)} channels: there must be from 1 to {show(total)}")
    expander.account(parts)

    def run(inner: Frame) -> None:
        base = state = main_of(inner.it)  # type: ignore[arg-type]
        if is_array(parts):
            _segments(expander, chain, inner, parts, reads == "current")
            return
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

    _in_scope(expander, "update", frame, run, {"parts": parts, "reads": reads})


def _segments(expander: "Expander", chain: Chain, inner: Frame, parts: Quantity, current: bool) -> None:
    """The segments of update as loops: first all of floor(N / P) channels, then those with one more."""
    base = main_of(inner.it)  # type: ignore[arg-type]
    total = base.shape[0]
    size, larger = floor_divide(total, parts), remainder(total, parts)
    sizes = [(size, parts - larger), *([(size + 1, larger)] if decide(larger > 0) else [])]
    made: list[Tensor] = []
    for out, times in sizes:

        def segment(frame: Frame, out: Quantity = out) -> None:
            assert frame.fold is not None
            state, view = main_of(frame.it), frame.fold.base  # type: ignore[arg-type]
            frame.builder.at_segment(0, out, total)
            record = _part(expander, "segment", chain, frame, state if current else view, out, view)
            if record.taps:
                raise Differs(parts)
            if current:
                frame.it = expander.op("update", {"start": 0}, (state, record.main), frame.builder)
            else:  # the next segment does not read it: it only has to look alike
                frame.it = Tensor(record.main.index, (total, *record.main.shape[1:]))

        inner.fold = Fold(out, base, base)
        inner.it = inner.it if current else base
        if not rounds.loop(expander, inner, times, segment, original=current):
            raise Differs(parts)
        result = main_of(inner.it)  # type: ignore[arg-type]
        made.append(Tensor(result.index, (product(out, times), *result.shape[1:])))
    if not current and decide(parts > 1):
        inner.it = expander.op("concat", {}, tuple(made), inner.builder)


FOLDS: dict[str, Callable[["Expander", Step, Frame], None]] = {
    "grow": grow,
    "aggregate": aggregate,
    "windowed": windowed,
    "update": update,
}
