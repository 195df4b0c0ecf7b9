"""Launches and bytes, against the calls that torch really dispatches for the built module."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from strategies import networks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import explorer
from explorer.analysis.traffic import LAUNCHES, flow_of
from explorer.blocks.ops import PRIMITIVES
from explorer.grammar.library import Library, shipped

BATCH = 3


def storage(tensor):
    return tensor.untyped_storage()._cdata


def held(tensor):
    """Bytes that are there to read: a side that expand repeats is there once."""
    sides = [side for side, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride]
    return torch.Size(sides).numel() * tensor.element_size() if tensor.numel() else 0


COPIES = ("cat", "clone", "constant_pad_nd", "index_select")


class Recorder(TorchDispatchMode):
    """Counts calls that fill a new tensor, and the bytes of all tensors that they are given and make."""

    def __init__(self):
        super().__init__()
        self.launches = self.moved = self.copied = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        name = function.__name__.split(".")[0]
        read = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        written = [x for x in tree_leaves(made) if isinstance(x, torch.Tensor)]
        if name == "native_batch_norm":
            del written[1:]  # statistics of the batch, which evaluation does not make (here they are mere shapes)
        if name.endswith("_like"):
            read = []  # of which only the shape is read
        view = {storage(x) for x in written} <= {storage(x) for x in read}
        if not view and name != "empty":
            moved = sum(map(held, [*read, *written]))
            self.launches += 1
            self.moved += moved
            self.copied += moved * (name in COPIES)
        return made


def recorded(text, batch=BATCH):
    with torch.device("meta"):
        module = explorer.build(text).eval()
        image = torch.empty(batch, *module.graph.input)
    with torch.no_grad(), Recorder() as found:
        module(image)
    return found


def check(text):
    total = flow_of(explorer.expand(text).root).total
    found = recorded(text)
    ours = (total.launches, total.bytes_moved(BATCH), total.bytes_copied(BATCH))
    assert ours == (found.launches, found.moved, found.copied), text


NETWORKS = [
    "resnet20", "resnet110", "wrn-16-8", "vgg16", "densenet_bc(depth = 22, k = 4) + mssar(1, 2)", "gunn15", "gunn18",
    "seqresnet-k8-r4-n1", "resnet20 + mssar(1, 2, 4)", "resnet20 + mssar(3)", "resnet20 + gunn(parts = 4)",
    "resnet20 + wseqconv(k = 4)", "cifar_resnet(n = 1) + mssar(2, 3, pool = sliding)",
    "cifar_resnet(n = 1) + mssar(2, pool = sliding, shape = diamond)",
]  # fmt: skip


@pytest.mark.parametrize("net", NETWORKS)
def test_calls_and_bytes_are_those_that_torch_dispatches(net):
    check(net)


@pytest.mark.slow
def test_of_every_network():
    for name, place in shipped().items():
        if place.kind == "network" and all(p.default is not None for p in Library().find(name).params):
            check(name)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(networks())
def test_of_any_network(text):
    check(text)


STEPS = [
    "conv(3x3, 4, bias = yes)", "flatten", "regional(1), upsample(entry), flatten", "regional(2), slice(0, 2), flatten",
    "regional(1), upsample(entry), dropout(0.5), slice(1, 3)", "regional(1), upsample(entry), concat { it | it }",
    "regional(5), upsample(entry)", "regional(3), upsample(entry)",
    "regional(1), upsample(entry), update(2) { add { part | conv(1x1, out) } }",
    "mean { it | it | regional(1), upsample(entry) }", "pad(3)", "gap, flatten, linear(4, bias = no)",
    "affine(2), affine(0.5, 1), droppath(0.5)", "pad(6), shuffle(3)", "shuffle(1), shuffle(3)", "shift(2)",
    "shake { it | conv(1x1, 3) }", "fractaljoin(0.1, 3) { it | it | conv(1x1, 3) }", "maxpool(2), avgpool(2)",
]  # fmt: skip


@pytest.mark.parametrize("steps", STEPS)
def test_views_of_views(steps):
    check(f"block probe {{ {steps} }}\nnetwork n {{ input 3x5x7\n relu, probe }}")


def test_no_kind_is_forgotten():
    assert set(LAUNCHES) == set(PRIMITIVES)
