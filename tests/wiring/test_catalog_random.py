"""Networks that draw at random, gate or branch off, against plain torch; what was drawn is read off the layers."""

from itertools import product

import pytest
import torch
import torch.nn.functional as F
from oracles import fractalnet, highway, interleaved, shakeshake, stochastic_depth
from oracles.pyramidnet import pyramid_shortcut

import explorer
from explorer.blocks.graph import flatten
from explorer.nn.stochastic import DropPath, FractalJoin, Shake

from .support import Weights, agree, agree_in_mode, built, mark_dropout, net, rand, same
from .test_dependency import of_kind

SMALL = (3, 12, 12)
STAGES = ((1, 1), (2, 2), (4, 2))  # relative width and stride


class Seen:
    """What the random layers of a module did in its last pass, in the order of the text."""

    def __init__(self, module, kind):
        self.layers = of_kind(module, kind)
        self.forward, self.backward = {}, {}
        for layer in self.layers:
            layer.register_forward_hook(self._after)
            layer.register_full_backward_hook(self._behind)

    def _after(self, layer, values, out):
        self.forward[layer] = ([value.detach() for value in values], out.detach())

    def _behind(self, layer, towards, out):
        self.backward[layer] = (towards, out[0])

    def gates(self):
        """Of each DropPath, what it multiplied its input with."""
        return iter([float((out * x).sum() / (x * x).sum()) for (x,), out in self._passes()])

    def weights(self):
        """Of each Shake, alpha and beta of every image."""
        for layer, ((a, b), out) in zip(self.layers, self._passes(), strict=True):
            (to_a, _), gradient = self.backward[layer]
            yield _share(out - b, a - b), _share(to_a, gradient)

    def kept(self):
        """Of each FractalJoin, which branches it is the mean of."""
        for values, out in self._passes():
            choices = [kept for kept in product((True, False), repeat=len(values)) if any(kept)]
            (found,) = [kept for kept in choices if torch.allclose(fractalnet.mean(values, kept), out, atol=1e-9)]
            yield found

    def _passes(self):
        return [self.forward[layer] for layer in self.layers]


def _share(part, whole):
    return (part * whole).sum((1, 2, 3)) / (whole * whole).sum((1, 2, 3))


# --- stochastic depth


def residual_network(x, w, n, gates):
    x = w.conv_bn_relu(x)
    for wide, stride in STAGES:
        for i in range(n):
            s = stride if i == 0 else 1
            branch = w.bn(w.conv(w.conv_bn_relu(x, s)))
            x = stochastic_depth.residual(branch, pyramid_shortcut(x, 16 * wide, s), next(gates))
    return w.head(x)


@pytest.mark.parametrize(("n", "last"), [(2, "0.5"), (1, "0.25")])
def test_stochastic_depth(n, last):
    module = built(f"stochastic_depth({n}, {last})", input=SMALL)
    alive = [float(stochastic_depth.survival(i, 3 * n, last)) for i in range(1, 3 * n + 1)]
    assert [1 - layer.rate for layer in of_kind(module, DropPath)] == pytest.approx(alive, abs=1e-12)
    x = rand(3, *SMALL, seed=7)
    agree_in_mode(module, lambda x, w: residual_network(x, w, n, iter(alive)), x, training=False)
    seen, drawn = Seen(module, DropPath), set()
    for seed in range(4):
        torch.manual_seed(seed)
        agree_in_mode(module, lambda x, w: residual_network(x, w, n, seen.gates()), x, training=True, alive=0.2)
        drawn.update(seen.gates())
    assert {round(gate, 9) for gate in drawn} == {0, 1}


def test_catalog_rates_fall_linearly():
    for name, blocks in (("resnet110-sd", 54), ("resnet1202-sd", 600)):
        flat = flatten(explorer.expand(name))[0]
        rates = [node.op.attrs["rate"] for node in flat if node.op.kind == "droppath"]
        assert rates == [1 - stochastic_depth.survival(i, blocks, "0.5") for i in range(1, blocks + 1)]


# --- Shake-Shake


def shake_shortcut(x, w, width, stride):
    if x.shape[1] == width:
        return x
    return w.bn(shakeshake.shortcut(F.relu(x), w.matrix(), w.matrix(), stride))


def shake_branch(x, w, stride):
    return w.bn(w.conv(F.relu(w.bn(w.conv(F.relu(x), stride)))))


def shaken(x, w, n, width, draws):
    x = w.bn(w.conv(x))
    for wide, stride in STAGES:
        for i in range(n):
            s = stride if i == 0 else 1
            a, b = shake_branch(x, w, s), shake_branch(x, w, s)
            x = shakeshake.mixed(a, b, *next(draws)) + shake_shortcut(x, w, wide * width, s)
    return w.head(F.relu(x))


def resnext_branch(x, w, stride, groups):
    return w.bn(w.conv(w.conv_bn_relu(w.conv_bn_relu(x), stride, groups)))


def shaken_resnext(x, w, n, groups, draws):
    x = w.conv_bn_relu(x)
    for wide, stride in STAGES:
        for i in range(n):
            s = stride if i == 0 else 1
            a, b = resnext_branch(x, w, s, groups), resnext_branch(x, w, s, groups)
            short = x if x.shape[1] == 256 * wide else w.bn(w.conv(x, s))
            x = F.relu(shakeshake.mixed(a, b, *next(draws)) + short)
    return w.head(x)


def halves(batch):
    while True:
        yield (torch.full((batch,), 0.5, dtype=torch.float64),) * 2


@pytest.mark.parametrize(
    ("text", "reference", "even"),
    [
        ("shakeshake(14, 4)", lambda x, w, draws: shaken(x, w, 2, 4, draws), False),
        ("shakeshake(8, 6, backward = even)", lambda x, w, draws: shaken(x, w, 1, 6, draws), True),
        ("shakeshake_resnext(11, 2, 2)", lambda x, w, draws: shaken_resnext(x, w, 1, 2, draws), True),
    ],
)
def test_shake_shake(text, reference, even):
    module, x = built(text, input=SMALL), rand(3, *SMALL, seed=7)
    agree_in_mode(module, lambda x, w: reference(x, w, halves(3)), x, training=False)
    seen = Seen(module, Shake)
    agree_in_mode(module, lambda x, w: reference(x, w, seen.weights()), x, training=True)
    alphas, betas = (torch.cat(drawn) for drawn in zip(*seen.weights(), strict=True))
    assert len({round(float(alpha), 6) for alpha in alphas}) == len(alphas) and 0 <= alphas.min() < alphas.max() <= 1
    assert (betas == 0.5).all() if even else (betas - alphas).abs().min() > 1e-6


@pytest.mark.parametrize(("size", "stride"), [((4, 6, 6), 2), ((4, 7, 5), 2), ((4, 5, 6), 1)])
def test_shake_shortcut(size, stride):
    agree(net(f"shake_shortcut(6, {stride})", size), lambda x, w: shake_shortcut(x, w, 6, stride), size)


# --- FractalNet


def fractal_network(x, w, widths, kept, doubling=False):
    """Dropout is marked by a factor 2; pooling stands before the last join of a block."""

    def layer(z):
        return F.relu(w.bn(2 * w.conv(z)))

    for width in widths:
        x = w.conv_bn_relu(x) if doubling and x.shape[1] != width else x
        ends = fractalnet.columns(x, 3, layer, lambda v: v[0] if len(v) == 1 else fractalnet.mean(v, next(kept)))
        x = fractalnet.mean([F.max_pool2d(end, 2) for end in ends], next(kept))
    return w.linear(x.flatten(1))


def all_kept():
    while True:
        yield None


@pytest.mark.parametrize("doubling", ["no", "yes"])
def test_fractalnet(doubling):
    text = f"fractalnet([4, 6, 6], rates = [0.3, 0.3, 0.3], doubling = {doubling})"
    module, size = built(text, input=(3, 16, 16)), (3, 16, 16)
    assert mark_dropout(module, 0.3) == 21
    seen, x = Seen(module, FractalJoin), rand(3, *size, seed=7)

    def reference(x, w, kept):
        return fractal_network(x, w, [4, 6, 6], kept, doubling == "yes")

    agree_in_mode(module, lambda x, w: reference(x, w, all_kept()), x, training=False)
    columns = set()
    for seed in range(12):
        torch.manual_seed(seed)
        agree_in_mode(module, lambda x, w: reference(x, w, seen.kept()), x, training=True, alive=0.1)
        columns.update(kept for kept in seen.kept() if len(kept) == 3)
    single = {(True, False, False), (False, True, False), (False, False, True)}
    assert single < columns, "local and global draws, and every column"


def test_a_global_draw_leaves_one_column_of_the_whole_network():
    module = built("fractalnet([4, 4], rates = [0, 0])", input=(3, 8, 8)).train()
    (draw,) = module.draws.values()
    draw.renew = lambda: None
    depths = []
    for column in range(3):
        draw.chance, draw.place = 0, (column + 0.5) / 3
        module.zero_grad()
        module(rand(2, 3, 8, 8)).square().sum().backward()
        alive = [
            name for name, p in module.named_parameters() if p.grad.abs().max() > 0 and name.endswith("conv.weight")
        ]
        depths.append(len(alive))
    assert depths == [8, 4, 2]


# --- interleaved group convolutions


def igc(x, w, L, stride=1):
    return w.bn(interleaved.igc(x, w.kernel(), w.kernel(), L, stride))


def igc_residual(x, w, L, M, stride):
    branch = igc(F.relu(igc(x, w, L, stride)), w, L)
    return F.relu(branch + (x if x.shape[1] == L * M and stride == 1 else w.bn(w.conv(x, stride, groups=L))))


@pytest.mark.parametrize(("L", "cin", "M", "stride"), [(3, 2, 2, 1), (3, 2, 4, 2), (2, 3, 3, 2), (4, 1, 2, 1)])
def test_igc_residual(L, cin, M, stride):
    size = (L * cin, 6, 5)
    module = net(f"igc_residual({L}, {M}, {stride})", size)
    agree(module, lambda x, w: igc_residual(x, w, L, M, stride), size)


def test_igcnet():
    module = built("igcnet(3, 2, depth = 14)", input=SMALL)

    def reference(x, w):
        x = w.conv_bn_relu(x)
        for wide, stride in STAGES:
            for i in range(2):
                x = igc_residual(x, w, 3, 2 * wide, stride if i == 0 else 1)
        return w.head(x)

    agree(module, reference, SMALL)


# --- highway


def highway_layer(x, w, closed=-2):
    return highway.layer(x, *w.kernel(bias=True), *w.kernel(bias=True), closed)


@pytest.mark.parametrize("closed", [-2, 0])
def test_highway_layer(closed):
    size = (4, 5, 6)
    module = net(f"highway_layer({closed}) * 2", size)
    agree(module, lambda x, w: highway_layer(highway_layer(x, w, closed), w, closed), size)


def test_highway_layers_carry_their_input_at_first():
    torch.manual_seed(0)
    module, x = explorer.build("network n { input 16x8x8\n highway_layer(-9) }"), torch.rand(2, 16, 8, 8)
    assert torch.allclose(module(x), x, atol=0.02)


def test_highway_network():
    module, x = built("highway", input=(3, 8, 8)), rand(2, 3, 8, 8)
    assert mark_dropout(module, 0.2) == 4

    def reference(x, w):
        for layers, after in ((4, 2), (5, 2), (5, 1)):
            x = F.relu(w.conv(2 * x, bias=True))
            for _ in range(layers):
                x = highway_layer(x, w)
            x = F.max_pool2d(x, after)
        return w.linear(2 * F.relu(w.conv(x, bias=True)).mean((2, 3)))

    agree_in_mode(module, reference, x, training=True)


# --- deeply-supervised nets


def test_deeply_supervised_net():
    module, x = built("dsn(rate = 0.3)", input=(3, 8, 8)), rand(2, 3, 8, 8)
    assert mark_dropout(module, 0.3) == 2
    w = Weights(module)
    hidden, heads = x, []
    for mlps, pooled in ((2, True), (2, True), (1, False)):
        heads.append(w.conv(hidden, bias=True))
        hidden = F.relu(heads[-1])
        for _ in range(mlps):
            hidden = F.relu(w.conv(hidden, bias=True))
        hidden = 2 * F.max_pool2d(hidden, 3, 2, 1) if pooled else hidden
    wanted = w.conv(hidden, bias=True).mean((2, 3))
    main, auxiliaries = module.with_auxiliaries(x)
    same(main, wanted)
    same(module(x), wanted)
    assert [weight for weight, _ in auxiliaries] == [1, 1, 1]
    for (_, got), read in zip(auxiliaries, heads, strict=True):
        same(got, w.linear(read.flatten(1)))
    assert not w.left()


# --- sizes that the original papers print, and a step of training


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("resnet110-sd", "1.7"),
        ("shakeshake-26-2x96d", "26.2"),
        ("shakeshake(26, 32)", "2.9"),
        ("shakeshake-29-2x4x64d", "34.4"),
        ("highway", "2.3"),
        ("fractalnet21(doubling = yes)", "38.6"),  # the size that is printed, but 25 layers
    ],
)
def test_printed_sizes(name, millions):
    assert f"{explorer.cost(name).params / 1e6:.1f}" == millions


def test_fractalnet_has_the_depth_of_its_name_without_doubling_layers():
    assert explorer.cost("fractalnet21").depth == 21 and explorer.cost("fractalnet21(doubling = yes)").depth == 25


REDUCED = [
    ("stochastic_depth(1)", 12),
    ("shakeshake(8, 4)", 12),
    ("shakeshake_resnext(11, 2, 2)", 12),
    ("fractalnet([4, 6, 8], [0, 0.1, 0.2])", 16),
    ("igcnet(3, 2, depth = 8)", 12),
    ("highway", 12),
    ("dsn", 12),
]


@pytest.mark.parametrize(("text", "side"), REDUCED)
def test_a_step_of_training_moves_every_parameter(text, side):
    torch.manual_seed(0)
    module = explorer.build(text, input=(3, side, side)).train()
    before = [p.detach().clone() for p in module.parameters()]
    optimiser = torch.optim.SGD(module.parameters(), lr=0.1)
    labels = torch.arange(6)
    for _ in range(3):
        out, heads = module.with_auxiliaries(torch.randn(6, 3, side, side))
        loss = F.cross_entropy(out, labels) + sum(weight * F.cross_entropy(o, labels) for weight, o in heads)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert torch.isfinite(loss)
    still = [name for (name, p), old in zip(module.named_parameters(), before, strict=True) if torch.equal(p, old)]
    assert still == []
