"""The checks' language: what rounds to a printed figure, what is refused, and what a check can ask of a graph."""

from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

import explorer
from explorer.analysis.audit.reported import reported
from explorer.analysis.claims import structure
from explorer.analysis.claims.evidence import Evidence, ledger, narrowed
from explorer.analysis.claims.judge import FAILS, HOLDS, ROUNDED, Figure, compare
from explorer.analysis.claims.language import evaluate, finding

EVIDENCE = Evidence(reported(), ledger)


def found(text, paper="ms-sar", source="ledger"):
    return finding(text, EVIDENCE.names(paper, source))


def root(network):
    return ledger(network).graph.root


# --- figures and verdicts ---


@pytest.mark.parametrize(
    ("text", "value", "step"),
    [
        ("0.3%", Fraction(3, 1000), Fraction(1, 1000)),
        ("2.35x", Fraction(235, 100), Fraction(1, 100)),
        ("25.0M", 25_000_000, 100_000),
        ("1585746", 1585746, 1),
        ("about 20", 20, 10),
        ("about 25%", Fraction(1, 4), Fraction(1, 100)),
        ("20", 20, 1),
    ],
)
def test_a_figure_knows_its_last_digit(text, value, step):
    assert (Figure(text), Figure(text).step) == (value, step)


@given(st.integers(1, 10**9), st.integers(1, 10**4), st.integers(0, 3), st.sampled_from(["", "%", "x"]))
def test_a_number_rounds_to_its_own_digits_and_to_no_others(above, below, decimals, unit):
    value = Fraction(above, below)
    shown = Decimal(above) / Decimal(below) * (100 if unit == "%" else 1)
    step = Decimal(1).scaleb(-decimals)
    rounded = shown.quantize(step, rounding=ROUND_HALF_EVEN)
    own = compare("==", value, f"{rounded}{unit}")
    assert own.verdict == (HOLDS if Figure(f"{rounded}{unit}") == value else ROUNDED)
    assert compare("==", value, f"{rounded + 2 * step}{unit}").verdict == FAILS


@pytest.mark.parametrize(
    ("symbol", "left", "right", "verdict", "numbers"),
    [
        ("==", Fraction(5556, 100_000), "5.56%", ROUNDED, "5.556% rounds to 5.56%"),
        ("==", Fraction(8764, 100_000), "7.77%", FAILS, "8.764% is not 7.77% (by +0.994 points)"),
        ("==", 125_747_840, Figure("135.7M"), FAILS, "125,747,840 is not 135.7M (by -7.33%)"),
        ("==", Figure("7.9G"), Figure("7.95G"), ROUNDED, "7.95G rounds to 7.9G"),
        ("==", Figure("20.5"), Figure("20.50"), HOLDS, "= 20.50"),
        ("==", [Fraction(12), 3], [12, 3], HOLDS, "= [12, 3]"),
        ("==", [Fraction(1, 2)], [1], FAILS, "[0.5] is not [1]"),
        ("<=", Fraction(1004, 100_000), "1%", FAILS, "1.004% > 1% (by +0.004 points)"),
        (">", Fraction(2, 100), "1%", HOLDS, "2% > 1%"),
        ("<", Figure("4.16"), Figure("4.06"), FAILS, "4.16 >= 4.06 (by +0.1)"),
        ("!=", "a", "a", FAILS, "a = a"),
    ],
)
def test_comparisons(symbol, left, right, verdict, numbers):
    assert compare(symbol, left, right) == (verdict, numbers)


# --- the language ---


def test_a_statement_about_all_names_the_cases_that_fail():
    check = "all(K * side < 9 for K in [1, 2] for side in [3, 4])"
    assert finding(check, {}) == (HOLDS, "K 1 side 3 3 < 9; K 1 side 4 4 < 9; K 2 side 3 6 < 9; K 2 side 4 8 < 9")
    assert finding(check.replace("9", "8"), {}) == (FAILS, "1 of 4 fail: K 2 side 4 8 >= 8")
    assert finding('all(n == "a" for n, x in [["a", 1], ["b", 2]] if x < 2)', {}) == (HOLDS, "a x 1 = a")
    with pytest.raises(ValueError, match="all of nothing"):
        finding("all(n > 1 for n in [])", {})


def test_statements_hold_as_their_weakest_part():
    assert finding('1 == "1" and 104/100 == "1"', {}).verdict == ROUNDED
    assert finding('1 == "1" and 104/100 == "1" and 2 == "1"', {}) == (FAILS, "2 is not 1 (by +1)")


def test_arithmetic_is_exact():
    assert evaluate("1/3 + 0.1 - 2 ** 2 // 3 * -1", {}) == Fraction(1, 3) + Fraction(1, 10) + 1
    assert evaluate("max(abs(x) for x in [-3, 2])", {}) == 3


@pytest.mark.parametrize(
    "text",
    ["().__class__", "(lambda: 1)()", "[1][0]", "x := 1", "f'{1}'", "1 < 2 < 3", "1 if 2 > 1 else 3", "not 1 > 2",
     "1 > 2 or 2 > 1", "{1: 2}", "1 in [1]", "unknown > 1", "import os", "5(1) > 1", "1 + 1", "open('x')"],
)  # fmt: skip
def test_nothing_else_is_of_the_language(text):
    with pytest.raises(ValueError):
        finding(text, {})


# --- what a check can ask ---


def test_sources_give_their_own_numbers():
    assert found('flops("resnet56", table=1) == 125747840').verdict == HOLDS
    assert found('flops("resnet56", table=1) == "135.7M"', source="printed") == (HOLDS, "= 135.7M")
    with pytest.raises(ValueError, match=r"125\.7M, 135\.7M"):
        found('flops("resnet56") > 1', source="printed")
    with pytest.raises(ValueError, match="not printed"):
        found('c10("resnet18") > 1')
    assert (
        found('printed("error", "densenet-bc-100-12", paper="seqconv", dataset="cifar100") == 22.27').verdict == HOLDS
    )
    assert found('top1("seqresnet-b42", epochs=100) < top1("seqresnet-b42", epochs=90)', "seqconv").verdict == HOLDS


def test_a_narrower_hidden_width_is_rounded():
    widths = structure.widths(root(narrowed("resnet20+mssar(1,2,4)", 3)), *(
        f"stage{n}.basic1.mssar.K1.conv1" for n in (1, 2, 3)))  # fmt: skip
    assert widths == [round(16 / 9), round(32 / 9), round(64 / 9)]


def test_places_and_counts_of_a_residual_network():
    net = root("resnet20+mssar(1,2)")
    assert structure.count(net, "conv", outside="shortcut mssar") == 19
    assert structure.count(net, "conv", inside="shortcut") == 2
    assert structure.count(net, "conv", inside="mssar") == 9 * 2 * 2
    assert structure.count(net, "basic", "stage2") == 3
    assert structure.sides(net, "conv1", "stage2", "stage3.basic1.conv1") == [32, 16, 8]
    assert structure.sides_read(net, "stage2", "stage3.basic1.conv1") == [32, 16]
    assert structure.widths_read(net, "stage2") == [16]
    assert structure.layers(net, "stage1.basic2.mssar.K2")[:3] == ["regional", "conv 1x1 8", "bn"]
    with pytest.raises(ValueError, match="no 'stage9'"):
        structure.sides(net, "stage9")


def test_gunn_layers_are_read_off_their_segments():
    layers = "a: gunn_layer(3, 2, 2), b: gunn_layer(5, 1), c: gunn_layer(4, 3, reads = original)"
    net = explorer.expand(f"network own {{ input 12x4x4, {layers} }}").root
    assert structure.npkm(net, "a", "b", "c") == [[12, 3, 2, 2], [12, 5, 1, 1], [12, 4, 3, 1]]
    assert [structure.updates(net, place) for place in "abc"] == [[1, 1], [1, 1], [0, 0]]


@pytest.mark.parametrize(("scale", "side"), [(1, 4), (2, 8), (3, 7), (4, 8), (2, 5)])
def test_sliding_sets_are_counted_as_sets(scale, side):
    radius, positions = side // scale, [(row, column) for row in range(side) for column in range(side)]
    near = {
        frozenset((r, c) for r, c in positions if abs(r - row) + abs(c - column) <= radius) for row, column in positions
    }
    assert structure.sliding_sets(scale, side) == len(near)
