"""Steps that draw at random, and their companions: what is legal, and walks on arrays and symbols."""

from fractions import Fraction

import numpy as np
import pytest
import sympy

import explorer
from explorer.blocks.graph import flatten
from explorer.errors import UserError


def attrs(steps, kind, size="4x6x6"):
    """The attributes of each op of a kind in a network of these steps."""
    flat, _, _ = flatten(explorer.expand(f"network n {{ input {size}\n {steps} }}"))
    return [node.op.attrs for node in flat if node.op.kind == kind]


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ("droppath(1)", "rate of droppath is at least 0 and below 1, not 1"),
        ("droppath(-0.1)", "at least 0 and below 1"),
        ("droppath(yes)", "rate of droppath is a number, not yes"),
        ("droppath(3x3)", "rate of droppath is a number"),
        ("droppath", "droppath needs 'rate'"),
        ("affine(square, 1)", "scale of affine is a number, not square"),
        ("affine(1, it)", "shift of affine is a number, not a tensor"),
        ("shuffle(3)", "3 groups do not divide the 4 channels"),
        ("shuffle(0)", "at least 1"),
        ("shift(7)", "leaves nothing of the map of 4x6x6"),
        ("shift(0.5)", "whole number of positions"),
        ("shake { it | relu | bn }", "two branches, not 3"),
        ("shake(backward = square) { it | relu }", "backward is shake or even, not square"),
        ("shake(backwards = even) { it | relu }", "no parameter 'backwards'; did you mean 'backward'"),
        ("shake { it | conv(1x1, 3) }", "shake needs equal shapes, not 4x6x6 and 3x6x6"),
        ("shake", "shake joins branches"),
        ("fractaljoin(0.15, 2) { it | relu | bn }", "3 branches in a network of 2 columns"),
        ("fractaljoin(1, 2) { it | relu }", "rate of fractaljoin"),
        ("fractaljoin(0.1, 2, 2) { it | relu }", "share of fractaljoin is from 0 to 1, not 2"),
        ("fractaljoin(0.15, 2, draw = square) { it | relu }", "draw of fractaljoin must be a whole number"),
        ("fractaljoin(0.15, 2) { it | conv(1x1, 3) }", "equal shapes"),
        ("add(1) { it | relu }", "add takes at most 0 arguments"),
        ("mean K in [1, 2] { droppath(K) }", "at least 0 and below 1"),
    ],
)
def test_what_is_refused(steps, message):
    with pytest.raises(UserError, match=message):
        explorer.expand(f"network n {{ input 4x6x6\n {steps} }}")


def test_rates_are_exact_and_told_apart():
    rates = [
        a["rate"] for a in attrs("for l in range(1, 4) { droppath(l / 6) }, droppath(0.5), droppath(0)", "droppath")
    ]
    assert rates == [Fraction(1, 6), Fraction(1, 3), Fraction(1, 2), Fraction(1, 2), 0]
    with pytest.raises(UserError, match="scale of affine"):  # 3x2 is a size, and not the fraction before it
        attrs("affine(3/2), affine(3x2)", "affine")
    blocks = "block b(r) { droppath(r) }\n"
    graph = explorer.expand(f"{blocks}network n {{ input 4x6x6, b(1/2), b(1/3), b(1/2) }}")
    assert [f.op.attrs["rate"] for f in flatten(graph)[0]] == [Fraction(1, 2), Fraction(1, 3), Fraction(1, 2)]


def test_options_reach_the_ops():
    assert attrs("shake { it | relu }, shake(even) { it | relu }", "shake") == [
        {"backward": "shake"},
        {"backward": "even"},
    ]
    assert attrs("fractaljoin(0, 3, draw = 2) { it | relu }", "fractaljoin") == [
        {"rate": 0, "columns": 3, "share": Fraction(1, 2), "draw": 2}
    ]
    assert attrs("affine(-1, 1), affine(2)", "affine") == [{"scale": -1, "shift": 1}, {"scale": 2, "shift": 0}]


TEXT = """network n(w) { input 3x8x8
  conv(1x1, 2 * w), shuffle(2), affine(-1, 1), shift(1), droppath(0.1)
  shake { conv(3x3, 2 * w) | it }, fractaljoin(0.1, 2) { it | bn }
}
network m = n(w = 2)"""


def test_the_walk_on_arrays():
    together = explorer.cost(TEXT, values={"w": np.array([2, 5, 9])})
    alone = [explorer.cost(TEXT, values={"w": w}) for w in (2, 5, 9)]
    for quantity in ("params", "macs", "activations"):
        assert list(getattr(together, quantity)) == [getattr(cost, quantity) for cost in alone]
    odd = explorer.cost(TEXT.replace("shuffle(2)", "shuffle(5)"), values={"w": np.array([2, 5, 10])})
    assert list(odd.graph.valid) == [False, True, True]


def test_the_walk_on_symbols():
    w = sympy.Symbol("w", integer=True, positive=True)
    formula = explorer.cost(TEXT, values={"w": w})
    assert sympy.expand(formula.params - (6 * w + 36 * w**2 + 4 * w)) == 0
    assert sympy.expand(formula.macs - 64 * (6 * w + 36 * w**2)) == 0


def test_they_add_neither_parameters_nor_multiply_adds():
    steps = "shuffle(2), affine(-1, 1), shift(1), droppath(0.1), shake { it | it }, fractaljoin(0.1, 2) { it | it }"
    cost = explorer.cost(f"network n {{ input 4x6x6\n {steps} }}")
    assert (cost.params, cost.macs, cost.depth, cost.chain) == (0, 0, 0, 0) and len(cost.ledger) == 6


def test_a_shuffled_or_shifted_image_is_still_the_image():
    text = "network n { input 4x8x8, shuffle(2), shift(1), conv(3x3, 4), conv(3x3, 4) }\nnetwork m = n + seqconv(k = 2)"
    changes = {c.reason: c.places for c in explorer.expand(text).root.changes}
    assert changes == {None: 1, "it reads the image": 1}
