"""Walks the syntax tree on symbolic tensors: chains, control flow, scopes.

Equal calls (same block, arguments, shapes and surroundings) are expanded once and share one scope.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from explorer.blocks.builder import Builder, Record, Template, Tensor, Value
from explorer.blocks.graph import Op, Scope
from explorer.blocks.ops import PRIMITIVES
from explorer.blocks.quantity import Quantity, check, is_array, repetitions, same
from explorer.errors import ArchError
from explorer.grammar import rewriting, rounds
from explorer.grammar.bind import bind
from explorer.grammar.evaluate import evaluate, truth
from explorer.grammar.frame import Fold, Frame, Tail, current, key_of, localise, mark, result_of, tensors_key, visible
from explorer.grammar.library import Library
from explorer.grammar.resolve import ActiveModifier
from explorer.grammar.steps import call, run_step
from explorer.grammar.syntax import (
    AnyStep,
    Arg,
    Block,
    Chain,
    Expect,
    For,
    Group,
    Input,
    Only,
    Repeat,
    Section,
    Step,
    When,
)

MAX_STEPS = 20_000
MAX_NESTING = 100


def _too_long() -> str:
    return f"the network takes more than {MAX_STEPS:,} steps to expand"


class LastCall(NamedTuple):
    """A block call that saw nothing but a plain tensor and numbers, so a repetition can make it again."""

    args: tuple[Arg, ...] | None
    block: Block
    name: str
    template: Template
    tensor: Tensor
    builder: Builder


class Expander:
    """One expansion: the library it reads, the modifiers in force, what it has expanded already."""

    def __init__(self, library: Library, modifiers: tuple[ActiveModifier, ...] = ()) -> None:
        self.library = library
        self.modifiers = modifiers
        self.rewrites = any(m.rewrite for m in modifiers)
        self.templates: dict[Any, Template] = {}
        self.ops: dict[Any, Op] = {}
        self.steps = 0
        self.row_steps: Quantity = 0  # of an array walk: the part in which its rows differ
        self.nesting = 0
        self.last_call: LastCall | None = None
        self.template: Template | None = None  # used last
        self.absorbed = 0  # followers that the scope used last has taken from beyond it
        self.labels: dict[str, None] = {}
        self.slots: dict[str, None] = {}
        self.within = 0  # calls of blocks, and heads, around the current step
        self.heads: dict[str, tuple[Quantity, Scope]] = {}  # weight and steps, by the tap of what they read

    # --- chains ---

    def chain(self, items: Chain, frame: Frame, beyond: tuple[Any, ...] = ()) -> int:
        """Run the items on frame.it; returns how many followers beyond the chain were taken."""
        tail = frame.tail = Tail(items, beyond) if self.rewrites else None
        self.nesting += 1
        if self.nesting > MAX_NESTING:
            raise ArchError(f"sub-networks are nested more than {MAX_NESTING} deep; does a block contain itself?")
        for index, item in enumerate(items):
            if tail is not None:
                if index in tail.skipped:
                    continue
                tail.at = index
            self.steps += 1
            if self.steps > MAX_STEPS:
                self.account(0)
            try:
                RUN[type(item)](self, item, frame)
            except ArchError as error:
                raise error.locate(frame.source, item.at) from None
        self.nesting -= 1
        return tail.taken if tail else 0

    def account(self, steps: Quantity) -> None:
        """Count steps. Raises ArchError beyond the limit, before any of a long repetition is done."""
        if is_array(steps):
            self.row_steps = self.row_steps + steps
            check(self.row_steps <= MAX_STEPS, _too_long)
            return
        self.steps += steps
        if self.steps > MAX_STEPS:
            raise ArchError(_too_long())

    def group(self, item: Group, frame: Frame) -> None:
        """{ ... }"""
        self.inline(item.chain, frame)

    def inline(self, items: Chain, frame: Frame, names: dict[str, Any] | None = None) -> None:
        """Run a sub-chain in the same scope, its value going on in the frame."""
        inner = frame.branch(names)
        outer = frame.tail
        taken = self.chain(items, inner, rewriting.upcoming(self, frame) if outer else ())
        rewriting.skip(self, frame, taken)
        frame.it = inner.it
        frame.taps.update(inner.taps)

    def when(self, item: When, frame: Frame) -> None:
        """when condition { ... } else { ... }"""
        if truth(evaluate(item.condition, frame), "when"):
            self.inline(item.then, frame)
        elif item.otherwise is not None:
            self.inline(item.otherwise, frame)

    def repeat(self, item: Repeat, frame: Frame) -> None:
        """step * times"""
        times = repetitions(evaluate(item.times, frame), "the number of repetitions")
        self.account(times)
        run = RUN[type(item.step)]
        if rounds.wanted(times, frame.it):
            rounds.repeat(self, lambda inner: run(self, item.step, inner), times, frame)
            return
        tail = frame.tail
        for i in range(times):
            if i and self.again(item.step, frame):
                continue
            frame.tail = tail if i == times - 1 else None  # what follows, follows the last round only
            run(self, item.step, frame)
        frame.tail = tail

    def again(self, step: AnyStep, frame: Frame) -> bool:
        """Repeat the block call just made, if it sees the same as then; False where it has to be expanded."""
        last, it = self.last_call, frame.it
        if last is None or not isinstance(step, Step) or last.args is not step.args or type(it) is not Tensor:
            return False
        if last.block.name != step.name or last.builder is not frame.builder:
            return False
        if not all(map(same, it.shape, last.tensor.shape)) or it.image != last.tensor.image:
            return False
        frame.it = frame.builder.use(last.name, last.template, [it])
        return True

    def for_loop(self, item: For, frame: Frame) -> None:
        """for a, b in As, Bs { ... }"""
        lists = [evaluate(value, frame) for value in item.values]
        for values in lists:
            if not isinstance(values, tuple):
                raise ArchError("for goes through lists: for w, s in [16, 32], [1, 2] { ... }")
        if len(lists) not in (1, len(item.names)) or (len(lists) == 1 and len(item.names) > 1):
            raise ArchError(f"{len(item.names)} variables need {len(item.names)} lists, not {len(lists)}")
        if len({len(values) for values in lists}) > 1:
            raise ArchError(f"the lists have different lengths: {', '.join(str(len(v)) for v in lists)}")
        self.account(len(lists[0]))
        tail, last = frame.tail, len(lists[0]) - 1
        for i, values in enumerate(zip(*lists, strict=True)):
            frame.tail = tail if i == last else None  # what follows the loop follows its last round only
            self.inline(item.chain, frame, {**frame.names, **dict(zip(item.names, values, strict=True))})
        frame.tail = tail

    def section(self, item: Section, frame: Frame) -> None:
        """label: steps"""
        builder = frame.builder
        number = builder.labels[item.label] = builder.labels.get(item.label, 0) + 1
        names = (item.label, f"{item.label}{number}")
        self.labels.update(dict.fromkeys(names))
        active = tuple(m.number for m in self.modifiers if m.number in frame.active or m.on in names)

        before, made = len(builder.entries), dict[str, None]()
        frame.it = result = self.named_chain(item.label, "section", item.steps, frame, active=active, made=made)
        if len(builder.entries) > before:
            builder.ordinals[len(builder.entries) - 1] = number
        if isinstance(result, Record):  # what was tapped in the section itself belongs to the block around it
            frame.taps.update({name: result.taps[name] for name in made})

    def named_chain(
        self,
        name: str,
        kind: str,
        chain: Chain,
        frame: Frame,
        *,
        active: tuple[int, ...] | None = None,
        fold: Fold | None = None,
        names: dict[str, Any] | None = None,
        key: Any = None,
        made: dict[str, None] | None = None,
    ) -> Value:
        """Run a chain as a scope called `name`; a chain that is one call of a block is that block's scope.

        `made` is told the names tapped in the chain itself.
        """
        step = chain[0] if len(chain) == 1 else None
        if isinstance(step, Step) and step.branches is None and names is None and step.name not in frame.names:
            block = self.library.block(step.name)
            if block is not None:
                inner = Frame(
                    frame.names, frame.it, frame.builder, frame.source, fold or frame.fold,
                    frame.active if active is None else active, frame.level, frame.entry,
                )  # fmt: skip
                try:
                    call(self, name, step, inner)
                except ArchError as error:
                    raise error.locate(frame.source, step.at) from None
                assert inner.it is not None
                return inner.it

        def run(inner: Frame) -> None:
            self.chain(chain, inner)
            if made is not None:
                made.update(dict.fromkeys(inner.taps))

        return self.scope(name, kind, name, frame, run, active=active, fold=fold, names=names, key=key)

    # --- scopes ---

    def scope(
        self,
        name: str,
        kind: str,
        title: str,
        frame: Frame,
        run: Callable[[Frame], None],
        *,
        key: Any = None,
        names: dict[str, Any] | None = None,
        fold: Fold | None = None,
        active: tuple[int, ...] | None = None,
        attrs: dict[str, Any] | None = None,
        beyond: tuple[Any, ...] = (),
    ) -> Value:
        """Run something in a scope of its own and use the result in the frame's scope."""
        names = frame.names if names is None else names
        fold = fold or frame.fold
        formals, place = visible((frame.it, frame.entry, *names.values()), fold)
        active = frame.active if active is None else active
        template = None
        if key is not None:
            fold_key = fold and tuple([key_of(value, place) for value in fold])
            given = tuple([key_of(value, place) for value in (frame.it, frame.entry, *names.values())])
            key = (key, given, fold_key, tensors_key(formals), active, frame.level, frame.followers, beyond)
            template = self.templates.get(key)
        if template is None:
            builder = Builder(kind, title, frame.builder.depth + 1, attrs)
            local = [builder.port(i, t) for i, t in enumerate(formals)]
            inner = Frame(
                {n: localise(v, place, local) for n, v in names.items()},
                localise(frame.it, place, local), builder, frame.source,
                fold and Fold(*[localise(value, place, local) for value in fold]),
                active, frame.level, localise(frame.entry, place, local),
            )  # fmt: skip
            inner.followers = frame.followers
            try:
                run(inner)
            except ArchError as error:
                error.path.insert(0, name)
                raise
            template = builder.close(result_of(inner))
            if key is not None:
                self.templates[key] = template
        self.absorbed = template.absorbed
        self.template = template
        return frame.builder.use(name, template, formals)

    def block(
        self,
        name: str,
        block: Block,
        positional: list[Any],
        given: dict[str, Any],
        frame: Frame,
        args: tuple[Arg, ...] | None = None,
        weak: dict[str, Any] | None = None,
    ) -> None:
        """Call a block: its parameters are all it sees besides `it` and the fold.

        `args`: the arguments as they stand in the text; `weak`: values that replace defaults.
        """
        if block.unit and frame.fold is None:
            raise ArchError(f"unit '{block.name}' stands only inside aggregate, windowed, update or grow")
        binding = Frame({}, frame.it, frame.builder, block.source, frame.fold)
        names = bind(block.name, block.params, positional, given, binding, block.source, weak=weak)
        beyond = rewriting.upcoming(self, frame) if frame.tail else ()

        def run(inner: Frame) -> None:
            inner.source, inner.followers = block.source, None
            self.within += 1
            inner.builder.absorbed = self.chain(block.body, inner, beyond)
            self.within -= 1

        tensor = frame.it
        outer_entry, frame.entry = frame.entry, frame.it
        frame.it = self.scope(name, "block", block.name, frame, run, key=id(block), names=names, beyond=beyond)
        frame.entry = outer_entry
        self.last_call = None
        seen = (frame.fold, *names.values()) if isinstance(tensor, Tensor) and not self.rewrites else (tensor,)
        if isinstance(tensor, Tensor) and not any(isinstance(value, Tensor | Record | Fold) for value in seen):
            assert self.template is not None
            self.last_call = LastCall(args, block, name, self.template, tensor, frame.builder)
        rewriting.skip(self, frame, self.absorbed)

    def head(self, weight: Quantity, chain: Chain, frame: Frame) -> None:
        """Expand an auxiliary head, in which no modifier acts; what it reads is tapped under a name of its own."""
        tensor = current(frame)
        tap = f"auxiliary {len(self.heads) + 1}"
        builder = Builder("auxiliary", tap, frame.builder.depth + 1)
        inner = Frame(frame.names, builder.port(0, tensor), builder, frame.source)
        self.within += 1
        try:
            self.chain(chain, inner)
        except ArchError as error:
            error.path.insert(0, tap)
            raise
        self.within -= 1
        scope = builder.close(current(inner)).scope
        self.account(scope.nodes)  # no scope around it counts them
        self.heads[tap] = (weight, scope)
        frame.taps[tap] = tensor

    def op(self, kind: str, attrs: dict[str, Any], inputs: tuple[Tensor, ...], builder: Builder) -> Tensor:
        """Append a primitive; equal ones share one object."""
        key: tuple[Any, ...]
        shapes: tuple[Any, ...]
        marks = [value if type(value) is int else mark(value) for value in attrs.values()]
        if len(inputs) == 1:
            shape = inputs[0].shape
            shapes, key = (shape,), (kind, *marks, shape)
        else:
            shapes = tuple([t.shape for t in inputs])
            key = (kind, *marks, shapes)
        try:
            op = self.ops.get(key)
        except TypeError:  # arrays do not hash
            key, op = (), None
        if op is None:
            out = PRIMITIVES[kind].shape(shapes, attrs)
            op = Op(kind, attrs, shapes, out)
            if key:
                self.ops[key] = op
        return builder.op(op, tuple([t.index for t in inputs]))


def misplaced(expander: Expander, item: Any, frame: Frame) -> None:
    """A statement where only steps can stand."""
    where = "in a rewrite" if isinstance(item, Only) else "directly in a network"
    raise ArchError(f"'{type(item).__name__.lower()}' stands {where}, before or after its steps")


RUN: dict[type, Callable[[Expander, Any, Frame], None]] = {
    Input: misplaced,
    Expect: misplaced,
    Only: misplaced,
    Step: run_step,
    Group: Expander.group,
    Repeat: Expander.repeat,
    When: Expander.when,
    For: Expander.for_loop,
    Section: Expander.section,
}
