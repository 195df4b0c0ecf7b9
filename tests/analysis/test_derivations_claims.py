"""Verdicts on formulas and identities: which claims they cover, and that another layer would fail them."""

import csv
from importlib.resources import files
from itertools import product

import pytest
import sympy
import torch

from explorer.analysis.derivations import _ball, _reach, claim_verdicts
from explorer.analysis.derive.chains import graph_of_chain
from explorer.analysis.derive.flow import Names, flow, run
from explorer.analysis.derive.linear import GRADUAL, RESIDUAL, collapse, gradient_step, linear, weight
from explorer.blocks.ops import PRIMITIVES


@pytest.fixture(scope="module")
def verdicts():
    return {(found.paper, found.where, found.claim): found for found in claim_verdicts()}


def test_every_formula_and_identity_has_a_verdict(verdicts):
    text = files("explorer.catalog").joinpath("claims.csv").read_text(encoding="utf-8")
    wanted = [row for row in csv.DictReader(text.splitlines()) if row["kind"] in ("formula", "identity")]
    assert set(verdicts) == {(row["paper"], row["where"], row["claim"]) for row in wanted}
    assert all(found.verdict in ("holds", "fails") and found.detail for found in verdicts.values())


def test_what_does_not_hold(verdicts):
    fails = [claim for (_, _, claim), found in verdicts.items() if found.verdict == "fails"]
    assert fails == [
        "parameters and computation of a GUNN layer equal those of the simultaneous layer for any partition",
        "change of an output after one gradient step, equation 10, for a linear GUNN layer",
    ]


def test_equation_10_fails_by_its_sign_alone(verdicts):
    detail = next(found.detail for (_, _, claim), found in verdicts.items() if "equation 10" in claim)
    readings = [reading for reading in detail.split(" | ") if " (holds)" in reading]
    assert len(readings) == 1 and "before minus after" in readings[0] and "epsilon^2.00" in readings[0]
    assert detail.count("(fails)") == 3 and "its negative" in detail


def test_details_say_what_holds_beside(verdicts):
    detail = next(found.detail for (_, _, claim), found in verdicts.items() if claim.endswith("for any partition"))
    assert "holds where P = 1" in detail
    assert "SUNN with the same segments" in detail


# --- data flow ---


def flow_of(text, channels=6, without=(), **values):
    return flow(graph_of_chain(text, (channels, 4, 4), values), without)


def test_flow_tells_layers_apart():
    assert flow_of("update(2) { conv(3x3, out) }") != flow_of("update(2, original) { conv(3x3, out) }")
    assert flow_of("update(2) { conv(3x3, out) }") != flow_of("conv(3x3, in)")
    assert flow_of("windowed(6, 2) { group }") != flow_of("aggregate(6, 2) { group }")
    assert flow_of("grow(2) { conv(3x3, 2), relu }") != flow_of("aggregate(4, 2) { conv(3x3, out), relu }")
    gates = [
        flow_of(text, without=("bn", "upsample")) for text in ("mssar(1, ratio = 2)", "mssar(2, ratio = 2)", "se(2)")
    ]
    assert gates[0] == gates[2] != gates[1]


def test_windows_by_hand():
    """Three groups of 2 on 4 channels: the view starts as the input and always is the 4 most recent channels."""
    reads = flow_of("windowed(6, 2) { conv(3x3, out) }", channels=4).reads
    x, first, second = [("input", i) for i in range(4)], [(1, 0), (1, 1)], [(2, 0), (2, 1)]
    assert [list(read) for read in reads] == [x, x[2:] + first, first + second]


def test_flow_has_as_many_channels_as_every_op_makes():
    """Ops that mix channels in a way of their own are refused, not run wrongly."""
    mixing = {"shuffle": "shuffle(2)", "flatten": "flatten", "pad": "pad(8)"}
    assert set(mixing) < set(PRIMITIVES)
    for text in ("flatten", "pad(8)"):
        with pytest.raises(ArithmeticError):
            flow_of(text)


# --- sliding ---


def test_the_neighbourhood_of_the_centre():
    middle = _reach(5, 5, 2, "diamond")[12]
    assert sum(middle) == 13 and sum(_reach(5, 5, 2, "square")[12]) == 25  # radius 2: an L1 ball, a square
    assert _ball(5, 5, 2, sum)[12] == middle


# --- equations 8 to 10 ---


def test_equation_8_and_9():
    n = 3
    x, y = linear(RESIDUAL, n)
    assert [sympy.expand(a - x[i] - sum(weight(i, j) * x[j] for j in range(n))) for i, a in enumerate(y)] == [0] * n
    x, y = linear(GRADUAL.format(n=n), n)
    made = []
    for i in range(n):
        made.append(x[i] + sum(weight(i, j) * (made[j] if j < i else x[j]) for j in range(n)))
    assert [sympy.expand(a - b) for a, b in zip(y, made, strict=True)] == [0] * n


def test_collapse_conditions():
    found = collapse(3, 0, 2)
    assert found == {
        weight(0, 0) + 1 - weight(2, 0),
        weight(0, 2) - weight(2, 2) - 1,
        weight(0, 1) - weight(2, 1),
    }


def test_the_gradient_step_agrees_with_torch():
    """One small step of descent on numbers, against the symbols."""
    n, rate = 3, 1e-6
    change, printed = gradient_step(n)
    torch.manual_seed(0)
    w, x, slope = (torch.randn(n, n, dtype=torch.float64) for _ in range(3))
    x, slope = x[0], slope[0]

    def outputs(weights):
        made = []
        for i in range(n):
            made.append(x[i] + sum(weights[i, j] * (made[j] if j < i else x[j]) for j in range(n)))
        return torch.stack(made)

    w.requires_grad_()
    before = outputs(w)
    before.backward(slope)
    after = outputs(w.detach() - rate * w.grad)
    at = {weight(i, j): w[i, j].item() for i, j in product(range(n), repeat=2)}
    at |= {symbol: x[i].item() for i, symbol in enumerate(sympy.symbols(f"x_1:{n + 1}"))}
    at |= {symbol: slope[i].item() for i, symbol in enumerate(sympy.symbols(f"l_1:{n + 1}"))}
    measured = ((after - before.detach()) / rate).tolist()
    assert [float(value.subs(at)) for value in change] == pytest.approx(measured, rel=1e-4)
    assert [float(value.subs(at)) for value in printed] == pytest.approx([-value for value in measured], rel=1e-4)


def test_only_sums_are_linear():
    graph = graph_of_chain("conv(1x1, in), relu", (2, 1, 1))
    from explorer.analysis.derive.linear import Linear

    with pytest.raises(ArithmeticError, match="relu is not linear"):
        run(graph, Linear(), (0, 0))
    assert run(graph, Names(), (0, 1)) == (("relu", (1, 0)), ("relu", (1, 1)))
