"""A traced module, torch and the generators of random numbers are left as they were, also when the trace fails."""

import random

import numpy
import pytest
import torch
from torch import nn
from torch.nn.modules import module as torch_module
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

from explorer.errors import UserError
from explorer.nn.tracing.trace import trace
from explorer.nn.tracing.tree import calls

SIZE = (3, 8, 8)


class Restless(nn.Module):
    """Changes everything it can reach in a forward pass."""

    def __init__(self, asks=False, fails=False):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(4, 2).requires_grad_(False)
        self.register_buffer("mean", torch.ones(4))
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        self.conv.eval()
        self.seen, self.cache, self.count = [], {}, 0
        self.constant = torch.ones(4, 1, 1)
        self.generator = torch.Generator()
        self.asks, self.fails = asks, fails

    def forward(self, x):
        y = self.drop(self.norm(self.conv(x)))
        self.count += 1
        self.seen.append(y)
        self.cache["last"] = y
        self.mean = 0.9 * self.mean + y.mean((0, 2, 3))
        self.steps += 1
        self.new = y
        self.constant.mul_(2)
        self.norm.running_var.zero_()
        self.head.weight.data.mul_(3)
        self.register_buffer("more", y)
        self.register_forward_hook(lambda *_: None)
        self.extra = nn.Linear(2, 2)
        self.norm.eval()
        noise = torch.rand(4) + random.random() + numpy.random.rand() + torch.rand(4, generator=self.generator)
        if self.asks and y.sum() > 1e9:
            raise AssertionError
        if self.fails:
            raise ValueError("on purpose")
        return self.head((y * noise[:, None, None] * self.constant).mean((2, 3)))


def everything(module):
    """All that can be seen of a module and of torch."""
    tensors = {
        name: (id(t), t.clone(), t._version, t.requires_grad) for name, t in module.state_dict(keep_vars=True).items()
    }
    hooks = [len(v) for m in module.modules() for k, v in vars(m).items() if k.endswith("_hooks")]
    attributes = {name: sorted(vars(m)) for name, m in module.named_modules()}
    modes = [m.training for m in module.modules()]
    plain = (list(module.seen), dict(module.cache), module.count, module.constant.clone(), module.generator.get_state())
    patches = [
        len(hooks)
        for name, hooks in vars(torch_module).items()
        if name.startswith("_global") and name.endswith("hooks")
    ]
    backends = (
        torch.backends.mha.get_fastpath_enabled(), torch.backends.mkldnn.enabled,
        torch.backends.cuda.flash_sdp_enabled(), torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(), len(_get_current_dispatch_mode_stack()),
    )  # fmt: skip
    numbers = (torch.get_rng_state(), random.getstate(), numpy.random.get_state()[1].copy())
    return tensors, hooks, attributes, modes, plain, patches, backends, numbers


def same(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, numpy.ndarray):
        return numpy.array_equal(a, b)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    return a == b


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("asks", [False, True])
def test_a_trace_leaves_no_mark(asks, train):
    module = Restless(asks)
    before = everything(module)
    traced = trace(module, SIZE, batch=2, train=train)
    assert same(before, everything(module))
    assert bool(traced.notes) is asks
    assert sum(call.counts.get("macs", 0) for call in calls(traced.root)) == 4 * 3 * 64 + 8


@pytest.mark.parametrize("asks", [False, True])
def test_a_failing_trace_leaves_no_mark(asks):
    module = Restless(asks, fails=True)
    before = everything(module)
    with pytest.raises(UserError, match=r"ValueError: on purpose \(test_trace_untouched.py:\d+\)"):
        trace(module, SIZE, train=True)
    assert same(before, everything(module))


def test_the_check_sees_what_a_plain_call_changes():
    module = Restless()
    before = everything(module)
    module(torch.zeros(2, *SIZE))
    changed = [not same(a, b) for a, b in zip(before, everything(module), strict=True)]
    assert changed == [True, True, True, True, True, False, False, True]


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_the_same_answer_each_time_and_in_every_mode(context):
    module = Restless()
    with context():
        answers = [trace(module, SIZE) for _ in range(3)]
    assert answers[0] == answers[1] == answers[2] == trace(module, SIZE)


def test_evaluation_is_the_default_and_training_can_be_asked_for():
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Dropout(0.5))
    assert [call.kind for call in calls(trace(module, SIZE).root)] == ["conv"]
    assert [call.kind for call in calls(trace(module, SIZE, train=True).root)] == ["conv", "aten.mul"]
    assert module.training


@pytest.mark.parametrize("train", [False, True])
def test_counts_are_of_one_image(train):
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(2), nn.Linear(9, 5),
        nn.Flatten(), nn.Linear(40, 2),
    )  # fmt: skip
    one, two = (trace(module, SIZE, batch=n, train=train) for n in (1, 4))
    assert one.root == two.root


def test_modules_that_compile_or_script_are_run_as_they_are():
    plain = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU())
    expected = [call.counts for call in calls(trace(plain, SIZE).root)]
    for module in (torch.compile(plain), torch.jit.script(plain)):
        assert [call.counts for call in calls(trace(module, SIZE).root)] == expected
    plain[0].compile()
    compiled = plain[0]._compiled_call_impl
    assert [call.counts for call in calls(trace(plain, SIZE).root)] == expected
    assert plain[0]._compiled_call_impl is compiled
