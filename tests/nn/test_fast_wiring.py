"""Ranges of channels: where a fold's parts read and write, and what is done for a block of them."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

import explorer
from explorer.blocks.graph import Scope
from explorer.nn.fast.plan import plan_of
from explorer.nn.fast.wiring import Piece, column, common, cut, joined, width_of, wiring_of, without


def channels(pieces):
    return [(p.tensor, c) for p in pieces for c in range(p.start, p.stop)]


@st.composite
def views(draw):
    """Pieces of a few tensors, no channel twice."""
    marks = sorted(draw(st.sets(st.tuples(st.integers(0, 2), st.integers(0, 9)), max_size=12)))
    return joined(Piece(tensor, c, c + 1) for tensor, c in draw(st.permutations(marks)))


@given(views(), st.integers(0, 12), st.integers(0, 12))
def test_cutting_views(view, start, stop):
    assert channels(cut(view, start, stop)) == channels(view)[start:stop]
    assert width_of(view) == len(channels(view))


@given(st.lists(views(), min_size=1, max_size=4), views())
def test_what_views_share(many, taken):
    shared = common(many)
    assert set(channels(shared)) == set.intersection(*(set(channels(view)) for view in many))
    for view in many:
        assert channels(without(view, taken)) == [c for c in channels(view) if c not in channels(taken)]
        for piece in shared:
            at = column(view, piece)
            assert channels(cut(view, at, at + piece.width)) == channels([piece])


def fold(steps, size="6x4x4"):
    """The fold's scope."""
    scope = explorer.expand(f"network n {{ input {size}\n a: {steps} }}").root
    while scope.kind not in ("update", "aggregate", "windowed", "grow"):
        scope = next(entry.node for entry in scope.body if isinstance(entry.node, Scope))
    return scope


X, Y = 0, 1
VIEWS = {
    "update(3) { conv(3x3, out) }": [[(X, 0, 6)], [(Y, 0, 2), (X, 2, 6)], [(Y, 0, 4), (X, 4, 6)]],
    "update(3, original) { conv(3x3, out) }": [[(X, 0, 6)]] * 3,
    "aggregate(6, 2) { conv(3x3, out) }": [[(X, 0, 6)], [(X, 0, 6), (Y, 0, 2)], [(X, 0, 6), (Y, 0, 4)]],
    "windowed(6, 2) { conv(3x3, out) }": [[(X, 0, 6)], [(X, 2, 6), (Y, 0, 2)], [(X, 4, 6), (Y, 0, 4)]],
    "windowed(18, 6) { conv(3x3, out) }": [[(X, 0, 6)], [(Y, 0, 6)], [(Y, 6, 12)]],
    "grow(3) { conv(3x3, 2) }": [[(X, 0, 6)], [(X, 0, 6), (Y, 6, 8)], [(X, 0, 6), (Y, 6, 10)]],
}


@pytest.mark.parametrize("steps", VIEWS)
def test_views(steps):
    """As the equations define them: GUNN 4, SUNN, SeqConv 1 and 2, a dense block."""
    wiring = wiring_of(fold(steps))
    assert [part.arguments[0] for part in wiring.parts] == [tuple(Piece(*p) for p in view) for view in VIEWS[steps]]
    assert wiring.in_place == (steps in ("update(3) { conv(3x3, out) }", "windowed(6, 2) { conv(3x3, out) }"))
    made = [part.results[0] for part in wiring.parts]
    assert joined(made) == (Piece(Y, 6 if "grow" in steps else 0, wiring.widths[0]),)


@pytest.mark.parametrize("parts", [1, 2, 3, 4, 8, 20])
def test_blocks_are_square_roots(parts):
    scope = fold(f"update({parts}) {{ conv(1x1, out) }}", "20x4x4")
    sizes = [len(block.members) for block in plan_of(scope, wiring_of(scope)).blocks]
    assert sizes[0] == int(parts**0.5) and sum(sizes) == parts and max(sizes) == sizes[0]


FAULTS = """
import resource, sys
from explorer.nn.fast.allocator import keep_freed_memory
if sys.argv[1] == "keep": assert keep_freed_memory()
size = 1 << 26
b"x" * size
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5): b"x" * size
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_freed_memory_is_kept():
    def faults(how):
        return int(
            subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True).stdout
        )

    assert faults("keep") < 100 < 1000 < faults("default")
