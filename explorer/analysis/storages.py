"""Follows the storages of a schedule through a forward and a backward pass, as torch's autograd holds them.

A storage lives while something holds it: values that Python has, calls that saved it for their backward pass, gradients
on their way. The engine runs backward passes in the exact reverse order of the calls. Gradients that meet are added in
place if the first is dense and nothing else holds it, else into a third tensor (torch's InputBuffer).
"""

from typing import NamedTuple

from explorer.analysis.liveness import IMAGE, LOSS, Schedule, Step
from explorer.analysis.saved import (
    DENSE_RESULT,
    FLATTENED,
    FOLD,
    GRADIENT,
    HELD,
    INPUT,
    INPUT_AGAIN,
    NEW,
    PASSED,
    SPREAD,
    STRIDED,
    TAKEN,
    VIEW,
    Call,
)


class Moment(NamedTuple):
    """Bytes there are beside parameters and image: all; of them what is saved, and gradients of parameters."""

    live: int
    saved: int
    learned: int
    op: int  # that runs
    backward: bool


LEAF = -1  # in place of a number on the tape


# a call that has a backward pass: itself, its operands, what it made, the storages it saved, its op
Node = tuple[Call, tuple[int, ...], int, list[int], int]


class Run:
    """A pass through a schedule. A storage has the number of the value it was made for; gradients' have higher ones.

    `records`: whether autograd does.
    """

    def __init__(self, schedule: Schedule, records: bool = True) -> None:
        self.records = records
        values = len(schedule.holders)
        self.storage = [0] * values
        self.bytes = [0] * values  # of the value, dense
        self.layout = [VIEW] * values
        self.wants = [False] * values  # a gradient
        self.readers = [0] * values  # calls whose backward passes make parts of its gradient
        self.gone = [False] * values  # Python has forgotten it
        self.gradient: list[int | None] = [None] * values  # its storage; ~storage where it is not dense
        self.place = [0] * values  # on the tape, of the call that made it
        self.size = [0] * values  # of a storage; the image is counted apart
        self.holders = [0] * values
        self.holders[IMAGE] = 1
        self.saves = [0] * values  # those of the holders that saved it
        self.owner = [LOSS] * values  # the op that saved it first
        self.tape: list[Node | None] = []
        self.saved_by = [0] * (schedule.ops + 1)  # bytes, by op; the last are the losses'
        self.live = self.saved = self.learned = 0
        self.high = 0
        self.at_high = (0, 0, LOSS, False)

    @property
    def peak(self) -> Moment:
        """When most was there."""
        return Moment(self.high, *self.at_high)

    def given(self, value: int, size: int, strided: bool) -> None:
        """A value that is there before, and counted elsewhere."""
        self.storage[value], self.bytes[value], self.holders[value] = value, size, 1
        self.layout[value] = STRIDED if strided else VIEW
        self.wants[value], self.place[value] = self.records, LEAF

    def forward(self, steps: list[Step]) -> None:
        """Runs calls."""
        storage, layout, wants, size, holders = self.storage, self.layout, self.wants, self.size, self.holders
        for call, reads, made, dies, op in steps:
            form, scratch = call.form, call.scratch
            if form == FOLD:
                self._fold(call, reads, made, op)
                self._forget(dies)
                continue
            base = reads[0] if reads else made
            if form == FLATTENED:
                form = NEW if layout[base] == SPREAD else VIEW
            if form == NEW:
                storage[made] = made
                size[made] = call.size
                holders[made] = 1
                self.live += call.size
            elif form >= HELD:
                storage[made] = made
                size[made] = call.size if form == TAKEN else 0
                holders[made] = 1
            else:
                storage[made] = storage[base]
                holders[storage[base]] += 1
                layout[made] = max(form, layout[base])
            self.bytes[made] = call.size
            if call.packs & INPUT and layout[base]:
                scratch += self.bytes[base]
            if form == HELD and not reads:
                wants[made], self.place[made] = self.records, LEAF
            elif self.records and (call.learned or wants[base] or (len(reads) > 1 and any(wants[v] for v in reads))):
                self._record(call, reads, made, op)
            else:
                scratch += call.extra
            if self.live + scratch > self.high:
                self.high = self.live + scratch
                self.at_high = (self.saved, self.learned, op, False)
            if dies:
                self._forget(dies)

    def _forget(self, values: list[int]) -> None:
        for value in values:
            self._let_go(self.storage[value])
            self.gone[value] = True
            if self.wants[value] and not self.readers[value]:
                self._unreachable(value)

    def _fold(self, call: Call, reads: tuple[int, ...], made: int, op: int) -> None:
        fold = call.fold(tuple([self.layout[v] != VIEW for v in reads]))
        wants = self.records and (call.learned > 0 or any(self.wants[v] for v in reads))
        done = fold.forward(wants)
        if self.live + done.high > self.high:
            self._mark(done.high, op, backward=False)
        outputs = range(made, made + len(done.outputs))
        for value, size in zip(outputs, done.outputs, strict=True):
            self.storage[value], self.bytes[value], self.size[value], self.holders[value] = value, size, size, 1
            self.live += size
        if wants:
            for value in outputs:
                self.wants[value], self.place[value] = True, len(self.tape)
            for number, size in done.kept:
                self.saved_by[op + number] += size
            extra = sum([size for _, size in done.kept])
            self.live += extra
            self.saved += extra
            kept = [self.storage[v] for v in (*reads, *outputs)]
            self._keep(call._replace(extra=extra, fold=(fold, outputs, done.kept)), reads, made, kept, op)

    def _let_go(self, place: int) -> None:
        holders = self.holders[place] = self.holders[place] - 1
        if not holders:
            self.live -= self.size[place]

    def _record(self, call: Call, reads: tuple[int, ...], made: int, op: int) -> None:
        """Puts a call on the tape, with what it saves."""
        storage = self.storage
        self.wants[made] = True
        self.place[made] = len(self.tape)
        if call.saves is None:
            kept = [storage[v] for v, other in zip(reads, reversed(reads), strict=True) if self.wants[other]]
        else:
            kept = [storage[reads[i]] for i in call.saves]
        if call.keeps:
            kept.append(storage[made])
        self.live += call.extra
        self.saved += call.extra
        self.saved_by[op] += call.extra
        self._keep(call, reads, made, kept, op)

    def _keep(self, call: Call, reads: tuple[int, ...], made: int, kept: list[int], op: int) -> None:
        """Puts a call on the tape."""
        for value in reads:
            self.readers[value] += 1
        added = 0
        for place in kept:
            self.holders[place] += 1
            if not self.saves[place]:
                self.owner[place] = op
                added += self.size[place]
            self.saves[place] += 1
        self.saved += added
        self.saved_by[op] += added
        self.tape.append((call, reads, made, kept, op))

    def _release(self, call: Call, kept: list[int]) -> None:
        """What a call saved is no longer needed by it."""
        for place in kept:
            saves = self.saves[place] = self.saves[place] - 1
            if not saves:
                self.saved -= self.size[place]
            self._let_go(place)
        self.saved -= call.extra
        self.live -= call.extra

    def _unreachable(self, value: int) -> None:
        """Neither Python nor a later call has `value`: the call that made it is dropped, with what it saved."""
        node = None if self.place[value] == LEAF else self.tape[self.place[value]]
        if node is None:
            return
        call, reads, _, kept, op = node
        if call.form == FOLD:
            if any(not self.gone[v] or self.readers[v] for v in call.fold[1]):
                return
            for number, size in call.fold[2]:
                self.saved_by[op + number] -= size
        else:
            self.saved_by[op] -= call.extra
        self.tape[self.place[value]] = None
        for place in set(kept):
            if self.saves[place] == kept.count(place):
                self.saved_by[self.owner[place]] -= self.size[place]
        self._release(call, kept)
        for read in reads:
            self.readers[read] -= 1
            if self.wants[read] and self.gone[read] and not self.readers[read]:
                self._unreachable(read)

    def _new(self, size: int) -> int:
        """A gradient's storage, with one holder."""
        self.size.append(size)
        self.holders.append(1)
        self.live += size
        return len(self.size) - 1

    def seed(self, value: int, size: int, strided: bool = False, shared: bool = False) -> None:
        """A gradient to begin with, `size` bytes of its own; `shared`: something else holds it too."""
        place = self._new(size)
        self.holders[place] += shared
        self.gradient[value] = ~place if strided else place

    def reach(self, more: int) -> None:
        """For a moment there is more, no op running."""
        if self.live + more > self.high:
            self._mark(more, LOSS)

    def backward(self) -> None:
        """Runs the backward passes of all calls, from the gradients that are there."""
        for node in reversed(self.tape):
            if node is None:
                continue
            if node[0].form == FOLD:
                self._fold_backward(node)
                continue
            came = self.gradient[node[2]]
            if came is not None:  # else it reaches no loss
                self._backward(node, came)

    def _fold_backward(self, node: Node) -> None:
        call, reads, _, kept, op = node
        fold, outputs, _ = call.fold
        came = [self.gradient[v] for v in outputs]
        if all(place is None for place in came):
            return
        wanting = [v for v in reads if self.wants[v]]
        done = fold.backward(tuple([self.wants[v] for v in reads]), tuple([place is not None for place in came]))
        if self.live + done.high > self.high:
            self._mark(done.high, op)
            self.at_high = (self.saved, self.learned + done.learned_at_high, op, True)
        self.learned += done.learned
        self.live += done.learned
        gradients = [(value, self._new(size)) for value, size in zip(wanting, done.gradients, strict=True)]
        for place in came:
            if place is not None:
                self._let_go(max(place, ~place))
        self._release(call, kept)
        self._hand_on(gradients, op)

    def _backward(self, node: Node, came: int) -> None:
        """Makes the gradients of a call's operands, gives up what it saved, and hands the gradients on."""
        call, reads, _, kept, op = node
        place = max(came, ~came)
        scratch = call.back + (self._copied(node, came >= 0) if call.packs else 0)
        gradients: list[tuple[int, int]] = []
        for value, kind in zip(reads, call.gradients, strict=True):
            if self.wants[value]:
                if kind >= 0:
                    gradients.append((value, self._new(kind)))
                else:
                    self.holders[place] += 1
                    gradients.append((value, came if kind == PASSED else ~place))
        self.learned += call.learned
        self.live += call.learned
        if self.live + scratch > self.high:
            self._mark(scratch, op)
        self._let_go(place)
        self._release(call, kept)
        self._hand_on(gradients, op)

    def _hand_on(self, gradients: list[tuple[int, int]], op: int) -> None:
        for value, gradient in gradients:
            if self.gradient[value] is None:
                self.gradient[value] = gradient
            else:
                self._accumulate(value, gradient, op)

    def _copied(self, node: Node, dense: bool) -> int:
        """Bytes of the copies that a backward pass makes; `dense`: whether the gradient that came is."""
        call, reads, made, _, _ = node
        value = reads[0]
        if call.packs & DENSE_RESULT:
            return self.bytes[value] if dense and self.wants[value] and not self.layout[value] else 0
        copied = self.bytes[made] if call.packs & GRADIENT and not dense else 0
        return copied + (self.bytes[value] if call.packs & INPUT_AGAIN and self.layout[value] else 0)

    def _accumulate(self, value: int, gradient: int, op: int) -> None:
        """Adds a gradient to what has come for a value so far."""
        there = self.gradient[value]
        assert there is not None
        if there < 0 or self.holders[there] > 1:
            self.gradient[value] = self._new(self.bytes[value])
            if self.live > self.high:
                self._mark(0, op)
            self._let_go(max(there, ~there))
        self._let_go(max(gradient, ~gradient))

    def _mark(self, scratch: int, op: int, backward: bool = True) -> None:
        self.high = self.live + scratch
        self.at_high = (self.saved, self.learned, op, backward)
