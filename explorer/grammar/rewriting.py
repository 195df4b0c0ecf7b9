"""Modifiers at work: blocks fill slots, rewrites replace convolutions with what directly follows them."""

from typing import TYPE_CHECKING, Any

from explorer.blocks.graph import Scope
from explorer.blocks.ops import PRIMITIVES
from explorer.errors import ArchError, nearest
from explorer.grammar.bind import bind, spread
from explorer.grammar.evaluate import evaluate, truth
from explorer.grammar.frame import Follower, Frame, is_follower
from explorer.grammar.resolve import ActiveModifier
from explorer.grammar.syntax import Item, Only, Step

if TYPE_CHECKING:
    from explorer.grammar.expander import Expander

UNLIMITED = 1_000_000
CONV_NAMES = ("kernel", "width", "stride", "groups", "bias", "pad", "init")


# --- what directly follows a step ---


def _is_slot(item: Item) -> bool:
    return isinstance(item, Step) and item.name == "slot"


def _first_filler(expander: "Expander", item: Item, frame: Frame) -> int:
    assert isinstance(item, Step)
    name = getattr(item.args[0].value, "id", None) if item.args else None
    fillers = [
        m.number
        for m in expander.modifiers
        if m.slot is not None and m.slot == name and m.number in frame.active and m.number >= frame.level
    ]
    return min(fillers, default=UNLIMITED)


def upcoming(expander: "Expander", frame: Frame) -> tuple[Follower, ...]:
    """The plain BN and ReLU that directly follow the frame's step, beyond its own chain too."""
    tail = frame.tail
    if tail is None:
        return ()
    limit = UNLIMITED
    found: list[Follower] = []
    for index in range(tail.at + 1, len(tail.items)):
        item = tail.items[index]
        if index in tail.skipped:
            continue
        if is_follower(item):
            found.append(Follower(item.name, limit))  # type: ignore[union-attr]
        elif _is_slot(item):
            limit = min(limit, _first_filler(expander, item, frame))
        else:
            return tuple(found)
    found += [Follower(f.kind, min(f.limit, limit)) for f in tail.beyond[tail.taken :]]
    return tuple(found)


def skip(expander: "Expander", frame: Frame, number: int) -> None:
    """Mark the next followers as taken."""
    tail = frame.tail
    if tail is None or not number:
        return
    for index in range(tail.at + 1, len(tail.items)):
        if number and index not in tail.skipped and is_follower(tail.items[index]):
            tail.skipped.add(index)
            number -= 1
    tail.taken += number


def _take(expander: "Expander", frame: Frame, kinds: tuple[str, ...], modifier: int) -> tuple[str, ...]:
    taken: list[str] = []
    for kind in kinds:
        following = upcoming(expander, frame)
        if following and following[0].kind == kind and following[0].limit > modifier:
            skip(expander, frame, 1)
            taken.append(kind)
    return tuple(taken)


# --- rewrites ---


def rewrite(expander: "Expander", attrs: dict[str, Any], frame: Frame) -> bool:
    """Let the first rewrite that applies here replace a convolution; False when none does."""
    tensor = frame.tensor(frame.it, "conv")
    PRIMITIVES["conv"].shape((tensor.shape,), attrs)  # refuses what is no legal convolution to begin with
    for modifier in expander.modifiers:
        if modifier.rewrite is None or modifier.number < frame.level or modifier.number not in frame.active:
            continue
        inner = _surroundings(modifier, attrs, frame, tensor.image)
        if _applies(modifier, inner, frame):
            _apply(expander, modifier, inner, frame)
            return True
    return False


def _surroundings(modifier: ActiveModifier, attrs: dict[str, Any], frame: Frame, image: bool) -> Frame:
    """The frame of a rewrite's body: its parameters and the convolution's own attributes."""
    assert modifier.rewrite is not None
    outside = Frame(modifier.names, frame.it, frame.builder, modifier.source)
    inner = Frame({}, frame.it, frame.builder, modifier.rewrite.source, None, frame.active, modifier.number + 1)
    try:
        positional, named = spread(modifier.args, outside)
        bind(modifier.rewrite.name, modifier.rewrite.params, positional, named, inner, modifier.rewrite.source)
    except ArchError as error:
        raise error.locate(modifier.source, modifier.at) from None
    for name in CONV_NAMES:
        inner.names.setdefault(name, attrs[name])
    inner.names["image"] = image
    return inner


def _applies(modifier: ActiveModifier, inner: Frame, frame: Frame) -> bool:
    assert modifier.rewrite is not None
    for item in modifier.rewrite.body:
        if isinstance(item, Only):
            try:
                holds = truth(evaluate(item.condition, inner), "only")
            except ArchError as error:
                raise error.locate(modifier.rewrite.source, item.at) from None
            if not holds:
                if item.reason is not None:
                    frame.builder.changed(modifier.number, item.reason)
                return False
    return True


def _apply(expander: "Expander", modifier: ActiveModifier, inner: Frame, frame: Frame) -> None:
    assert modifier.rewrite is not None
    inner.followers = _take(expander, frame, modifier.rewrite.of[1:], modifier.number)
    expander.chain(tuple(item for item in modifier.rewrite.body if not isinstance(item, Only)), inner)
    frame.it = inner.it
    frame.builder.changed(modifier.number, None)


# --- slots ---


def fill(expander: "Expander", modifier: ActiveModifier, defaults: dict[str, Any], frame: Frame) -> None:
    """Run a block at a slot; the modifier's own arguments win over the slot's."""
    assert modifier.block is not None
    outside = Frame(modifier.names, frame.it, frame.builder, modifier.source, frame.fold, entry=frame.entry)
    level, frame.level = frame.level, modifier.number + 1
    try:
        positional, named = spread(modifier.args, outside)
        expander.block(modifier.block.name, modifier.block, positional, named, frame, weak=defaults)
    except ArchError as error:
        raise error.locate(modifier.source, modifier.at) from None
    frame.level = level
    frame.builder.changed(modifier.number, None)


# --- the account ---


def check_changes(expander: "Expander", root: Scope) -> None:
    """Raise ArchError for a modifier that changed nothing, saying what it left and why."""
    changed = {c.modifier for c in root.changes if c.reason is None}
    for modifier in expander.modifiers:
        if modifier.number in changed:
            continue
        left = [f"{c.places} left: {c.reason}" for c in root.changes if c.modifier == modifier.number]
        if modifier.on is not None and modifier.on not in expander.labels:
            why = f"there is no stage '{modifier.on}'; {nearest(modifier.on, expander.labels)}"
        elif left:
            why = "; ".join(left)
        elif modifier.slot is not None and modifier.slot not in expander.slots:
            slots = ", ".join(expander.slots)
            why = f"the network has no slot '{modifier.slot}'" + (f" (it has: {slots})" if slots else "")
        else:
            why = "no place in the network matches it"
        raise ArchError(f"{modifier.text} changes nothing: {why}", modifier.source, modifier.at)
