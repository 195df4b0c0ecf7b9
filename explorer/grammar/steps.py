"""What a step does: a value, a primitive, a join, a fold, a block, or one of the special steps."""

from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from explorer.blocks.builder import Record, Tensor
from explorer.blocks.graph import Op
from explorer.blocks.ops import PRIMITIVES
from explorer.blocks.walk import decide
from explorer.errors import ArchError, nearest
from explorer.grammar import folds, rewriting
from explorer.grammar.bind import bind_primitive, spread
from explorer.grammar.evaluate import describe, evaluate
from explorer.grammar.frame import IMPLICIT, NO_INPUT, Frame, current, mark
from explorer.grammar.syntax import Arg, Block, Chain, Step

if TYPE_CHECKING:
    from explorer.grammar.expander import Expander

MOVES = frozenset(
    ("pad", "slice", "shift", "shuffle", "dropout")
)  # what only moves or drops the image's values still is the image


def run_step(expander: "Expander", step: Step, frame: Frame) -> None:
    """A value, a primitive, a join, a fold or a block."""
    name = step.name
    if name in frame.names or name in IMPLICIT:
        value = value_step(expander, step, frame)
        if not isinstance(value, str):
            frame.it = value
            return
        name = value
    if step.fields:
        raise ArchError(f"'{name}' is no record, so it has no '{step.fields[0]}'")
    if name == "auxiliary":
        auxiliary(expander, step, frame)
    elif name in SPECIAL:
        if step.branches is not None:
            raise ArchError(f"{name} takes no braces")
        SPECIAL[name](expander, step, frame)
    elif name in folds.FOLDS and step.branches is not None:
        folds.FOLDS[name](expander, step, frame)
    elif name in PRIMITIVES and step.branches is not None:
        join(expander, name, step, frame)
    elif name in PRIMITIVES:
        primitive(expander, name, step.args, frame)
    else:
        call(expander, name, step, frame)


def value_step(expander: "Expander", step: Step, frame: Frame) -> Any:
    """`it`, `main`, `entry.raw`, `part(entry.raw)`: a value in place of the current one, or a word."""
    if step.name == "part" and step.args:
        positional, named = spread(step.args, frame)
        if len(positional) != 1 or named:
            raise ArchError("part takes one tensor: part(entry.raw)")
        return frame.part(frame.tensor(positional[0], "part"))
    try:
        value = frame.lookup(step.name)
    except KeyError:
        raise ArchError(f"'{step.name}' has no value here") from None
    for name in step.fields:
        value = frame.field(value, name)
    if isinstance(value, str):
        return value
    if step.args or step.branches is not None or not isinstance(value, Tensor | Record):
        frame.tensor(value, f"'{step.name}' as a step")
        raise ArchError(f"'{step.name}' is a tensor here and takes no arguments")
    return value


def call(expander: "Expander", label: str, step: Step, frame: Frame) -> None:
    """Call the block that a step names; its scope is called `label`."""
    name = step.name if step.name not in frame.names else label  # a parameter that holds a word
    block = expander.library.find(name)
    if not isinstance(block, Block) or step.branches is not None:
        known = [*PRIMITIVES, *folds.FOLDS, *SPECIAL, *expander.library.names(Block), *frame.names]
        is_other = "; it is a network or a modifier, not a step" if block and step.branches is None else ""
        raise ArchError(f"unknown step '{name}'{is_other or '; ' + nearest(name, known)}")
    if frame.it is None:
        raise ArchError(NO_INPUT)
    positional, named = spread(step.args, frame)
    expander.block(label, block, positional, named, frame, step.args)


def primitive(expander: "Expander", name: str, args: tuple[Arg, ...], frame: Frame) -> None:
    """A primitive with one input; a convolution may be rewritten."""
    primitive = PRIMITIVES[name]
    if primitive.join:
        raise ArchError(f"{name} joins branches: {name} {{ a | b }}")
    tensor = current(frame)
    values = [evaluate(arg.value, frame) for arg in args]
    if name == "conv" and expander.rewrites:
        attrs = bind_primitive(name, primitive, args, values)
        if not rewriting.rewrite(expander, attrs, frame):
            frame.it = expander.op(name, attrs, (tensor,), frame.builder)
        return
    # the same words on the same shape are the same op
    marks = [value if type(value) is int else mark(value) for value in values] if values else values
    key = (name, id(args), *marks, tensor.shape)
    try:
        op = expander.ops.get(key)
    except TypeError:  # arrays do not hash
        key, op = (), None
    if op is None:
        attrs = bind_primitive(name, primitive, args, values)
        op = Op(name, attrs, (tensor.shape,), primitive.shape((tensor.shape,), attrs))
        if key:
            expander.ops[key] = op
    frame.it = made = frame.builder.op(op, (tensor.index,))
    made.image = tensor.image and name in MOVES


def join(expander: "Expander", name: str, step: Step, frame: Frame) -> None:
    """add, multiply, mean, concat and the random joins over branches."""
    primitive = PRIMITIVES[name]
    if not primitive.join or name == "update":
        raise ArchError(f"{name} does not join branches")
    assert step.branches is not None
    current(frame)
    attrs: dict[str, Any] = {}
    if primitive.params or step.args:
        attrs = bind_primitive(name, primitive, step.args, [evaluate(arg.value, frame) for arg in step.args])
    frames: list[Frame] = []
    if step.each is not None:
        values = evaluate(step.each[1], frame)
        if not isinstance(values, tuple) or len(step.branches) != 1:
            raise ArchError(f"{name} {step.each[0]} in LIST {{ one branch }}")
        frames = [named_branch(expander, step, frame, value) for value in values]
    else:
        frames = [run_branch(expander, chain, frame, frame.names) for chain in step.branches]
    if not frames:
        raise ArchError(f"{name} has nothing to join")
    for branch in frames:
        frame.taps.update(branch.taps)
    inputs = tuple(current(branch) for branch in frames)
    frame.it = inputs[0] if len(inputs) == 1 else expander.op(name, attrs, inputs, frame.builder)


def run_branch(expander: "Expander", chain: Chain, frame: Frame, names: dict[str, Any]) -> Frame:
    """One branch of a join, from the current value."""
    branch = frame.branch(names)
    expander.chain(chain, branch)
    return branch


def named_branch(expander: "Expander", step: Step, frame: Frame, value: Any) -> Frame:
    """One branch of `mean K in scales`: a scope named after its value, as K4."""
    assert step.each is not None and step.branches is not None
    chain, branch = step.branches[0], frame.branch()
    name = f"{step.each[0]}{value}" if type(value) is int else step.each[0]

    names = {**frame.names, step.each[0]: value}
    branch.it = expander.named_chain(name, "section", chain, frame, names=names)
    return branch


def upsample(expander: "Expander", step: Step, frame: Frame) -> None:
    """upsample(it): nearest, to the size of a tensor; nothing where the size is equal."""
    positional, named = spread(step.args, frame)
    if len(positional) != 1 or named:
        raise ArchError("upsample takes the tensor whose size it goes to: upsample(it)")
    target = frame.tensor(positional[0], "upsample").shape
    tensor = current(frame)
    if all(decide(small == large) for small, large in zip(tensor.shape[1:], target[1:], strict=True)):
        frame.it = tensor
        return
    frame.it = expander.op("upsample", {"height": target[1], "width": target[2]}, (tensor,), frame.builder)


def tap(expander: "Expander", step: Step, frame: Frame) -> None:
    """tap(name): the current value joins the record that the enclosing block returns."""
    if len(step.args) != 1:
        raise ArchError("write tap(raw)")
    frame.taps[word_argument(step, "tap(raw)")] = current(frame)


def slot(expander: "Expander", step: Step, frame: Frame) -> None:
    """slot(name): where modifiers put blocks."""
    name = word_argument(step, "slot(recalibrate)")
    if any(arg.name is None for arg in step.args[1:]):
        raise ArchError("a slot's other arguments are named: slot(recalibrate, from = main)")
    expander.slots[name] = None
    defaults: dict[str, Any] | None = None
    for modifier in expander.modifiers:
        if modifier.rewrite or modifier.slot != name or modifier.number not in frame.active:
            continue
        if modifier.number < frame.level:
            continue
        if defaults is None:
            defaults = spread(step.args[1:], frame)[1]
        rewriting.fill(expander, modifier, defaults, frame)


def followers(expander: "Expander", step: Step, frame: Frame) -> None:
    """followers: the BN and ReLU that a rewrite took along, in their order."""
    if frame.followers is None or step.args:
        raise ArchError("followers stands in a rewrite, without arguments")
    for kind in frame.followers:
        primitive(expander, kind, (), frame)


def auxiliary(expander: "Expander", step: Step, frame: Frame) -> None:
    """auxiliary(weight) { ... }: a head beside the network, for training; the current value goes on unchanged."""
    positional, named = spread(step.args, frame)
    branches = step.branches or ()
    if len(positional) != 1 or named or len(branches) != 1 or step.each is not None:
        raise ArchError("write auxiliary(0.3) { gap, linear(10) }: the weight of its loss, then its steps")
    if expander.within or frame.fold is not None:
        raise ArchError("auxiliary stands in the network itself, not in a block, a fold or another auxiliary")
    weight = positional[0]
    if isinstance(weight, bool) or not isinstance(weight, int | Fraction) or weight <= 0:
        raise ArchError(f"the weight of auxiliary is a number above 0, not {describe(weight)}")
    expander.head(weight, branches[0], frame)


def word_argument(step: Step, usage: str) -> str:
    """The bare name that is a step's first argument."""
    value = getattr(step.args[0].value, "id", None) if step.args else None
    if value is None or step.args[0].name is not None:
        raise ArchError(f"write {usage}")
    return str(value)


SPECIAL: dict[str, Callable[["Expander", Step, Frame], None]] = {
    "upsample": upsample,
    "tap": tap,
    "slot": slot,
    "followers": followers,
}
