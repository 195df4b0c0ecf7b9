"""Substitutes in use: state, modes, precision, repeated passes, and what makes them step back or refuse."""

import copy
import io
import pickle

import pytest
import torch
from fast_support import LEAN, TOLERANCE, assert_same, fold, image, network, pair, stepped, substitutes
from torch import nn

import explorer
from explorer.errors import UserError
from explorer.nn.fast.folding import folded

FOLDS = {
    "gunn": fold("gunn_layer(4, 2, projection = yes)", (9, 4, 4)),
    "sunn": fold("gunn_layer(4, 2, reads = original)", (9, 4, 4)),
    "nores": fold("gunn_layer(3, 1, residual = no)", (8, 4, 4)),
    "seqconv": fold("aggregate(8, 2) { group }", (5, 4, 4)),
    "wseqconv": fold("windowed(8, 2) { group(yes) }", (8, 4, 4)),
}
MODES = [(text, layers) for text in FOLDS.values() for layers in LEAN]
IDS = [f"{name}-{layers}" for name in FOLDS for layers in LEAN]
each_fold = pytest.mark.parametrize(("text", "layers"), MODES, ids=IDS)
each_mode = pytest.mark.parametrize("layers", LEAN)
GUNN = FOLDS["gunn"]


def steps_in(layer):
    """Whether a substitute does its own work, and not the reference."""
    return layer.fast[-1].parameters(layer) is not None


# --- state ---


@each_fold
def test_state_is_interchangeable(text, layers):
    reference, ours = network(text), network(text, layers)
    assert list(reference.state_dict()) == list(ours.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(reference.parameters(), ours.parameters(), strict=True))  # same seed
    stepped(ours, image(ours))
    reference.load_state_dict(ours.state_dict())
    with torch.no_grad():
        assert torch.allclose(ours.eval()(image(ours)), reference.eval()(image(ours)), rtol=TOLERANCE)


@each_mode
def test_copies_and_pickles(layers):
    _, ours = pair(GUNN, layers)
    stored = io.BytesIO()
    torch.save(ours, stored)
    stored.seek(0)
    expected = stepped(copy.deepcopy(ours), image(ours))
    for other in (pickle.loads(pickle.dumps(ours)), torch.load(stored, weights_only=False)):
        assert_same(stepped(other, image(ours)), expected, 0)
        assert all(steps_in(layer) for layer in substitutes(other)) and substitutes(other)


def test_unknown_layers():
    with pytest.raises(UserError, match="did you mean 'lean'"):
        explorer.build("gunn15", layers="leen")


# --- passes ---


@each_fold
def test_inference(text, layers):
    reference, ours = pair(text, layers)
    x = image(ours)
    for training in (False, True):
        for context in (torch.no_grad(), torch.inference_mode()):
            with context:
                made = [net.train(training)(x) for net in (ours, reference)]
            assert torch.allclose(*made, rtol=TOLERANCE, atol=TOLERANCE)
    assert_same({"buffers": dict(ours.named_buffers())}, {"buffers": dict(reference.named_buffers())})


@each_fold
def test_two_passes_forward_then_two_back(text, layers):
    reference, ours = pair(text, layers)
    results = []
    for net in (ours, reference):
        made = [net(image(net, seed=seed)).square().sum() for seed in (1, 2)]
        for loss in made:  # in the order of the forward passes: running statistics are those of the second by then
            loss.backward()
        results.append({"gradients": {name: p.grad for name, p in net.named_parameters()}})
    assert_same(*results)


@each_mode
def test_the_graph_can_be_kept(layers):
    _, ours = pair(GUNN, layers)
    loss = ours(image(ours)).square().sum()
    loss.backward(retain_graph=True)
    once = [p.grad.clone() for p in ours.parameters()]
    loss.backward()
    assert all(torch.allclose(p.grad, 2 * g) for p, g in zip(ours.parameters(), once, strict=True))
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()


@each_mode
def test_gradients_add_up(layers):
    results = []
    for net in pair(GUNN, layers):
        for seed in (1, 2):
            net(image(net, seed=seed)).square().sum().backward()
        results.append({"gradients": {name: p.grad for name, p in net.named_parameters()}})
    assert_same(*results)


@each_mode
@pytest.mark.parametrize("which", ["input", "all but one", "all"])
def test_what_needs_no_gradient(which, layers):
    frozen = {"input": [], "all but one": ["conv1.weight"], "all": [""]}[which]
    results = []
    for net in pair(GUNN, layers):
        for name, p in net.named_parameters():
            p.requires_grad_(not frozen or (which != "all" and "segment2" in name and name.endswith(frozen[0])))
        x = image(net).requires_grad_(which == "all")
        net(x).square().sum().backward()
        results.append({"gradients": {"input": x.grad} | {name: p.grad for name, p in net.named_parameters()}})
    assert_same(*results)


@each_fold
def test_batch_norms_in_a_mode_of_their_own(text, layers):
    results = []
    for net in pair(text, layers):
        for place, layer in enumerate(m for m in net.modules() if isinstance(m, nn.BatchNorm2d)):
            layer.train(place % 2 == 0)
            layer.momentum = None if place % 3 == 0 else 0.3
            if place % 5 == 0:
                layer.track_running_stats, layer.running_mean, layer.running_var = False, None, None
        results.append(stepped(net, image(net)))
    assert_same(*results)


RANDOM = fold("update(3) { add { part | conv(1x1, out), bn, dropout(0.5) } }", (6, 4, 4))


@each_mode
def test_a_mode_changed_between_the_passes_changes_nothing(layers):
    results = []
    for net in pair(RANDOM, layers):
        torch.manual_seed(0)
        made = net(image(net)).square().sum()
        net.eval()
        torch.manual_seed(1)  # the backward pass draws as the forward pass did, and leaves the generator alone
        made.backward()
        gradients = {name: p.grad for name, p in net.named_parameters()}
        results.append({"gradients": gradients, "drawn": {"next": torch.rand(3)}})
    assert_same(*results)


@each_mode
def test_changed_weights_are_noticed(layers):
    _, ours = pair(GUNN, layers)
    loss = ours(image(ours)).square().sum()
    with torch.no_grad():
        next(p for name, p in ours.named_parameters() if "segment2" in name).add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@each_mode
def test_no_second_derivatives(layers):
    _, ours = pair(GUNN, layers)
    x = image(ours).requires_grad_()
    (of_x,) = torch.autograd.grad(ours(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        of_x.sum().backward()


# --- precision and memory format ---


def autocast_step(net, x, enabled=True):
    """Output and gradients of the fold alone."""
    net.zero_grad()
    x = x.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled):
        y = net.steps(x)
    (y.float() * torch.randn(y.shape, generator=torch.Generator().manual_seed(3))).sum().backward()
    return [y, x.grad, *(p.grad for p in net.steps.parameters())]


@each_fold
@pytest.mark.parametrize("given", [torch.float32, torch.bfloat16])
def test_autocast(text, layers, given):
    reference, ours = (net.float() for net in pair(text, layers))
    x = image(reference, 16).float()
    exact = autocast_step(reference, x, enabled=False)
    found, theirs = (autocast_step(net, x.to(given)) for net in (ours, reference))
    assert [t.dtype for t in found] == [t.dtype for t in theirs]
    errors = [sum((a - b).norm() / b.norm() for a, b in zip(made, exact, strict=True)) for made in (found, theirs)]
    assert 0 < errors[0] < 2 * errors[1]  # single ones depend on which ReLUs rounding opens


@each_fold
def test_channels_last(text, layers):
    reference, ours = pair(text, layers)
    expected = stepped(reference, image(ours))
    ours.to(memory_format=torch.channels_last)
    x = image(ours).to(memory_format=torch.channels_last)
    assert_same(stepped(ours, x), expected)
    made = ours.steps(x)
    assert made.is_contiguous(memory_format=torch.channels_last) and not made.is_contiguous()


@each_fold
@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_half_precision(text, layers, kind):
    reference, ours = pair(text, layers)
    reference, ours = reference.to(kind), ours.to(kind)
    x = image(ours).to(kind)
    made = [net(x) for net in (ours, reference)]
    assert made[0].dtype is kind and (made[0] - made[1]).float().norm() < 0.05 * made[1].float().norm()
    made[0].float().square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in ours.parameters())


def test_without_data():
    with torch.device("meta"):
        net = explorer.build(GUNN, layers="lean")
        net(torch.empty(2, *net.graph.input)).sum().backward()
    assert all(p.grad.shape == p.shape for p in net.parameters())


# --- stepping back ---


@each_fold
def test_hooks_see_every_layer(text, layers):
    reference, ours = pair(text, layers)
    seen = []
    for net in (reference, ours):
        names = []
        for name, layer in net.named_modules():
            layer.register_forward_hook(lambda *_, name=name, names=names: names.append(name))
        net(image(net))
        seen.append(names)
    assert seen[0] == seen[1] and len(seen[0]) > 10


class Doubled(nn.Conv2d):
    def forward(self, x):
        return 2 * super().forward(x)


def _exchange(net):
    unit = net.steps.get_submodule("update.segment2.project")
    unit.conv = Doubled(9, 2, 1, bias=False).double()
    nn.init.ones_(unit.conv.weight)


def _change_class(net):
    net.steps.get_submodule("update.segment2.project").conv.__class__ = Doubled


def _parametrise(net):
    nn.utils.parametrizations.weight_norm(net.steps.get_submodule("update.segment2.project").conv)


@each_mode
@pytest.mark.parametrize("change", [_exchange, _change_class, _parametrise])
def test_exchanged_layers(change, layers):
    results = []
    for net in pair(GUNN, layers):
        assert not substitutes(net) or steps_in(substitutes(net)[0])
        change(net)
        assert not substitutes(net) or not steps_in(substitutes(net)[0])
        results.append(stepped(net, image(net)))
    assert_same(*results)


@each_mode
def test_shared_weights(layers):
    results = []
    for net in pair(fold("gunn_layer(4, 2, projection = yes)", (8, 4, 4)), layers):
        one, other = (net.steps.get_submodule(f"update.segment{i}.project").conv for i in (1, 2))
        other.weight = one.weight
        results.append(stepped(net, image(net)))
    assert_same(*results)


@each_mode
def test_function_transforms(layers):
    results = []
    for net in pair(GUNN, layers):
        net.eval()
        weights = {name: p.detach() for name, p in net.named_parameters()}
        loss = lambda w, net=net: torch.func.functional_call(net, w, (image(net),)).square().sum()  # noqa: E731
        results.append({"gradients": torch.func.grad(loss)(weights)})
    assert_same(*results)


@each_mode
def test_weights_given_from_outside(layers):
    results = []
    for net in pair(GUNN, layers):
        scale = torch.ones((), dtype=torch.float64, requires_grad=True)
        weights = {name: scale * p for name, p in net.named_parameters()}
        torch.func.functional_call(net, weights, (image(net),)).square().sum().backward()
        results.append({"gradients": {"scale": scale.grad}})
    assert_same(*results)


@each_mode
def test_tracing(layers):
    for net in pair(GUNN, layers):
        x = image(net.eval())
        assert torch.allclose(torch.jit.trace(net, x)(x), net(x))


@pytest.mark.slow
@each_fold
def test_export_and_compile(text, layers):
    _, ours = pair(text, layers)
    x = image(ours.eval())
    assert torch.allclose(torch.export.export(ours, (x,)).module()(x), ours(x), rtol=TOLERANCE)
    torch.compiler.reset()
    compiled = torch.compile(ours.train(), fullgraph=True, backend="aot_eager")
    results = [stepped(net, x) for net in (copy.deepcopy(ours), compiled)]
    assert_same({k: v for k, v in results[0].items() if k == "output"}, {"output": results[1]["output"]})


# --- batch norms folded ---


@pytest.mark.parametrize("layers", ["reference", *LEAN])
@pytest.mark.parametrize("text", [*FOLDS.values(), "cifar_resnet(n = 1, widths = [4, 8, 8]) + mssar(1, 2)"])
def test_folded_batch_norms(text, layers):
    _, ours = pair(text, layers)
    x = image(ours)
    lean = folded(ours)
    count = [sum(isinstance(m, nn.BatchNorm2d) for m in net.modules()) for net in (ours, lean)]
    assert count[0] > 3 and count[1] == 0
    assert all(steps_in(layer) for layer in substitutes(lean))
    with torch.no_grad():
        assert torch.allclose(lean(x), ours.eval()(x), rtol=TOLERANCE, atol=TOLERANCE)


def test_only_batch_norms_that_follow_are_folded():
    net = network("network n { input 4x5x5\n a: bn, conv(1x1, 4), relu, bn\n b: add { conv(3x3, 4), bn | it } }")
    net.a.conv.weight.requires_grad_(False)
    lean = folded(net)
    assert [isinstance(lean.get_submodule(name), nn.BatchNorm2d) for name in ("a.bn1", "a.bn2", "b.bn")] == [
        True,
        True,
        False,
    ]
    x = image(net)
    assert torch.allclose(lean(x), net.eval()(x))
