"""Modules with nothing left at a telling value, and their comparison with plain functions of the same weights."""

from collections import deque

import torch
import torch.nn.functional as F
from torch import nn

import explorer

TOLERANCE = 1e-10
VISIBLE = 1e-4
BATCH = 4


def rand(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def definition(steps, size, modifiers=""):
    """Text of a network of these steps on an image of this size, `modifiers` as in '+ se + mssar(1)'."""
    text = f"network t {{\n input {'x'.join(map(str, size))}\n {steps}\n}}\n"
    return text + (f"network modified = t {modifiers}\n" if modifiers else "")


def built(text, input=None, seed=0):
    """The real module in float64, every weight and statistic drawn anew."""
    module = explorer.build(text, input=input).double()
    every = [layer for _, layer in module.named_modules(remove_duplicate=False)]
    assert len(every) == len(set(every)), "two places share a layer"
    randomise(module, seed)
    return module


def net(steps, size, modifiers="", seed=0):
    return built(definition(steps, size, modifiers), seed=seed)


@torch.no_grad()
def randomise(module, seed=0):
    """Weights of unit gain; batch norms with scales of both signs, shifts and statistics that shut few ReLUs."""
    draw = torch.Generator().manual_seed(seed)
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.weight.normal_(0, layer.weight[0].numel() ** -0.5, generator=draw)
        if getattr(layer, "bias", None) is not None:
            layer.bias.normal_(0.3, 0.3, generator=draw)
        if isinstance(layer, nn.BatchNorm2d):
            sign = torch.randint(2, layer.weight.shape, generator=draw) * 2 - 1
            layer.weight.uniform_(0.5, 1.5, generator=draw).mul_(sign)
            layer.running_mean.normal_(0, 0.3, generator=draw)
            layer.running_var.uniform_(0.5, 1.5, generator=draw)


class Weights:
    """The layers of a module in the order of its text: handed out as tensors, or applied in plain torch."""

    def __init__(self, module, training=False):
        self.training = training
        self.layers = {
            kind: deque(layer for layer in module.modules() if isinstance(layer, kind))
            for kind in (nn.Conv2d, nn.BatchNorm2d, nn.Linear)
        }

    def take(self, kind):
        return self.layers[kind].popleft()

    def kernel(self, bias=False):
        """The weight of the next convolution, and with `bias` its bias."""
        layer = self.take(nn.Conv2d)
        assert (layer.bias is not None) == bias
        return (layer.weight, layer.bias) if bias else layer.weight

    def matrix(self):
        """The next convolution, a 1x1, as a matrix."""
        weight = self.kernel()
        assert weight.shape[2:] == (1, 1)
        return weight[:, :, 0, 0]

    def norm(self, prefix="bn"):
        """The next batch norm as the references want it."""
        layer = self.take(nn.BatchNorm2d)
        names = ("weight", "bias", "running_mean", "running_var")
        return {f"{prefix}_{name}": getattr(layer, name) for name in names}

    def conv(self, x, stride=1, groups=1, bias=False):
        layer = self.take(nn.Conv2d)
        assert (layer.bias is not None) == bias
        return F.conv2d(x, layer.weight, layer.bias, stride, layer.weight.shape[2] // 2, groups=groups)

    def bn(self, x):
        layer = self.take(nn.BatchNorm2d)
        statistics = (None, None) if self.training else (layer.running_mean, layer.running_var)
        return F.batch_norm(x, *statistics, layer.weight, layer.bias, self.training)

    def linear(self, x):
        layer = self.take(nn.Linear)
        return F.linear(x, layer.weight, layer.bias)

    def conv_bn_relu(self, x, stride=1, groups=1):
        return F.relu(self.bn(self.conv(x, stride, groups)))

    def bn_relu_conv(self, x, stride=1):
        return self.conv(F.relu(self.bn(x)), stride)

    def head(self, x):
        """Global average pooling and a linear layer."""
        return self.linear(x.mean((2, 3)))

    def left(self):
        return [layer for queue in self.layers.values() for layer in queue]


def same(got, wanted, what="values", tolerance=TOLERANCE):
    scale = max(1.0, float(wanted.detach().abs().max()))
    torch.testing.assert_close(got, wanted, rtol=tolerance, atol=tolerance * scale, msg=lambda text: f"{what}: {text}")


def derivatives(function, x, parameters):
    """Output, and gradients of a random weighting of it with respect to the input and every parameter."""
    x = x.clone().requires_grad_()
    out = function(x)
    loss = (out * rand(*out.shape, seed=1234)).sum()
    return [out.detach(), *torch.autograd.grad(loss, [x, *parameters])]


def agree(module, reference, size, batch=BATCH, alive=0.5, tolerance=TOLERANCE):
    """Module and reference(x, weights) have equal outputs and gradients, in training and evaluation mode."""
    for training in (True, False):
        agree_in_mode(module, reference, rand(batch, *size, seed=7), training, alive, tolerance)


def agree_in_mode(module, reference, x, training, alive=0.5, tolerance=TOLERANCE):
    """As agree; at least this share of the gradients must not vanish."""
    module.train(training)
    weights = Weights(module, training)
    names, parameters = zip(*module.named_parameters(), strict=True)
    got = derivatives(module, x, parameters)
    wanted = derivatives(lambda x: reference(x, weights), x, parameters)
    assert not weights.left(), "layers that the reference does not have"
    for what, a, b in zip(("output", "input", *names), got, wanted, strict=True):
        same(a, b, f"{what}, {'training' if training else 'evaluation'}", tolerance)
    seen = [float(b.abs().max()) > VISIBLE for b in wanted]
    assert sum(seen) >= alive * len(seen), "little is alive to compare"


class Doubled(nn.Module):
    def forward(self, x):
        return 2 * x


def mark_dropout(module, rate):
    """A factor 2 in place of every dropout layer of this rate; how many there were."""
    places = [
        (parent, name)
        for parent in module.modules()
        for name, child in parent.named_children()
        if isinstance(child, nn.Dropout) and child.p == rate
    ]
    for parent, name in places:
        setattr(parent, name, Doubled())
    return len(places)
