"""The closed table of primitive operations: arguments, legality and output shape.

Every reader (ledger, module, ...) handles each kind listed here; a test proves that none is forgotten.
Shapes are (channels, height, width) of one image.
"""

from collections.abc import Callable
from fractions import Fraction
from math import isqrt
from typing import Any, NamedTuple

from explorer.blocks.graph import Shape
from explorer.blocks.quantity import (
    Quantity,
    check,
    count,
    is_array,
    is_symbolic,
    positive,
    product,
    show,
    window_count,
)
from explorer.blocks.walk import decide, single
from explorer.errors import ArchError

Attrs = dict[str, Any]
REQUIRED = object()


class Primitive(NamedTuple):
    """An op as the grammar calls it. `shape` validates the attributes in place and returns the output shape."""

    params: dict[str, Any]  # name -> default, in positional order
    shape: Callable[[tuple[Shape, ...], Attrs], Shape]
    join: bool = False  # reads several tensors, written with braces
    doc: str = ""


def text(shape: Shape) -> str:
    """A shape as messages print it: 64x32x32."""
    return "x".join(show(side) for side in shape)


def _kernel(value: Any, what: str) -> int:
    if isinstance(value, tuple) and len(value) == 2 and value[0] == value[1]:
        value = value[0]
    value = single(value)
    if type(value) is not int or value < 1:
        raise ArchError(f"{what} needs a square kernel such as 3x3, not {show(value)}")
    return value


def _stride(value: Any, what: str) -> int:
    value = single(value)
    if type(value) is not int or value < 1:
        raise ArchError(f"the stride of {what} must be a whole number of at least 1, not {show(value)}")
    return value


def _padding(value: Any, what: str) -> int:
    value = single(value)
    if type(value) is not int or value < 0:
        raise ArchError(f"the padding of {what} must be a whole number of at least 0, not {show(value)}")
    return value


def _flag(attrs: Attrs, name: str) -> None:
    if not isinstance(attrs[name], bool):
        raise ArchError(f"{name} is yes or no, not {show(attrs[name])}")


def _word(attrs: Attrs, name: str, allowed: tuple[str, ...]) -> None:
    if attrs[name] not in allowed:
        raise ArchError(f"{name} is {' or '.join(allowed)}, not {show(attrs[name])}")


def _number(value: Any, what: str) -> int | Fraction:
    if isinstance(value, bool) or not isinstance(value, int | Fraction):
        raise ArchError(f"{what} is a number, not {show(value)}")
    return value


def _rate(a: Attrs, name: str) -> None:
    if not 0 <= _number(a["rate"], f"the rate of {name}") < 1:
        raise ArchError(f"the rate of {name} is at least 0 and below 1, not {show(a['rate'])}")


def _divides(groups: Quantity, channels: Quantity, what: str) -> None:
    if type(groups) is int and type(channels) is int and channels % groups == 0:
        return
    if is_symbolic(groups) or is_symbolic(channels):
        from explorer.blocks.quantity import floor_divide

        floor_divide(channels, groups)  # records the assumption
        return
    check(channels % groups == 0, lambda: f"{show(groups)} groups do not divide the {show(channels)} {what}")


def _conv(ins: tuple[Shape, ...], a: Attrs) -> Shape:
    channels, height, width = ins[0]
    kernel = a["kernel"] = _kernel(a["kernel"], "conv")
    out = a["width"] = positive(a["width"], "the width of conv")
    stride = _stride(a["stride"], "conv")
    a["pad"] = pad = (kernel - 1) // 2 if a["pad"] is None else _padding(a["pad"], "conv")
    if type(a["groups"]) is not int or a["groups"] != 1:
        groups = positive(a["groups"], "groups")
        _divides(groups, channels, "channels it reads")
        _divides(groups, out, "channels it makes")
    _flag(a, "bias")
    _word(a, "init", ("normal", "zero"))
    return (
        out,
        window_count(height, kernel, stride, pad, "conv"),
        window_count(width, kernel, stride, pad, "conv"),
    )


def _linear(ins: tuple[Shape, ...], a: Attrs) -> Shape:
    _, height, width = ins[0]
    if type(height) is not int or type(width) is not int or height != 1 or width != 1:
        check(
            height * width == 1 if is_array(height * width) else bool(height * width == 1),
            lambda: f"linear reads a vector, not a map of {text(ins[0])}; put gap or flatten before it",
        )
    a["width"] = positive(a["width"], "the width of linear")
    _flag(a, "bias")
    _word(a, "init", ("default", "glorot"))
    return (a["width"], 1, 1)


def _pool(name: str) -> Callable[[tuple[Shape, ...], Attrs], Shape]:
    def shape(ins: tuple[Shape, ...], a: Attrs) -> Shape:
        channels, height, width = ins[0]
        kernel = a["kernel"] = _kernel(a["kernel"], name)
        stride = a["stride"] = kernel if a["stride"] is None else _stride(a["stride"], name)
        pad = _padding(a["pad"], name)
        if pad > kernel // 2:
            raise ArchError(f"{name}: a padding of {pad} is more than half of the kernel {kernel}")
        return (
            channels,
            window_count(height, kernel, stride, pad, name),
            window_count(width, kernel, stride, pad, name),
        )

    return shape


def _regions(ins: tuple[Shape, ...], a: Attrs, name: str) -> Quantity:
    scale = positive(a["scale"], f"the scale of {name}")
    _, height, width = ins[0]
    for side in (height, width):
        check(scale <= side, lambda: f"{name}: the scale {show(scale)} is larger than the map of {text(ins[0])}")
    return scale


def _regional(ins: tuple[Shape, ...], a: Attrs) -> Shape:
    scale = _regions(ins, a, "regional")
    return (ins[0][0], scale, scale)


def _sliding(ins: tuple[Shape, ...], a: Attrs) -> Shape:
    scale = _regions(ins, a, "sliding")
    _, height, width = ins[0]
    _word(a, "shape", ("square", "diamond"))
    height, width, scale = single(height), single(width), single(scale)
    plain = type(height) is int and type(width) is int and type(scale) is int
    a["radius"] = isqrt(height * width) // scale if plain else None
    return ins[0]


def _upsample(ins: tuple[Shape, ...], a: Attrs) -> Shape:
    channels, height, width = ins[0]
    target_height, target_width = a["height"], a["width"]
    for small, large in ((height, target_height), (width, target_width)):
        check(small <= large, lambda: f"upsample makes maps larger; {text(ins[0])} is larger than the target")
    return (channels, target_height, target_width)


def _flatten(ins: tuple[Shape, ...], a: Attrs) -> Shape:
    return (product(*ins[0]), 1, 1)


def _dropping(name: str) -> Callable[[tuple[Shape, ...], Attrs], Shape]:
    def shape(ins: tuple[Shape, ...], a: Attrs) -> Shape:
        _rate(a, name)
        return ins[0]

    return shape


def _affine(ins: tuple[Shape, ...], a: Attrs) -> Shape:
    for name in ("scale", "shift"):
        _number(a[name], f"the {name} of affine")
    return ins[0]


def _shuffle(ins: tuple[Shape, ...], a: Attrs) -> Shape:
    groups = a["groups"] = positive(a["groups"], "the groups of shuffle")
    _divides(groups, ins[0][0], "channels it reads")
    return ins[0]


def _shift(ins: tuple[Shape, ...], a: Attrs) -> Shape:
    by = a["by"]
    if type(by) is not int or by < 0:
        raise ArchError(f"shift moves by a whole number of positions of at least 0, not {show(by)}")
    for side in ins[0][1:]:
        check(by <= side, lambda: f"shift by {by} leaves nothing of the map of {text(ins[0])}")
    return ins[0]


def _slice(ins: tuple[Shape, ...], a: Attrs) -> Shape:
    channels, height, width = ins[0]
    start, stop = a["start"], positive(a["stop"], "the end of slice")
    if not is_array(start) and not is_symbolic(start):
        count(start, "the start of slice")
    check(start >= 0, lambda: f"slice begins at a channel of at least 0, not {show(start)}")
    check(stop > start, lambda: f"slice({show(start)}, {show(stop)}) is empty")
    check(stop <= channels, lambda: f"slice up to {show(stop)} of only {show(channels)} channels")
    return (stop - start, height, width)


def _pad(ins: tuple[Shape, ...], a: Attrs) -> Shape:
    channels, height, width = ins[0]
    out = a["width"] = positive(a["width"], "the width of pad")
    check(out >= channels, lambda: f"pad to {show(out)} channels cannot drop any of {show(channels)}")
    return (out, height, width)


def _same(name: str) -> Callable[[tuple[Shape, ...], Attrs], Shape]:
    def shape(ins: tuple[Shape, ...], a: Attrs) -> Shape:
        first = ins[0]
        for other in ins[1:]:
            if other != first if _plain(other) and _plain(first) else not _equal_shapes(first, other):
                raise ArchError(f"{name} needs equal shapes, not {' and '.join(text(s) for s in ins[:4])}")
        return first

    return shape


def _shake(ins: tuple[Shape, ...], a: Attrs) -> Shape:
    if len(ins) != 2:
        raise ArchError(f"shake mixes two branches, not {len(ins)}")
    _word(a, "backward", ("shake", "even"))
    return _same("shake")(ins, a)


def _fractaljoin(ins: tuple[Shape, ...], a: Attrs) -> Shape:
    _rate(a, "fractaljoin")
    if not 0 <= _number(a["share"], "the share of fractaljoin") <= 1:
        raise ArchError(f"the share of fractaljoin is from 0 to 1, not {show(a['share'])}")
    columns = a["columns"] = positive(a["columns"], "the columns of fractaljoin")
    if not isinstance(columns, int) or columns < len(ins):
        raise ArchError(f"fractaljoin of {len(ins)} branches in a network of {show(columns)} columns")
    count(a["draw"], "the draw of fractaljoin")
    return _same("fractaljoin")(ins, a)


def _multiply(ins: tuple[Shape, ...], a: Attrs) -> Shape:
    first = ins[0]
    for other in ins[1:]:
        vector = all(not is_symbolic(side) and decide(side == 1) for side in other[1:])
        if not _equal_shapes(first, (other[0], *first[1:]) if vector else other):
            raise ArchError(f"multiply needs equal shapes, not {' and '.join(text(s) for s in ins[:4])}")
    return first


def _plain(shape: Shape) -> bool:
    return type(shape[0]) is int and type(shape[1]) is int and type(shape[2]) is int


def _equal_shapes(a: Shape, b: Shape) -> bool:
    for x, y in zip(a, b, strict=True):
        if is_array(x) or is_array(y):
            check(x == y, lambda: "unequal shapes")
        elif x != y and not (is_symbolic(x - y) and (x - y).simplify() == 0):
            return False
    return True


def _concat(ins: tuple[Shape, ...], a: Attrs) -> Shape:
    channels, height, width = ins[0]
    for other in ins[1:]:
        if not _equal_shapes((0, height, width), (0, other[1], other[2])):
            raise ArchError(f"concat needs maps of equal size, not {' and '.join(text(s) for s in ins[:4])}")
        channels = channels + other[0]
    return (channels, height, width)


def _update(ins: tuple[Shape, ...], a: Attrs) -> Shape:
    whole, part = ins
    if not _equal_shapes((0, *whole[1:]), (0, *part[1:])):
        raise ArchError(f"a part of {text(part)} does not fit into {text(whole)}")
    check(a["start"] + part[0] <= whole[0], lambda: f"{text(part)} at {a['start']} exceeds {text(whole)}")
    return whole


def _keep(ins: tuple[Shape, ...], a: Attrs) -> Shape:
    return ins[0]


PRIMITIVES: dict[str, Primitive] = {
    "conv": Primitive(
        {
            "kernel": REQUIRED,
            "width": REQUIRED,
            "stride": 1,
            "groups": 1,
            "pad": None,
            "bias": False,
            "init": "normal",
        },
        _conv,
        doc="conv(3x3, width, /stride, groups=, pad=, bias=no, init=normal|zero): pad keeps the size by default",
    ),
    "linear": Primitive(
        {"width": REQUIRED, "bias": True, "init": "default"},
        _linear,
        doc="linear(width, bias=yes, init=default|glorot): fully connected",
    ),
    "bn": Primitive({}, _keep, doc="bn: batch normalisation with scale and shift"),
    "relu": Primitive({}, _keep, doc="relu"),
    "sigmoid": Primitive({}, _keep, doc="sigmoid"),
    "maxpool": Primitive(
        {"kernel": REQUIRED, "stride": None, "pad": 0}, _pool("maxpool"), doc="maxpool(2, /stride, pad=0)"
    ),
    "avgpool": Primitive(
        {"kernel": REQUIRED, "stride": None, "pad": 0}, _pool("avgpool"), doc="avgpool(2, /stride, pad=0)"
    ),
    "gap": Primitive({}, lambda ins, a: (ins[0][0], 1, 1), doc="gap: global average pooling"),
    "regional": Primitive(
        {"scale": REQUIRED}, _regional, doc="regional(K): mean over each of K x K regions (a true partition)"
    ),
    "sliding": Primitive(
        {"scale": REQUIRED, "shape": "square"},
        _sliding,
        doc="sliding(K, shape=square|diamond): mean over the neighbourhood of radius floor(sqrt(WH)/K)",
    ),
    "upsample": Primitive(
        {"height": REQUIRED, "width": REQUIRED},
        _upsample,
        doc="upsample(it): nearest, to the size of a tensor",
    ),
    "flatten": Primitive({}, _flatten, doc="flatten: a map to a vector"),
    "dropout": Primitive(
        {"rate": REQUIRED}, _dropping("dropout"), doc="dropout(rate): of single elements, in training only"
    ),
    "droppath": Primitive(
        {"rate": REQUIRED},
        _dropping("droppath"),
        doc="droppath(rate): zero for a whole mini-batch in training, times 1 - rate in evaluation",
    ),
    "affine": Primitive(
        {"scale": REQUIRED, "shift": 0}, _affine, doc="affine(scale, shift=0): scale * x + shift, two constants"
    ),
    "shuffle": Primitive(
        {"groups": REQUIRED}, _shuffle, doc="shuffle(groups): channels, seen as groups x members, transposed"
    ),
    "shift": Primitive({"by": REQUIRED}, _shift, doc="shift(by): the map moved down and to the right, zeros behind it"),
    "slice": Primitive({"start": REQUIRED, "stop": REQUIRED}, _slice, doc="slice(start, stop): some channels"),
    "pad": Primitive({"width": REQUIRED}, _pad, doc="pad(width): zero channels appended"),
    "add": Primitive({}, _same("add"), True, doc="add { a | b }: element-wise sum"),
    "multiply": Primitive({}, _multiply, True, doc="multiply { a | gate }: element-wise product"),
    "mean": Primitive({}, _same("mean"), True, doc="mean { a | b }: element-wise mean"),
    "shake": Primitive(
        {"backward": "shake"},
        _shake,
        True,
        doc="shake(backward=shake|even) { a | b }: mean; in training weighted at random, anew in the backward pass",
    ),
    "fractaljoin": Primitive(
        {"rate": REQUIRED, "columns": REQUIRED, "share": Fraction(1, 2), "draw": 0},
        _fractaljoin,
        True,
        doc="fractaljoin(rate, columns, share=0.5, draw=0) { a | b }: mean; in training of what drop-path keeps",
    ),
    "concat": Primitive({}, _concat, True, doc="concat { a | b }: channels side by side"),
    "update": Primitive({"start": REQUIRED}, _update, True, doc="(made by folds) a part of a tensor replaced"),
}
