"""What substitutes ask of a device: nothing that makes it wait, and nothing that a compiler cannot see through."""

import shutil

import pytest
import torch
from fast_support import LEAN, TOLERANCE, assert_same, fold, image, network, pair, stepped
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

TEXTS = {
    "gunn": fold("gunn_layer(4, 2, projection = yes)", (9, 4, 4)),
    "small gunn": fold("gunn_layer(4, 2)", (40, 2, 2)),
    "wseqconv": fold("windowed(8, 2) { group(yes) }", (8, 4, 4)),
    "grow": fold("grow(3) { dense_layer(2) }", (4, 5, 4)),
    "mssar": fold("mssar(1, 2, 4)", (6, 8, 8)),
    "uneven mssar": fold("mssar(1, 3)", (6, 8, 8)),
    "sliding": fold("mssar(1, 2, pool = sliding)", (6, 8, 8)),
    "diamond": fold("mssar(1, 2, pool = sliding, shape = diamond)", (6, 8, 8)),
}
each_text = pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
each_mode = pytest.mark.parametrize("layers", LEAN)


class Elsewhere(TorchDispatchMode):
    """Names of operations that touch a tensor which is not on `device`, or ask for a number that is on it."""

    def __init__(self, device):
        super().__init__()
        self.device, self.names = device, []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        tensors = [t for t in tree_leaves((args, kwargs, made)) if isinstance(t, torch.Tensor)]
        if any(t.device.type != self.device for t in tensors) or torch.Tag.data_dependent_output in function.tags:
            self.names.append(function._schema.name)
        return made


def run(net, x):
    for training in (True, False):
        net.train(training)(x).sum().backward()
        with torch.no_grad():
            net(x)


@each_mode
@each_text
def test_nothing_leaves_the_device(text, layers, monkeypatch):
    """A number fetched in between, a table copied to it or a generator's state read would break CUDA graphs."""
    net = network(text, layers).to("meta")
    x = torch.empty(2, *net.graph.input, dtype=torch.float64, device="meta")
    monkeypatch.delattr(torch, "get_rng_state")
    with Elsewhere("meta") as seen:
        run(net, x)
    assert seen.names == []


def test_leaving_the_device_is_noticed():
    x = torch.ones(3)
    with Elsewhere("cpu") as seen:
        x.sum().item()
    assert seen.names == ["aten::_local_scalar_dense"]
    with Elsewhere("cpu") as seen:
        x.to("meta")
    assert seen.names == ["aten::_to_copy"]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a compiler")
@pytest.mark.parametrize("text", [TEXTS["gunn"], TEXTS["wseqconv"], TEXTS["mssar"]])
def test_compiled(text):
    """What is compiled are the reference's plain operations, in one graph."""
    reference, ours = pair(text, "lean")
    x = image(ours)
    torch.compiler.reset()
    compiled = torch.compile(ours, fullgraph=True)
    found, expected = stepped(compiled, x), stepped(reference, x)
    for kind, tensors in found.items():
        found[kind] = {name.removeprefix("_orig_mod."): tensor for name, tensor in tensors.items()}
    assert_same(found, expected)


@pytest.mark.gpu
@needs_gpu
@each_mode
@each_text
def test_on_a_gpu(text, layers):
    reference, ours = pair(text, layers)
    expected = stepped(reference, image(reference))
    ours.cuda()
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        run(ours, torch.zeros(3, *ours.graph.input, dtype=torch.float64, device="cuda"))
    finally:
        torch.cuda.set_sync_debug_mode(before)
    ours.load_state_dict(pair(text, layers)[1].state_dict())
    found = stepped(ours.train(), image(ours).cuda())
    assert_same({kind: {name: t.cpu() for name, t in tensors.items()} for kind, tensors in found.items()}, expected)


@pytest.mark.gpu
@needs_gpu
@each_mode
@each_text
def test_cuda_graphs(text, layers):
    _, ours = pair(text, layers)
    plain = pair(text, layers)[1].cuda()
    x = image(ours).cuda().requires_grad_()
    graphed = torch.cuda.make_graphed_callables(ours.cuda(), (x,))
    ours.load_state_dict(plain.state_dict())  # warming up moved the statistics
    other = image(ours, seed=5).cuda()
    results = [stepped(net, other) for net in (graphed, plain)]
    for kind in ("output", "gradients"):
        assert_same({kind: results[0][kind]}, {kind: results[1][kind]}, TOLERANCE)
