"""Substitutes beside the reference: the same weights in both, and everything that a step leaves behind compared."""

import torch
import torch.nn.functional as F
from wiring.support import randomise

import explorer
from explorer.nn.fast.choose import substitute
from explorer.nn.fast.fold import FoldModule
from explorer.nn.fast.recalibration import Recalibration
from explorer.nn.module import NetworkModule

LEAN = ("balanced", "lean")
TOLERANCE = 1e-9  # in float64, relative to the largest number of its kind


def network(text, layers="reference", block=None, **options):
    """A network in float64, drawn as its paper says."""
    torch.manual_seed(0)
    return NetworkModule(explorer.expand(text, **options), substitute(layers, block)).double()


def pair(text, layers, block=None, seed=0, **options):
    """The reference and a substitute with the same weights, none of them telling."""
    nets = network(text, **options), network(text, layers, block, **options)
    randomise(nets[0], seed)
    nets[1].load_state_dict(nets[0].state_dict())
    return nets


def fold(steps, size, head=True):
    """Text of a network of these steps, with something in front of and behind them."""
    end = "\n head: conv(1x1, 3), bn" if head else ""
    return f"network t {{\n input {'x'.join(map(str, size))}\n steps: {steps}{end}\n}}"


def substitutes(net):
    return [layer for layer in net.modules() if isinstance(layer, FoldModule | Recalibration)]


def image(net, n=3, seed=1):
    return torch.randn(n, *net.graph.input, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def stepped(net, x, seed=2):
    """Output, gradients and statistics after one step forward and back; random layers draw alike."""
    net.zero_grad()
    x = x.clone().requires_grad_()
    torch.manual_seed(seed)
    y = net(x)
    weights = torch.randn(y.shape, dtype=y.dtype, generator=torch.Generator().manual_seed(3))
    (y * weights).sum().backward()
    return {
        "output": {"output": y.detach()},
        "gradients": {"input": x.grad} | {name: p.grad for name, p in net.named_parameters()},
        "statistics": dict(net.named_buffers()),
    }


def assert_same(ours, theirs, tolerance=TOLERANCE):
    """Numbers of a kind are compared with the largest of them: gradients that should be zero are rounding only."""
    for kind, tensors in theirs.items():
        assert ours[kind].keys() == tensors.keys()
        scale = max((float(t.abs().max()) for t in tensors.values() if t is not None and t.numel()), default=0.0)
        for name, expected in tensors.items():
            found = ours[kind][name]
            assert (found is None) == (expected is None), name
            if expected is not None:
                assert found.dtype == expected.dtype and found.shape == expected.shape, name
                assert torch.allclose(found, expected, rtol=tolerance, atol=tolerance * scale), (kind, name)


def agree(text, layers, block=None, n=3, steps=2, substituted=True, **options):
    """Training steps and a step in evaluation mode do the same as the reference's."""
    reference, ours = pair(text, layers, block, **options)
    assert bool(substitutes(ours)) == substituted
    for training in [True] * steps + [False]:
        x = image(reference, n, seed=steps)
        results = [stepped(net.train(training), x) for net in (ours, reference)]
        assert_same(*results)
        with torch.no_grad():
            assert torch.allclose(*[net.eval()(x) for net in (ours, reference)], rtol=TOLERANCE, atol=TOLERANCE)
    return reference, ours


def trained(net, x, labels, steps=3):
    """Losses and parameters of SGD with momentum."""
    optimiser = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    losses = []
    for step in range(steps):
        optimiser.zero_grad()
        torch.manual_seed(step)
        loss = F.cross_entropy(net(x), labels)
        loss.backward()
        optimiser.step()
        losses.append(loss.detach())
    return {"losses": {"losses": torch.stack(losses)}, "state": net.state_dict()}
