"""The papers' formulas: derived by the walk, verified on built layers, judged."""

from fractions import Fraction
from random import Random

import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import explorer
from explorer.analysis.derive import check as checking
from explorer.analysis.derive.formulas import FORMULAS
from explorer.analysis.derive.judge import judge, vanishes
from explorer.analysis.derive.layers import LAYERS
from explorer.analysis.derive.pooling import partial_sum_additions, partial_sums
from explorer.analysis.derive.rows import POINTS, needed_of, papers, rows
from explorer.analysis.derive.symbols import SYMBOLS, latex, named, parse, pretty
from explorer.analysis.derive.walk import QUANTITIES, Closed, _fit, _power_sums, closed, conditions, graph_of
from explorer.analysis.formula import symbol
from explorer.analysis.ledger import ledger_of, totals_of
from explorer.errors import UserError


@pytest.fixture(scope="module")
def table():
    return {row.name: row for row in rows(verify=False)}


# --- the rows ---


def test_every_formula_is_verified_at_fifty_points():
    verified = rows()
    assert len({row.name for row in verified}) == len(FORMULAS), "names are unique"
    assert POINTS >= 50
    for row in verified:
        assert row.verified.startswith(f"{POINTS} of {POINTS} points"), (row.name, row.verified)
        assert row.agrees


EXPECTED = {  # worked out by hand
    "weights of a 3x3 convolution from D to D channels": ("9*D**2", "holds"),
    "extra weights of all L scales": ("2*L*D*d", "holds"),
    "extra parameters of all L scales, batch norm's included": ("2*L*D*d + 2*L*(D + d)", "fails"),
    "fully-connected layers, regional, all scales (MACs)": ("2*D*d*sumK2", "holds"),
    "fully-connected layers, sliding, all scales (MACs)": ("2*L*W*H*D*d", "holds"),
    "with D' = D/L the extra weights do not grow with L": ("2*D**2", "holds"),
    "with D' = floor(D/L) the extra weights do not grow with L": ("2*D*(D - D_mod_L)", "holds where D_mod_L = 0"),
    "with more scales than channels, so D' = 1, the extra weights do not grow with L": ("2*D*L", "fails"),
    "with D' = D/L the extra parameters, batch norm's included, do not grow with L": (
        "2*D**2 + 2*D*(L + 1)",
        "holds where L = 1",
    ),
    "extra MACs of a residual block over its own, regional": ("sumK2/(9*L*W*H)", "holds"),
    "scales {1} have the weights of SE": ("2*D**2/r", "holds"),
    "scales {1} have the parameters of SE, its biases and MS-SAR's batch norms included": (
        "2*D**2/r + 2*(D + D/r)",
        "fails",
    ),
    "weights of a dense layer": ("9*Cout*C + 9*Cout*(Cout - k)/2", "holds"),
    "power of the width in a dense layer's weights; input width and k fixed": ("2", "holds"),
    "dense over regular; input as wide as the output": ("3/2 - k/(2*C)", "holds where C/k = 1"),
    "parameters of a windowed layer and a regular one": ("9*C*Cout + 2*Cout", "holds"),
    "weights of a windowed bottleneck layer and a regular one": ("Cout*C + 9*Cout*k", "fails"),
    "weights of a windowed layer with c subgroups": ("9*C*Cout/c", "holds"),
    "weights of a down-sampling block": ("9*C*(Cout - C) + 9*Cout*k2", "holds"),
    "weights of a layer {N, P, K, M}": ("K*N**2 + ((9*K**2 + K) + (M - 1)*(9*K**2 + 2*K))*N**2/P", "holds"),
    "a convolution has its weights in segments of unequal size": ("9*N**2", "holds"),
    "parameters of GUNN and of SUNN with the same segments": (
        "K*N**2 + ((9*K**2 + K) + (M - 1)*(9*K**2 + 2*K))*N**2/P + 2*M*N*(2*K + 1)",
        "holds",
    ),
    "bottleneck units have the same MACs in any P segments as in one": (
        "H*W*(K*N**2 + ((9*K**2 + K) + (M - 1)*(9*K**2 + 2*K))*N**2/P)",
        "holds where P = 1",
    ),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_what_is_derived(table, name):
    expression, verdict = EXPECTED[name]
    row = table[name]
    assert sympy.simplify(parse(row.derived) - parse(expression)) == 0
    assert row.verdict == verdict


def test_the_difference_is_derived_minus_claimed(table):
    for row in table.values():
        if row.difference:
            assert sympy.simplify(parse(row.derived) - parse(row.claim).doit() - parse(row.difference)) == 0, row.name
        assert (row.verdict == "holds") == (row.difference == "0" or row.claim == row.derived), row.name


def test_the_range_of_a_formula(table):
    assert table["weights of a 3x3 convolution from D to D channels"].range == "all whole numbers from 1"
    assert table["with D' = D/L the extra weights do not grow with L"].range.startswith("L divides D")
    assert table["weights of a layer {N, P, K, M}"].range == "P divides N"
    assert "k2 divides Cout" in table["weights of a down-sampling block"].range


def test_what_the_floor_does_on_a_built_layer(table):
    """16 channels, 3 scales: D' = 5, and 480 weights in the place of 512."""
    assert "480, claimed 512" in table["with D' = floor(D/L) the extra weights do not grow with L"].example
    module = explorer.build("network n { mssar(1, 2, 4) }", input=(16, 8, 8))
    assert sum(m.weight.numel() for m in module.modules() if isinstance(m, nn.Conv2d)) == 480


def test_the_printed_configuration_of_gunn15(table):
    """Conv2 of GUNN-15, {240, 20, 2, 1} with projection, is a fraction of the layer with one segment."""
    row = table["bottleneck units with projections have the same parameters in any P segments as in one"]
    layer = explorer.cost("gunn15").graph.root.body[1].node
    at = {named(name): value for name, value in {"N": 240, "P": 20, "K": 2, "M": 1}.items()}
    assert totals_of(ledger_of(layer)).params == parse(row.derived).subs(at)


def test_one_paper(table):
    assert papers() == ["ms-sar", "seqconv", "gunn"]
    assert {row.paper for row in rows("gunn", verify=False)} == {"gunn"}
    with pytest.raises(UserError, match="did you mean 'seqconv'"):
        rows("seqcon")


# --- closed forms ---


@pytest.mark.parametrize("name", ["scales", "shared", "windowed", "dense", "down_b", "gunn", "sunn_p", "plain_uneven"])
def test_closed_forms_agree_with_the_ledger(name):
    """A consistency test: the same walk on numbers."""
    for point in checking.points(name, 10):
        graph = graph_of(LAYERS[name], point)
        for quantity in ("weights", "norms", "params", "macs"):
            assert checking.value_at(name, quantity, point) == QUANTITIES[quantity](graph), (quantity, point)


def test_a_wrong_formula_is_found(monkeypatch):
    right = closed("gunn", "params")
    wrong = Closed(right.expression + named("N") * (named("P") - 2), right.fitted)
    monkeypatch.setattr(checking, "closed", lambda name, quantity: wrong)
    checking._fraction.cache_clear()
    checked = checking.check.__wrapped__("gunn", ("params",), 10)["params"]
    checking._fraction.cache_clear()
    assert checked.agreed < checked.points == 10
    assert "against" in checked.first


def test_points_are_different_and_within_the_range():
    for name in ("shared", "subgroups", "gunn"):
        drawn = checking.points(name, POINTS)
        assert len({tuple(point.items()) for point in drawn}) == POINTS
        assert drawn == checking.points(name, POINTS)
    assert all(p["D"] % p["L"] == 0 for p in checking.points("shared", POINTS))
    assert all(p["k"] % p["c"] == 0 and p["g"] * p["k"] % p["c"] == 0 for p in checking.points("subgroups", POINTS))


def test_every_quantity_is_counted_by_torch_too():
    assert set(checking.COUNTERS) == set(QUANTITIES) == set(checking.HOW)


def test_every_layer_is_used_and_every_condition_is_read():
    assert {name for paper in papers() for name in needed_of(paper)} == set(LAYERS)
    for name in LAYERS:
        for text in conditions(name):
            assert " divides " in text or parse(text).is_Relational, text


@settings(max_examples=25, deadline=None)
@given(st.lists(st.fractions(-9, 9, max_denominator=6), min_size=1, max_size=4), st.integers(0, 2), st.integers(1, 5))
def test_fits_are_exact(coefficients, inverse, first):
    """Polynomials in a count and its inverse are recovered, symbols in their coefficients included."""
    P, N = named("P"), named("N")
    rational = [sympy.Rational(c.numerator, c.denominator) for c in coefficients]
    wanted = sum(c * N**i * P ** (i - inverse) for i, c in enumerate(rational))
    found, used = _fit(lambda value: sympy.expand(sympy.sympify(wanted).subs(P, value)), P, first)
    assert sympy.expand(found - wanted) == 0
    assert used[0] == first


def test_what_is_no_polynomial_is_refused():
    with pytest.raises(ArithmeticError, match="no closed form in P"):
        _fit(lambda value: sympy.Integer(2) ** value, named("P"), 1)


def test_scales_may_only_add_up():
    a, b = symbol("K1"), symbol("K2")
    assert _power_sums(3 * a**2 + 3 * b**2 + 5, 2) == 3 * named("sumK2") + 5
    with pytest.raises(ArithmeticError, match="differently"):
        _power_sums(a**2 + 2 * b**2, 2)
    with pytest.raises(ArithmeticError, match="products"):
        _power_sums(a**2 + b**2 + a * b, 2)


# --- partial sums ---


def test_partial_sums_are_the_sums():
    draw = Random(0)
    for height, width, radius in [(1, 1, 0), (3, 5, 1), (4, 4, 2), (5, 3, 7), (6, 6, 0)]:
        lattice = [[draw.randint(-9, 9) for _ in range(width)] for _ in range(height)]
        for h, row in enumerate(partial_sums(lattice, radius)):
            for w, total in enumerate(row):
                near = range(max(0, h - radius), min(height, h + radius + 1))
                assert total == sum(sum(lattice[i][max(0, w - radius) : w + radius + 1]) for i in near)


def test_additions_of_partial_sums():
    assert partial_sum_additions(1, 5, 0) == 4 + 4  # a running sum, and a difference for all but the first
    assert partial_sum_additions(3, 3, 3) == 6 + 6  # rows, then columns; each window is the whole map
    assert partial_sum_additions(2, 2, 0) == 2 + 2 + (0 + 1 + 1 + 3)


# --- verdicts ---


def test_where_a_difference_vanishes():
    assert str(vanishes(parse("N**2*(P - 1)"), [], ())) == "Eq(P, 1)"
    assert vanishes(parse("N*(P + 1)"), [], ()) is None
    assert vanishes(parse("D - L"), [], ("D < L",)) is None
    assert vanishes(parse("9*k - 8*C"), ["windowed"], ()) is None  # C = g k, and 9/8 is no number of groups
    assert vanishes(parse("9*k - 9*C"), ["windowed"], ()) is not None


def test_judgements():
    def verdict(claim, found, about=None):
        return judge(parse(claim), parse(found), [], (), about).verdict

    assert verdict("9*D**2", "(3*D)**2") == "holds"
    assert verdict("9*D**2", "9*D**2 + D") == "fails"
    assert verdict("oo", "oo") == "holds"
    assert verdict("oo", "3/2") == "fails"
    assert verdict("D", "D + 7", "D") == "holds where D is large"
    assert verdict("D", "3*D", "D").startswith("holds where 'about'")
    assert verdict("D", "D**2", "D") == "fails"


# --- symbols ---


def test_symbols_as_the_papers_write_them():
    assert pretty("2*D*d*sumK2") == "2*D*D'*ΣK²"
    assert latex(parse("C*k2")) == r"C_{\mathrm{in}} k'"
    assert named("D_mod_L").is_zero is None and named("D").is_zero is False


def test_json_is_text_that_sympy_reads(table):
    for row in table.values():
        for text in (row.claim, row.derived, row.difference or "0"):
            free = {str(found) for found in parse(text).free_symbols}
            assert free <= {*SYMBOLS, "i"}, (row.name, text)
        assert all(isinstance(value, str) for value in row.as_dict().values())


def test_examples_are_the_claim_and_the_formula_at_a_point(table):
    row = table["bottleneck units have the same parameters in any P segments as in one"]
    assert row.example == "N = 240, P = 20, K = 2, M = 1: 227040, claimed 2306400"
    n, k = Fraction(240, 20), 2
    unit = 240 * k * n + 9 * k * n * k * n + k * n * n + 2 * (2 * k * n + n)
    assert 20 * unit == 227040
