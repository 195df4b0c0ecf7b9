"""GUNN's section 4.1 and Algorithm 1 in numbers, against torch's own gradients and the grammar's own layers."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from explorer.analysis.claims import backward, singularities
from explorer.analysis.claims.singularities import DIRECT, LAYERS, TOTAL, Layer, order, stay_collapsed
from explorer.analysis.derive.chains import graph_of_chain
from explorer.nn.module import NetworkModule

TEXTS = {
    Layer(4, False, ()): "conv(1x1, in)",
    Layer(4, True, ()): "add { it | conv(1x1, in) }",
    Layer(1, True, ()): "update(4) { add { part | conv(1x1, out) } }",
    Layer(1, False, ()): "update(4) { conv(1x1, out) }",
    Layer(2, True, ()): "update(2) { add { part | conv(1x1, out) } }",
}


def built(text, weights):
    """A layer of the grammar with these weights: row i makes output i."""
    module = NetworkModule(graph_of_chain(text, (len(weights), 1, 1))).double()
    rows = torch.tensor(weights).split([layer.out_channels for layer in convolutions(module)])
    with torch.no_grad():
        for layer, row in zip(convolutions(module), rows, strict=True):
            layer.weight.copy_(row[..., None, None])
    return module


def convolutions(module):
    return [layer for layer in module.modules() if isinstance(layer, torch.nn.Conv2d)]


def case(n=4):
    return singularities.of_scale(7, n)[0], singularities.drawn(8, n), singularities.drawn(9, n)


@pytest.mark.parametrize(("layer", "text"), TEXTS.items())
def test_layers_and_gradients_are_those_of_the_grammar(layer, text):
    weights, x, slopes = case()
    module = built(text, weights)
    made = module(torch.tensor(x)[None, :, None, None]).flatten()
    assert made.detach().numpy() == pytest.approx(singularities.outputs(weights, x, layer), rel=1e-12)
    made.backward(torch.tensor(slopes))
    of_weights = torch.cat([convolution.weight.grad for convolution in convolutions(module)]).flatten(1).numpy()
    found = singularities.gradient(weights[None], x[None], slopes[None], layer)[0]
    assert found == pytest.approx(of_weights, rel=1e-12)


def test_equation_10_on_a_fold_of_the_grammar():
    """One step of torch's SGD on update(n): its change is minus the printed one, up to epsilon squared."""
    weights, x, slopes = case()
    given, image, missed = torch.tensor(slopes), torch.tensor(x)[None, :, None, None], []
    for rate in (2e-4, 1e-4):
        module = built("update(4) { add { part | conv(1x1, out) } }", weights)
        before = module(image).flatten()
        before.backward(given)
        torch.optim.SGD(module.parameters(), rate).step()
        change = (module(image).flatten() - before).detach().numpy()
        printed = singularities.printed_change(weights[None], x[None], slopes[None], rate, TOTAL)[0]
        missed.append(np.abs(change + printed).max())
        assert np.abs(change - printed).max() > 0.1 * np.abs(change).max()
    assert missed[0] / missed[1] == pytest.approx(4, rel=0.01)


def test_only_one_reading_of_equation_10_is_the_step():
    found = {(sign, derivative): order(sign, derivative)[:2] for sign in (1, -1) for derivative in (TOTAL, DIRECT)}
    assert found.pop((-1, TOTAL)) == (2, 2)
    assert set(found.values()) == {(1, 1)}


# --- collapse ---


@pytest.mark.parametrize("name", LAYERS)
def test_collapsed_layers_are_collapsed_on_all_inputs(name):
    weights, p, q = singularities.collapsed(LAYERS[name])
    x = singularities.drawn(3, len(p), 4)
    y, cases = singularities.outputs(weights, x, LAYERS[name]), np.arange(len(p))
    assert y[cases, p] == pytest.approx(y[cases, q], abs=1e-12)
    assert np.abs(y[cases, p]).min() > 1e-4 and (p < q).all()
    assert stay_collapsed(name, 0) == 1


def test_a_collapse_of_gunn_is_one_choice_of_weights_and_breaks_as_equation_10_says():
    """y_q = y_p needs w_qp = 1, w_qq = -1, w_qj = 0; a step parts them by rate dL/dy_q (what q reads)^2."""
    layer, rate = LAYERS["GUNN"], 1e-6
    weights, p, q = singularities.collapsed(layer)
    x, slopes, cases = singularities.drawn(5, len(p), 4), singularities.drawn(6, len(p), 4), np.arange(len(p))
    wanted = np.zeros((len(p), 4))
    wanted[cases, p], wanted[cases, q] = 1, -1
    assert weights[cases, q] == pytest.approx(wanted, abs=1e-9)
    change = singularities.measured_change(weights, x, slopes, rate)
    y = singularities.outputs(weights, x, layer)
    for k in cases:
        read = np.concatenate((y[k, : q[k]], x[k, q[k] :]))
        of_y = slopes[k].copy()
        for i in (3, 2, 1):
            of_y[:i] += of_y[i] * weights[k, i, :i]
        parted = change[k, q[k]] - change[k, p[k]]
        assert parted == pytest.approx(-rate * of_y[q[k]] * (read**2).sum(), rel=1e-3, abs=1e-10)


def test_which_collapse_stays():
    assert {name: stay_collapsed(name, 5) for name in LAYERS} == {
        "plain": 1,
        "residual": 1,
        "GUNN": 0,
        "GUNN without x_i": 0,
        "GUNN, one segment of two": 1,
        "GUNN, two segments": 0,
    }
    assert not any(stay_collapsed(name, 1, "differently") for name in LAYERS)
    assert singularities.meet_equation_8() == 1


def test_fresh_outputs_of_a_residual_layer_are_two_further_apart():
    """n differences of variance 4/n; and x_p - x_q."""
    assert singularities.squared_gap("plain") == 4
    assert singularities.squared_gap("residual") == 6


# --- Algorithm 1 ---


@pytest.mark.parametrize("residual", [True, False])
def test_gradients_to_compare_with_are_those_of_autograd(residual):
    n = backward.CUTS[-1]
    weights, x, given = singularities.of_scale(3, n)[:1], singularities.drawn(4, 1, n), singularities.drawn(5, 1, n)
    w, leaf = torch.tensor(weights[0], requires_grad=True), torch.tensor(x[0], requires_grad=True)
    y = leaf
    for start, stop in zip(backward.CUTS, backward.CUTS[1:], strict=False):
        made = torch.tanh(w[start:stop] @ y)
        y = torch.cat((y[:start], made + y[start:stop] if residual else made, y[stop:]))
    y.backward(torch.tensor(given[0]))
    of_x, of_w = backward.true_gradients(weights, x, given, residual)
    assert of_x[0] == pytest.approx(leaf.grad.numpy(), rel=1e-12)
    assert of_w[0] == pytest.approx(w.grad.numpy(), rel=1e-12)


@pytest.mark.parametrize(
    ("bp", "units", "lines", "exact"),
    [
        ("F", "residual", "as printed", True),
        ("F", "plain", "as printed", True),
        ("U", "residual", "as printed", False),
        ("U", "plain", "as printed", False),
        ("G", "residual", "as printed", False),
        ("G", "residual", "equation 6", True),
        ("F", "residual", "equation 6", False),
        ("U", "residual", "equation 6", False),
        ("F", "plain", "equation 6", False),
    ],
)
def test_which_reading_of_algorithm_1_is_exact(bp, units, lines, exact):
    assert backward.exact_gradients(bp, units, lines) == Fraction(exact)
