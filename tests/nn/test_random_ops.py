"""Ops that draw at random in training: their rates, what shares a draw, their gradients, and plain evaluation."""

import math

import pytest
import torch

import explorer
from explorer.nn.layers import Affine, Shift, Shuffle
from explorer.nn.stochastic import DropPath, FractalJoin, Shake

IMAGES = 400


def rand(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def near(share, probability, draws):
    """Within four standard deviations of a binomial share."""
    return abs(share - probability) < 4 * math.sqrt(probability * (1 - probability) / draws)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


# --- stochastic depth


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_droppath_drops_whole_mini_batches_at_its_rate(rate):
    layer, x = DropPath(rate), rand(5, 2, 3, 3)
    outputs = [layer(x) for _ in range(IMAGES)]
    dropped = [not out.any() for out in outputs]
    assert all(gone or torch.equal(out, x) for out, gone in zip(outputs, dropped, strict=True))
    assert near(sum(dropped) / IMAGES, rate, IMAGES)


def test_droppath_has_the_same_expectation_in_evaluation():
    layer, x = DropPath(0.25), rand(2, 2, 3, 3)
    mean = torch.stack([layer(x) for _ in range(4000)]).mean(0)
    assert torch.equal(layer.eval()(x), 0.75 * x)
    assert torch.allclose(mean, layer(x), atol=0.1)


def test_what_is_dropped_has_a_gradient_of_zero():
    layer, seen = DropPath(0.5), set()
    for _ in range(20):
        x = rand(2, 2, 3, 3).requires_grad_()
        layer(x).sum().backward()
        seen.add(float(x.grad.unique()))
    assert seen == {0.0, 1.0}


# --- Shake-Shake


def shaken(backward="shake", images=IMAGES):
    """Alpha and beta of each image."""
    a, b, g = (rand(images, 2, 3, 3, seed=i) for i in range(3))
    a.requires_grad_(), b.requires_grad_()
    out = Shake(backward)(a, b)
    out.backward(g)
    assert torch.allclose(a.grad + b.grad, g)
    shares = [((part * whole).sum((1, 2, 3)) / whole.square().sum((1, 2, 3))) for part, whole in
              ((out.detach() - b.detach(), (a - b).detach()), (a.grad, g))]  # fmt: skip
    alpha, beta = (share[:, None, None, None] for share in shares)
    assert torch.allclose(out, alpha * a + (1 - alpha) * b) and torch.allclose(a.grad, beta * g)
    return shares


def test_shake_weights_each_image_anew_in_both_passes():
    alpha, beta = shaken()
    for share in (alpha, beta):  # uniform in [0, 1]: mean 1/2, variance 1/12
        assert share.min() >= 0 and share.max() <= 1 and len(share.unique()) == IMAGES
        assert abs(share.mean() - 1 / 2) < 4 / math.sqrt(12 * IMAGES) and abs(share.var() - 1 / 12) < 0.02
    assert abs(torch.corrcoef(torch.stack([alpha, beta]))[0, 1]) < 4 / math.sqrt(IMAGES)
    assert (alpha - beta).abs().min() > 0


def test_shake_may_halve_the_gradient():
    alpha, beta = shaken("even")
    assert torch.allclose(beta, torch.full_like(beta, 0.5)) and alpha.var() > 0.05


def test_shake_has_the_same_expectation_in_evaluation():
    layer, a, b = Shake("shake"), rand(1, 2, 3, 3), rand(1, 2, 3, 3, seed=1)
    mean = layer(a.expand(20_000, -1, -1, -1), b.expand(20_000, -1, -1, -1)).mean(0)
    assert torch.equal(layer.eval()(a, b), (a + b) / 2)
    assert torch.allclose(mean, layer(a, b)[0], atol=0.03)


# --- FractalNet's joins


def kept_by(layer, branches, draws):
    """Which branches the join was the mean of, in each of several passes: unit vectors tell them apart."""
    values = torch.eye(branches, dtype=torch.float64)[:, None, :, None, None].unbind()
    found = []
    for _ in range(draws):
        out = layer(*values).flatten()
        chosen = out > 0
        assert torch.allclose(out[chosen], 1 / chosen.sum().double())
        found.append(tuple(chosen.tolist()))
    return found


@pytest.mark.parametrize(("rate", "branches"), [(0.15, 3), (0.15, 2), (0.5, 2), (0.9, 3)])
def test_a_local_draw_drops_each_branch_at_its_rate_but_not_all(rate, branches):
    found = kept_by(FractalJoin(rate, branches, 0.5, 0), branches, IMAGES)
    for branch in range(branches):
        # all dropped, one of them then survives
        expected = 1 - rate + rate**branches / branches
        assert near(sum(kept[branch] for kept in found) / IMAGES, expected, IMAGES)
    assert all(map(any, found))


def test_drop_path_can_be_switched_off():
    layer = FractalJoin(0, 3, 0, 0)
    for _ in range(20):
        layer.draw.renew()
        assert kept_by(layer, 3, 1) == [(True, True, True)]


def test_a_global_draw_keeps_one_column():
    layer = FractalJoin(0.15, 3, 0.5, 0)
    for column in range(3):
        layer.draw.chance, layer.draw.place = 0.4, (column + 0.5) / 3
        assert set(kept_by(layer, 3, 5)) == {tuple(i == column for i in range(3))}
    assert set(kept_by(layer, 2, 5)) == {(True, True)}, "the third column does not pass this join"
    layer.draw.chance = 0.6
    assert len(set(kept_by(layer, 3, 100))) > 3, "a local draw"


def test_half_of_the_mini_batches_are_global_and_columns_are_even():
    layer, found = FractalJoin(0, 3, 0.5, 0), []
    for _ in range(IMAGES):
        layer.draw.renew()
        found += kept_by(layer, 3, 1)
    single = [kept.index(True) for kept in found if sum(kept) == 1]
    assert near(len(single) / IMAGES, 0.5, IMAGES) and len(single) + found.count((True,) * 3) == IMAGES
    assert all(near(single.count(column) / len(single), 1 / 3, len(single)) for column in range(3))


TWO_DRAWS = """
block joined(draw) { fractaljoin(0.5, 2, draw = draw) { affine(1, 1) | affine(1, 2) } }
network two { input 1x2x2, a: joined(0), b: joined(0), c: joined(1) }
"""


def test_joins_of_one_number_share_a_draw_and_mini_batches_do_not():
    net = explorer.build(TWO_DRAWS).train()
    a, b, c = (layer.draw for layer in net.modules() if isinstance(layer, FractalJoin))
    assert a is b and a is not c
    places = []
    for _ in range(50):
        net(torch.zeros(1, 1, 2, 2))
        places.append((a.place, c.place))
    assert len({place for place, _ in places}) > 10 and any(x != y for x, y in places)


# --- networks


RANDOM = {
    "stochastic depth": "stochastic_depth(2)",
    "shake": "shakeshake(8, 4)",
    "fractal": "fractalnet([4, 6, 6], [0.1, 0.1, 0.1])",
}
SIZE = (3, 16, 16)


@pytest.mark.parametrize("text", RANDOM.values(), ids=RANDOM)
def test_evaluation_draws_nothing(text):
    net, x = explorer.build(text, input=SIZE).eval(), torch.randn(4, *SIZE)
    before, first = torch.get_rng_state(), net(x)
    assert torch.equal(net(x), first) and torch.equal(torch.get_rng_state(), before)
    assert torch.allclose(net(x[1:2]), first[1:2], atol=1e-6)


@pytest.mark.parametrize("text", RANDOM.values(), ids=RANDOM)
def test_training_follows_torchs_generator(text):
    net, x = explorer.build(text, input=SIZE).train(), torch.randn(4, *SIZE)

    def outputs(seed):
        torch.manual_seed(seed)
        return torch.stack([net(x).detach() for _ in range(6)])

    first = outputs(1)
    assert torch.equal(outputs(1), first) and not torch.equal(outputs(2), first)
    assert len({float(out.sum()) for out in first}) > 1


@pytest.mark.parametrize("text", RANDOM.values(), ids=RANDOM)
def test_evaluation_can_be_exported(text):
    net, x = explorer.build(text, input=SIZE).eval(), torch.randn(2, *SIZE)
    exported = torch.export.export(net, (x,)).module()
    assert torch.allclose(exported(x), net(x), atol=1e-5)


# --- their companions, which draw nothing


def test_affine():
    x = rand(2, 3, 4, 5)
    assert torch.equal(Affine(-1, 1)(x), 1 - x) and torch.equal(Affine(0.5, 0)(x), x / 2)


@pytest.mark.parametrize(("channels", "groups"), [(6, 2), (6, 3), (6, 6), (6, 1), (8, 4)])
def test_shuffle_goes_by_its_indices_and_back(channels, groups):
    x, members = rand(2, channels, 3, 2), channels // groups
    out = Shuffle(groups)(x)
    for group in range(groups):
        for member in range(members):
            assert torch.equal(out[:, member * groups + group], x[:, group * members + member])
    assert torch.equal(Shuffle(members)(out), x)


@pytest.mark.parametrize("by", [0, 1, 2, 3])
def test_shift_goes_down_and_to_the_right(by):
    x = rand(2, 2, 3, 4)
    wanted = torch.zeros_like(x)
    wanted[:, :, by:, by:] = x[:, :, : 3 - by, : 4 - by]
    assert torch.equal(Shift(by)(x), wanted)
