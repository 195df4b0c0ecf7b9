"""Networks of the catalog build and train a step: every family reduced, and (slow) every network on small images."""

import pytest
import torch
import torch.nn.functional as F

import explorer
from explorer.grammar.library import Library, shipped
from explorer.grammar.syntax import Input

REDUCED = [
    "preact_resnet(11)",
    "cifar_resnet(n = 1, option = A)",
    "cifar_resnext(11, 2, 4)",
    "imagenet_resnext([1, 1, 1, 1], groups = 2, base_width = 2) + se(at = output)",
    "densenet(13, [2, 4, 3], reads = sparse)",
    "densenet_bc(16, [2, 4, 3], reads = sparse)",
    "imagenet_densenet([1, 2, 1, 1], k = 4)",
    "dpn([1, 2, 1, 1], inc = [4, 2, 4, 2], r = 4, groups = 2)",
    "pyramidnet(11, 6)",
    "nin",
    "all-cnn",
    "dsn",
    "stochastic_depth(n = 1)",
    "seqresnet(k = 4, r = 1, N = [1, 2, 1], fold = aggregate)",
]
MOST = 0.7  # dead channels, and a bias that a batch norm takes away, stay as they are
NAMES = [name for name, place in shipped().items() if place.kind == "network"]


def train_a_step(net, size, batch):
    """One step of gradient descent; the share of the parameters that it changes."""
    torch.manual_seed(0)
    module = explorer.build(net, input=size).train()
    for parameter in module.parameters():
        if parameter.dim() == 4 and not parameter.any():  # a convolution that starts at zero hides those before it
            torch.nn.init.kaiming_normal_(parameter)
    before = [parameter.detach().clone() for parameter in module.parameters()]
    out, heads = module.with_auxiliaries(torch.randn(batch, *size))
    assert out.shape == (batch, explorer.expand(net, input=size).root.out[0])
    labels = torch.arange(batch) % out.shape[1]
    loss = F.cross_entropy(out, labels) + sum(weight * F.cross_entropy(head, labels) for weight, head in heads)
    loss.backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in module.parameters())
    torch.optim.SGD(module.parameters(), lr=0.1).step()
    return sum(not torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True)) / len(before)


@pytest.mark.parametrize("net", REDUCED)
def test_a_reduced_network_trains_a_step(net):
    size = (3, 32, 32) if net.startswith(("imagenet", "dpn")) else (3, 16, 16)
    assert train_a_step(net, size, batch=4) > MOST


def named():
    """Networks whose parameters all have defaults, with a small image for each."""
    library = Library()
    for name in NAMES:
        network = library.find(name)
        if all(param.default is not None for param in network.params):
            while network.body is None:
                network = library.find(network.base.call.name)
            side = next(item.size[1] for item in network.body if isinstance(item, Input))
            if name.startswith("fractalnet"):  # five poolings; one column alone may be drawn otherwise
                yield pytest.param(f"{name}(share = 0)", (3, side, side), id=name)
            else:
                yield pytest.param(name, (3, side // 2, side // 2) if side < 100 else (3, 64, 64), id=name)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "size"), named())
def test_every_network_trains_a_step(name, size):
    assert train_a_step(name, size, batch=2) > MOST
