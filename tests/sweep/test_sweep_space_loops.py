"""Quantities of loops: a polynomial in the round's number gives in every round, and in sum, what the rounds give."""

import operator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import explorer
from explorer.analysis.facts import QUANTITIES
from explorer.blocks.loops import Growing, Loop, Uneven, total_of
from explorer.blocks.quantity import floor_divide, largest, product, remainder, smallest
from explorer.blocks.walk import LARGEST, Differs, NoneLeft, TooLarge, Walk, check, decide, single, walking
from explorer.errors import ArchError

ROWS = 3
numbers = st.lists(st.integers(-6, 6), min_size=ROWS, max_size=ROWS)
rounds = st.lists(st.integers(1, 6), min_size=ROWS, max_size=ROWS)


def array(values):
    return np.array(values, dtype=np.int64)


def growing(loop, terms):
    """The polynomial, and what it is in each round of each row."""
    values = [
        [sum(term[row] * i**power for power, term in enumerate(terms)) for i in range(loop.times[row])]
        for row in range(ROWS)
    ]
    return Growing(loop, *map(array, terms)), values


def in_round(value, row, i):
    """What a quantity is in round i of a row."""
    terms = value.terms if isinstance(value, Growing) else (value,)
    return sum(int(np.broadcast_to(term, ROWS)[row]) * i**power for power, term in enumerate(terms))


@given(rounds, st.lists(numbers, min_size=1, max_size=3), st.lists(numbers, min_size=1, max_size=2), st.integers(-4, 4))
def test_arithmetic_holds_in_every_round(times, first, second, number):
    loop = Loop(array(times))
    (a, in_a), (b, in_b) = growing(loop, first), growing(loop, second)
    for operation in (operator.add, operator.sub, operator.mul):
        for other, in_other in ((b, in_b), (number, [[number] * n for n in times]), (array([1, 2, 3]), None)):
            mixed, swapped = operation(a, other), operation(other, a)
            for row in range(ROWS):
                for i in range(times[row]):
                    right = in_other[row][i] if in_other else row + 1
                    assert in_round(mixed, row, i) == operation(in_a[row][i], right)
                    assert in_round(swapped, row, i) == operation(right, in_a[row][i])


@given(rounds, st.lists(numbers, min_size=1, max_size=4))
def test_the_sum_is_that_of_all_rounds(times, terms):
    loop = Loop(array(times))
    value, rows = growing(loop, terms)
    assert list(np.broadcast_to(total_of(value, loop), ROWS)) == [sum(row) for row in rows]
    assert list(total_of(array([5, 6, 7]), loop)) == [n * each for n, each in zip(times, (5, 6, 7), strict=True)]
    other = Loop(array([1, 2, 3]))
    if len(terms) > 1:  # of an inner loop: the outer one's polynomial stays one
        assert in_round(total_of(value, other), 1, 0) == 2 * rows[1][0]


@given(rounds, numbers, numbers, st.integers(-8, 8))
def test_comparisons_are_those_of_all_rounds_or_refused(times, start, step, bound):
    loop = Loop(array(times))
    value, rows = growing(loop, [start, step])
    for compare in (operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne):
        truths = [{compare(x, bound) for x in row} for row in rows]
        try:
            found = np.broadcast_to(compare(value, bound), ROWS)
        except Uneven:  # refused where rounds differ, or, for equality, might
            between = any(min(row) <= bound <= max(row) and len(row) > 1 for row in rows)
            assert between or any(len(truth) > 1 for truth in truths)
        else:
            assert [{bool(x)} for x in found] == truths


@given(rounds, numbers, numbers, st.integers(1, 5))
def test_quotients_are_those_of_all_rounds_or_refused(times, start, step, divisor):
    loop = Loop(array(times))
    value, rows = growing(loop, [start, step])
    try:
        quotient, rest = floor_divide(value, divisor), remainder(value, divisor)
    except Uneven:
        assert any(x % divisor for x in step)
        return
    for row in range(ROWS):
        for i in range(times[row]):
            assert in_round(quotient, row, i) == rows[row][i] // divisor
            assert in_round(rest, row, i) == rows[row][i] % divisor


def test_extremes_of_what_grows():
    loop = Loop(array([2, 3, 4]))
    value = Growing(loop, array([4, 5, 6]), 2)
    assert largest(1, value) is value and smallest(value, 2) == 2
    with pytest.raises(Uneven):
        largest(value, 7)


def test_what_no_polynomial_holds_is_refused():
    loop = Loop(array([2, 3, 4]))
    value = Growing(loop, 1, 1)
    for wrong in (
        lambda: value * 0.5,
        lambda: value // value,
        lambda: value + Growing(Loop(2), 1, 1),
        lambda: single(value),
    ):
        with pytest.raises(Differs) as error:
            wrong()
        assert list(error.value.rows) == [2, 3, 4]
    with pytest.raises(Uneven):
        Growing(loop, 0, 0, 0, 0, 1).total()


# --- array walks ---


def test_rows_may_repeat_differently_often():
    text = "network n(n, w) { input 3x8x8, conv(1x1, w), basic(w) * n, grow(n) { dense_layer(4) }, gap, linear(2) }"
    text += "\nnetwork m = n(n = 2, w = 2)"
    values = {"n": array([2, 3, 7]), "w": array([4, 8, 4])}
    together = explorer.cost(text, values=values)
    for row in range(ROWS):
        alone = explorer.cost(text, values={name: int(column[row]) for name, column in values.items()})
        for name in QUANTITIES:
            assert np.broadcast_to(getattr(together, name), ROWS)[row] == getattr(alone, name)


def test_a_walk_says_which_rows_differ_and_what_it_refused():
    with walking() as walk:
        check(array([1, 2, 3]) > 1, lambda: "too small")
        assert decide(array([0, 5, 5]) == 5)  # the first row does not count any more
        assert single(array([0, 5, 5])) == 5
        with pytest.raises(Differs) as error:
            decide(array([5, 5, 6]) == 5)
        assert list(error.value.rows) == [True, True, False]
        assert [(refusal.message(), list(refusal.rows)) for refusal in walk.refused] == [
            ("too small", [True, False, False])
        ]
        with pytest.raises(NoneLeft, match="too large"):
            check(array([1, 2, 3]) < 2, lambda: "too large")


def test_rows_that_cannot_exist_may_be_too_large():
    huge = array([1, LARGEST])
    with pytest.raises(TooLarge) as error:
        product(huge, 2)
    assert list(error.value.rows) == [False, True]
    with walking(Walk(valid=np.array([True, False]))):
        assert product(huge, 2)[0] == 2


def test_without_a_walk_a_failed_check_is_an_error():
    with pytest.raises(ArchError, match="all of them"):
        check(array([1, 0]) == 1, lambda: "not all of them")
