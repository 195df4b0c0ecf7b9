"""How each channel of a map depends on the input: layers on the way, and the window that it sees.

Channels side by side that depend on the input alike are one run, so a layer of any width is a few steps.

Windows are those of an unbounded image: padding does not cut them, so that they tell networks apart also where they
exceed the image. What reads a whole map at once (gap, regional(1), a vector made of a map) sees the whole image. A
region of several is no window that moves along with the position: the window that holds it wherever it stands counts.
"""

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from itertools import groupby
from math import floor, gcd
from typing import Any, NamedTuple

from explorer.blocks.graph import Op, Shape

MOST_SHUFFLED = 1_000_000  # channels that are put into another order one by one


class TooLong(Exception):
    """A network of so many parts of different reach that following every channel would take minutes."""


class Window(NamedTuple):
    """Position p of a map sees positions jump * p + low to jump * p + high of the input (along the longer side)."""

    jump: Any = 1  # int, or Fraction where up-sampling or regions do not divide
    low: Any = 0
    high: Any = 0

    @property
    def side(self) -> int:
        """Positions in the window."""
        span: int = floor(self.high - self.low)
        return span + 1


class Path(NamedTuple):
    """How a channel depends on the input; `window` None: on all of it."""

    longest: int = 0
    shortest: int = 0
    window: Window | None = Window()


Run = tuple[int, Path | None]  # so many channels; None: they depend on nothing
Runs = tuple[Run, ...]


def _side(shape: Shape) -> int:
    longer: int = max(shape[1:])
    return longer


def _exact(value: Fraction) -> int | Fraction:
    return value.numerator if value.denominator == 1 else value


# --- windows


def _seen_by(window: Window | None, kernel: int, stride: int, pad: int) -> Window | None:
    """What a convolution or pooling sees whose input's positions see `window`."""
    if window is None:
        return None
    jump, low, high = window
    return Window(jump * stride, low - jump * pad, high + jump * (kernel - 1 - pad))


def _hull(windows: Sequence[Window | None], last: int) -> Window | None:
    """The window that holds all of these, for positions 0 to `last`."""
    known = [window for window in windows if window is not None]
    if len(known) < len(windows):
        return None
    jump = known[0].jump
    lows, highs = [w.low for w in known], [w.high for w in known]
    for w in known:
        if w.jump != jump:  # its positions stand for other places: it drifts away
            drift = (w.jump - jump) * last
            lows.append(w.low + drift)
            highs.append(w.high + drift)
    return Window(jump, min(lows), max(highs))


# --- channels


def _all(runs: Sequence[Run], last: int) -> Path | None:
    """What reads all these channels."""
    if len(runs) == 1:
        return runs[0][1]
    paths = [path for _, path in runs if path is not None]
    if not paths:
        return None
    longest = max([path.longest for path in paths])
    return Path(longest, min([path.shortest for path in paths]), _hull([path.window for path in paths], last))


def _merged(runs: Iterable[Run]) -> Runs:
    return tuple([(sum(n for n, _ in same), path) for path, same in groupby(runs, key=lambda run: run[1])])


def _cut(runs: Runs, start: int, stop: int) -> Runs:
    """Channels from `start` to `stop`."""
    found = []
    at = 0
    for number, path in runs:
        inside = min(at + number, stop) - max(at, start)
        if inside > 0:
            found.append((inside, path))
        at += number
    return tuple(found)


def _side_by_side(parts: Sequence[Runs]) -> Runs:
    found: list[Run] = []
    for runs in parts:
        if found and runs and found[-1][1] == runs[0][1]:
            found[-1] = (found[-1][0] + runs[0][0], runs[0][1])
            runs = runs[1:]
        found += runs
    return tuple(found)


def _channel_by_channel(a: Runs, b: Runs, last: int) -> Runs:
    """What depends on channel c of both, for each c."""
    if a == b:
        return a
    found: list[Run] = []
    others = iter(b)
    left, other = next(others)
    for number, path in a:
        while number:
            both = min(number, left)
            found.append((both, path if path == other else _all(((1, path), (1, other)), last)))
            number, left = number - both, left - both
            if not left:
                left, other = next(others, (0, None))
    return _merged(found)


def _grouped(runs: Runs, size: int, last: int) -> Runs:
    """For each `size` channels what reads them all: runs over the groups."""
    found: list[Run] = []
    open_group: list[Run] = []
    room = size
    for number, path in runs:
        while number:
            if room == size and number >= size:
                found.append((number // size, path))
                number %= size
                continue
            taken = min(room, number)
            open_group.append((taken, path))
            number, room = number - taken, room - taken
            if not room:
                found.append((1, _all(open_group, last)))
                open_group, room = [], size
    return _merged(found)


def image(shapes: Sequence[Shape]) -> tuple[Runs, ...]:
    """Inputs of which every channel sees itself; positions are those of the first."""
    found = []
    for shape in shapes:
        jump = _exact(Fraction(_side(shapes[0]), _side(shape)))
        found.append(((shape[0], Path(window=Window(jump, 0, max(0, jump - 1)))),))
    return tuple(found)


# --- ops: the channels of the output from those of the inputs

Inputs = Sequence[Runs]


def _one_more(path: Path | None, kernel: int = 1, stride: int = 1, pad: int = 0) -> Path | None:
    if path is None:
        return None
    return Path(path.longest + 1, path.shortest + 1, _seen_by(path.window, kernel, stride, pad))


def _conv(op: Op, inputs: Inputs) -> Runs:
    a, last = op.attrs, _side(op.ins[0]) - 1
    groups = a["groups"]
    if groups == 1:
        return ((a["width"], _one_more(_all(inputs[0], last), a["kernel"], a["stride"], a["pad"])),)
    made = a["width"] // groups
    read = _grouped(inputs[0], op.ins[0][0] // groups, last)
    return tuple([(number * made, _one_more(path, a["kernel"], a["stride"], a["pad"])) for number, path in read])


def _linear(op: Op, inputs: Inputs) -> Runs:
    return ((op.out[0], _one_more(_all(inputs[0], 0))),)


def _same(op: Op, inputs: Inputs) -> Runs:
    return inputs[0]


def _looking(inputs: Inputs, look: Callable[[Window], Window | None]) -> Runs:
    """Channels that each see more of their own; layers stay as they are."""
    return tuple(
        [
            (number, path if path is None or path.window is None else path._replace(window=look(path.window)))
            for number, path in inputs[0]
        ]
    )


def _pool(op: Op, inputs: Inputs) -> Runs:
    a = op.attrs
    return _looking(inputs, lambda window: _seen_by(window, a["kernel"], a["stride"], a["pad"]))


def _everywhere(op: Op, inputs: Inputs) -> Runs:
    return _looking(inputs, lambda window: None)


def _regional(op: Op, inputs: Inputs) -> Runs:
    scale, side = op.attrs["scale"], _side(op.ins[0])
    if scale == 1:
        return _everywhere(op, inputs)
    jump = _exact(Fraction(side, scale))
    reach = _exact(Fraction(side - gcd(side, scale), scale))  # to the last position of the longest region
    return _looking(inputs, lambda w: Window(w.jump * jump, w.low, w.high + w.jump * reach))


def _sliding(op: Op, inputs: Inputs) -> Runs:
    side, radius = _side(op.ins[0]), op.attrs["radius"]
    if radius >= side - 1:
        return _everywhere(op, inputs)
    return _looking(inputs, lambda window: _seen_by(window, 2 * radius + 1, 1, radius))


def _upsample(op: Op, inputs: Inputs) -> Runs:
    small, large = _side(op.ins[0]), _side(op.out)
    jump = _exact(Fraction(small, large))
    back = _exact(Fraction(large - gcd(small, large), large))  # how far a position stands behind the one it reads
    return _looking(inputs, lambda w: Window(w.jump * jump, w.low - w.jump * back, w.high))


def _shift(op: Op, inputs: Inputs) -> Runs:
    by = op.attrs["by"]
    return _looking(inputs, lambda w: Window(w.jump, w.low - w.jump * by, w.high - w.jump * by))


def _shuffle(op: Op, inputs: Inputs) -> Runs:
    runs, groups, channels = inputs[0], op.attrs["groups"], op.out[0]
    if len(runs) == 1:
        return runs
    if channels > MOST_SHUFFLED:
        raise TooLong
    each = [path for number, path in runs for _ in range(number)]
    members = channels // groups
    return _merged([(1, path) for member in range(members) for path in each[member::members]])


def _flatten(op: Op, inputs: Inputs) -> Runs:
    places = op.ins[0][1] * op.ins[0][2]
    if places == 1:
        return inputs[0]
    return tuple([(places * number, path) for number, path in _everywhere(op, inputs)])


def _slice(op: Op, inputs: Inputs) -> Runs:
    return _cut(inputs[0], op.attrs["start"], op.attrs["stop"])


def _pad(op: Op, inputs: Inputs) -> Runs:
    added = op.out[0] - op.ins[0][0]
    return _side_by_side([inputs[0], ((added, None),)]) if added else inputs[0]


def _join(op: Op, inputs: Inputs) -> Runs:
    found, last = inputs[0], _side(op.out) - 1
    for runs in inputs[1:]:
        found = _channel_by_channel(found, runs, last)
    return found


def _multiply(op: Op, inputs: Inputs) -> Runs:
    found, last = inputs[0], _side(op.out) - 1
    for runs, shape in zip(inputs[1:], op.ins[1:], strict=True):
        if shape[1:] != op.out[1:]:  # one value serves all positions
            runs = _looking([runs], lambda window: window._replace(jump=0))
        found = _channel_by_channel(found, runs, last)
    return found


def _concat(op: Op, inputs: Inputs) -> Runs:
    return _side_by_side(inputs)


def _update(op: Op, inputs: Inputs) -> Runs:
    whole, part = inputs
    start, total = op.attrs["start"], op.ins[0][0]
    return _side_by_side([_cut(whole, 0, start), part, _cut(whole, start + op.ins[1][0], total)])


CHANNELS: dict[str, Callable[[Op, Inputs], Runs]] = {
    "conv": _conv,
    "linear": _linear,
    "bn": _same,
    "relu": _same,
    "sigmoid": _same,
    "maxpool": _pool,
    "avgpool": _pool,
    "gap": _everywhere,
    "regional": _regional,
    "sliding": _sliding,
    "upsample": _upsample,
    "flatten": _flatten,
    "dropout": _same,
    "droppath": _same,
    "affine": _same,
    "shuffle": _shuffle,
    "shift": _shift,
    "slice": _slice,
    "pad": _pad,
    "add": _join,
    "multiply": _multiply,
    "mean": _join,
    "shake": _join,
    "fractaljoin": _join,
    "concat": _concat,
    "update": _update,
}
