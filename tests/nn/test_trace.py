"""Any module's operations: cases where popular counters are wrong, and torch's own counter as the oracle."""

import math
from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from explorer.errors import UserError
from explorer.nn.tracing.operators import COUNTED, LISTED, REASONS, UNKNOWN, ZERO
from explorer.nn.tracing.rules import KINDS, MULTIPLIES, image_shape
from explorer.nn.tracing.trace import trace
from explorer.nn.tracing.tree import calls

MAP = (16, 32, 32)


def total(traced, *columns):
    return sum(call.counts.get(column, 0) for call in calls(traced.root) for column in columns)


def macs(traced):
    return total(traced, "macs")


def params(traced):
    return total(traced, "weights", "biases", "norms")


def kinds(traced):
    return [call.kind for call in calls(traced.root)]


def function(run):
    """A module without parameters that computes `run`."""

    class Function(nn.Module):
        def forward(self, x):
            return run(x)

    return Function()


# --- where popular counters give 0 or a multiple (3 x 3 convolutions of 16 channels on 32 x 32) ---

ONE = 2_359_296


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(16, 16, 3, 3))

    def forward(self, x):
        return F.relu(F.conv2d(x, self.weight, padding=1))


class Matmul(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(32, 32))

    def forward(self, x):
        return x @ self.weight


class Direct(nn.Module):
    def __init__(self):
        super().__init__()
        self.sub = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1, bias=False))

    def forward(self, x):
        return self.sub[0].forward(x)


class Parent(nn.Module):
    def __init__(self, conv):
        super().__init__()
        self.conv = conv

    def forward(self, x):
        return self.conv(x)


class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        conv = nn.Conv2d(16, 16, 3, padding=1, bias=False)
        self.a, self.b = Parent(conv), Parent(conv)

    def forward(self, x):
        return self.b(self.a(x))


class Loop(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(16, 16, 3, padding=1, bias=False)

    def forward(self, x):
        for _ in range(3):
            x = self.conv(x)
        return x


class Gate(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(16, 16, 3, padding=1, bias=False)
        self.fc = nn.Linear(16, 16, bias=False)

    def forward(self, x):
        y = self.conv(x)
        gate = torch.sigmoid(self.fc(y.mean((2, 3))))
        return gate[:, :, None, None] * y + x


class Split(nn.Module):
    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(16, 4, 3, padding=1, bias=False) for _ in range(4))

    def forward(self, x):
        for i, conv in enumerate(self.convs):
            parts = list(x.split(4, 1))
            parts[i] = conv(x)
            x = torch.cat(parts, 1)
        return x


class Depthwise(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False)

    def forward(self, x):
        return self.conv(x)


CASES = {
    Functional: (ONE, 2304),
    Matmul: (524_288, 1024),
    Direct: (ONE, 2304),
    Shared: (2 * ONE, 2304),
    Loop: (3 * ONE, 2304),
    Gate: (ONE + 256, 2304 + 256),
    Split: (ONE, 2304),
    Depthwise: (ONE // 16, 144),
}


@pytest.mark.parametrize("case", CASES)
def test_what_others_miss(case):
    traced = trace(case(), MAP)
    assert (macs(traced), params(traced)) == CASES[case]
    assert traced.unknown == {} and traced.unused == {} and traced.notes == ()


def test_the_gate_is_listed_operation_by_operation():
    expected = ["conv", "gap", "linear", "sigmoid", "multiply", "add"]
    assert kinds(trace(Gate(), MAP)) == expected


# --- torch's own counter ---


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.LeakyReLU(0.1, inplace=True))
        self.deep = nn.Conv2d(8, 16, 3, 2, 2, dilation=2)
        self.up = nn.ConvTranspose2d(16, 8, 2, 2)
        self.out = nn.Conv2d(16, 2, 1)

    def forward(self, x):
        shallow = self.down(x)
        y = torch.cat([shallow, self.up(self.deep(shallow))], 1)
        return F.interpolate(self.out(y), scale_factor=2, mode="bilinear")


class Inverted(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 18, 1, bias=False), nn.BatchNorm2d(18), nn.ReLU6(),
            nn.Conv2d(18, 18, 3, 1, 1, groups=18, bias=False), nn.BatchNorm2d(18), nn.Hardswish(),
            nn.Conv2d(18, 3, 1, bias=False), nn.BatchNorm2d(3),
        )  # fmt: skip

    def forward(self, x):
        return x + self.body(x)


class Tokens(nn.Module):
    """Patches of an image, as a sequence, through a recurrent or attending layer."""

    def __init__(self, layer):
        super().__init__()
        self.patches = nn.Conv2d(3, 32, 8, 8)
        self.position = nn.Parameter(torch.zeros(1, 16, 32))
        self.layer = layer

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2) + self.position
        return self.layer(x)


class LowRank(nn.Module):
    """A convolution with a computed weight."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Parameter(torch.randn(8, 2)), nn.Parameter(torch.randn(2, 27))

    def forward(self, x):
        return F.conv2d(x, (self.a @ self.b).view(8, 3, 3, 3))


MODULES = {
    "u-net": UNet,
    "inverted residual": Inverted,
    "grouped, dilated, strided": lambda: nn.Sequential(
        nn.Conv2d(3, 12, 3, 2, groups=3), nn.Conv2d(12, 6, (1, 7), (1, 2), (0, 3), (1, 2), groups=2)
    ),
    "transposed, grouped": lambda: nn.ConvTranspose2d(3, 6, 3, 2, 1, 1, groups=3, dilation=2),
    "1-d": lambda: nn.Sequential(nn.Flatten(2), nn.Conv1d(3, 8, 5, 2, 1), nn.BatchNorm1d(8), nn.ReLU()),
    "3-d": lambda: nn.Sequential(nn.Unflatten(1, (1, 3)), nn.Conv3d(1, 4, 3, 1, 1), nn.BatchNorm3d(4)),
    "encoder layer": lambda: Tokens(nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)),
    "decoder layer": lambda: function_of_two(nn.TransformerDecoderLayer(32, 4, 64, batch_first=True)),
    "lstm": lambda: Tokens(nn.LSTM(32, 8, num_layers=2, bidirectional=True, batch_first=True)),
    "gru": lambda: Tokens(nn.GRU(32, 8, batch_first=True)),
    "weight norm": lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 8, 3)),
    "old weight norm": lambda: nn.utils.weight_norm(nn.Conv2d(3, 8, 3)),
    "low rank": LowRank,
    "einsum": lambda: function(lambda x: torch.einsum("nchw,ndhw->ncd", x, x)),
    "added products": lambda: function(lambda x: torch.baddbmm(x[0], x[0], x[0])),
    "instance and group norms": lambda: nn.Sequential(
        nn.InstanceNorm2d(3, affine=True), nn.Conv2d(3, 8, 1), nn.GroupNorm(2, 8), nn.LayerNorm(32), nn.PReLU(8)
    ),
}


def function_of_two(decoder):
    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens = Tokens(nn.Identity())
            self.decoder = decoder

        def forward(self, x):
            tokens = self.tokens(x)
            return self.decoder(tokens, tokens)

    return Decoder()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", MODULES)
def test_equals_torchs_counter(name):
    module = MODULES[name]()
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        MODULES[name]().eval()(torch.empty(1, 3, 32, 32))
    traced = trace(module, (3, 32, 32))
    assert 2 * macs(traced) == counter.get_total_flops() > 0
    assert params(traced) == sum(p.numel() for p in module.parameters())
    assert traced.unknown == {}


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (lambda x: x[0, 0] @ x[0, 1, 0], 32 * 32),
        (lambda x: x[0, 0, 0] @ x[0, 0, 1], 32),
        (lambda x: torch.addmv(x[0, 0, 0], x[0, 0], x[0, 0, 1]), 32 * 32),
        (lambda x: torch.addbmm(x[0, 0], x[0], x[0]), 3 * 32**3),
        (lambda x: torch.vdot(x[0, 0, 0], x[0, 0, 1]), 32),
    ],
)
def test_products_of_vectors_which_torchs_counter_leaves_out(run, expected):
    traced = trace(function(run), (3, 32, 32))
    assert macs(traced) == expected and traced.unknown == {}


# --- what becomes of every operator ---


def test_every_listed_operator_exists_and_has_one_reason():
    listed = [name for names in LISTED.values() for name in names.split()]
    assert len(listed) == len(set(listed)) == len(REASONS)
    for name in (*listed, *MULTIPLIES, *KINDS):
        assert hasattr(torch.ops.aten, name) or hasattr(torch.ops.aten, f"{name}_"), name
    assert not set(MULTIPLIES) & (set(REASONS) | set(KINDS))


class Counting(TorchDispatchMode):
    """What torch dispatches, counted by nothing of ours."""

    def __init__(self):
        super().__init__()
        self.calls = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.calls[func.overloadpacket.__name__.rstrip("_")] += 1
        return func(*args, **(kwargs or {}))


AUDITED = ["u-net", "inverted residual", "lstm", "instance and group norms", "weight norm", "1-d", "3-d", "einsum"]


@pytest.mark.parametrize("name", AUDITED)
def test_every_dispatched_operation_has_one_verdict(name):
    with torch.device("meta"), torch.no_grad(), Counting() as counting:
        module, image = MODULES[name]().eval(), torch.empty(1, 3, 32, 32)
        counting.calls.clear()
        module(image)
    traced = trace(module, (3, 32, 32))
    found = Counter({op.name.removeprefix("aten."): op.calls for op in traced.operators})
    for count in (found, counting.calls):
        count.pop("detach", None)  # torch detaches what a factory made when somebody else, here the trace, holds it too
    assert found == counting.calls
    assert all(op.verdict in (COUNTED, ZERO) and op.reason for op in traced.operators)
    counted = sum(op.calls for op in traced.operators if op.verdict == COUNTED)
    assert counted == sum("macs" in call.counts for call in calls(traced.root))


def test_unknown_operators_are_listed_and_stand_in_the_tree():
    traced = trace(function(lambda x: torch.fft.fft2(x).abs() + torch.linalg.inv(x)), MAP)
    assert traced.unknown == {"aten._fft_c2c": 1, "aten.linalg_inv_ex": 1}
    assert set(traced.unknown) <= set(kinds(traced))
    assert {op.name for op in traced.operators if op.verdict == UNKNOWN} == set(traced.unknown)


def test_an_operator_of_another_library_is_unknown():
    @torch.library.custom_op("explorer_tests::double", mutates_args=())
    def double(x: torch.Tensor) -> torch.Tensor:
        return 2 * x

    double.register_fake(torch.empty_like)
    assert trace(function(double), MAP).unknown == {"explorer_tests.double": 1}


@pytest.mark.parametrize(
    ("run", "kind", "counts"),
    [
        (F.relu, "relu", {}),
        (lambda x: x.clone().relu_(), "relu", {}),
        (F.gelu, "aten.gelu", {}),
        (lambda x: x + 1, "aten.add", {}),
        (lambda x: x + x, "add", {"inputs": 2 * 16 * 1024}),
        (lambda x: torch.cat([x, x], 1), "concat", {"copied": 2 * 16 * 1024}),
        (lambda x: torch.stack([x, x]), "concat", {"copied": 2 * 16 * 1024}),
        (lambda x: F.pad(x, (0, 0, 0, 0, 0, 4)), "pad", {"copied": 20 * 1024}),
        (lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect"), "pad", {"copied": 16 * 34 * 34}),
        (lambda x: x[:, 4:6], "slice", {"inputs": 2 * 1024, "copied": 0}),
        (lambda x: x.flatten(1), "flatten", {}),
        (lambda x: x.roll(1, 2), "aten.roll", {"copied": 16 * 1024}),
        (lambda x: F.interpolate(x, scale_factor=2), "upsample", {"copied": 64 * 1024}),
        (lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"), "upsample", {"copied": 0}),
        (lambda x: F.max_pool2d(x, 3, 2, 1), "maxpool", {"windows": 9 * 16 * 256}),
        (lambda x: F.avg_pool2d(x, 2), "avgpool", {"windows": 4 * 16 * 256}),
        (lambda x: F.adaptive_avg_pool2d(x, (3, 5)), "avgpool", {"windows": 16 * (11 + 12 + 11) * (7 + 7 + 8 + 7 + 7)}),
        (lambda x: F.adaptive_max_pool2d(x, 4), "maxpool", {"windows": 16 * 1024}),
        (lambda x: F.adaptive_avg_pool2d(x, 1), "gap", {"windows": 16 * 1024}),
        (lambda x: x.mean((2, 3)), "gap", {"windows": 16 * 1024}),
        (lambda x: x.mean(1), "aten.mean", {"windows": 0}),
        (lambda x: x.softmax(1), "aten._softmax", {}),
        (lambda x: F.layer_norm(x, (32,)), "norm", {}),
    ],
)
def test_kinds_and_counts(run, kind, counts):
    call = list(calls(trace(function(run), MAP).root))[-1]
    assert call.kind == kind
    assert {column: call.counts.get(column, 0) for column in counts} == counts


@pytest.mark.parametrize(
    ("size", "batch", "first", "expected"),
    [
        ((1, 8, 4, 4), 1, False, (8, 4, 4)),
        ((2, 8), 2, False, (8, 1, 1)),
        ((2, 197, 192), 2, False, (192, 197, 1)),
        ((2, 192, 197), 2, True, (192, 197, 1)),
        ((1, 4, 5, 6, 7), 1, False, (4, 5, 42)),
        ((32, 49, 96), 2, False, (16, 49, 96)),  # windows: the batch is folded into the first side
        ((), 1, False, (1, 1, 1)),
    ],
)
def test_shapes_of_one_image(size, batch, first, expected):
    assert image_shape(size, batch, first) == expected
    assert math.prod(expected) * batch == math.prod(size) or not size


# --- parameters ---


class Half(nn.Module):
    """Uses some of its parameters, one twice, and one that is another's."""

    def __init__(self):
        super().__init__()
        self.used, self.idle = nn.Conv2d(16, 4, 1), nn.Linear(4, 7)
        self.tied = nn.Conv2d(16, 4, 1, bias=False)
        self.tied.weight = self.used.weight
        self.scale = nn.Parameter(torch.ones(4, 1, 1))
        self.other = [nn.Conv2d(4, 4, 1)]

    def forward(self, x):
        return self.other[0](self.used(x) + self.scale * self.tied(x))


def test_parameters_are_counted_once_and_unused_ones_are_named():
    module = Half()
    traced = trace(module, MAP)
    assert params(traced) == sum(p.numel() for p in module.parameters())
    assert traced.unused == {"idle.weight": 28, "idle.bias": 7}
    assert traced.notes == ("2 parameters that the module does not own are read: 20 elements, not in params",)
    sources = [call.attrs["name"] for call in calls(traced.root) if call.kind == "parameter"]
    assert sources == ["scale", "idle.weight", "idle.bias"]


def test_columns_of_parameters():
    traced = trace(nn.Sequential(nn.Conv2d(16, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(7200, 10)), MAP)
    assert (total(traced, "weights"), total(traced, "biases"), total(traced, "norms")) == (1152 + 72_000, 18, 16)
    assert total(traced, "bias_adds") == 8 * 900 + 10


# --- values ---


class Branch(nn.Module):
    def __init__(self, ask):
        super().__init__()
        self.conv, self.ask = nn.Conv2d(16, 16, 1, bias=False), ask

    def forward(self, x):
        return self.conv(x) if self.ask(x) else self.conv(self.conv(x))


ASKS = {
    "item": lambda x: x.sum().item() < 1e9,
    "bool": lambda x: (x < 1e9).all(),
    "tolist": lambda x: x.flatten().tolist()[0] < 1e9,
    "numpy": lambda x: x.numpy().max() < 1e9,
    "mask": lambda x: len(x[x < 1e9]) > 0,
    "nonzero": lambda x: len(x.nonzero()) > 0,
}


@pytest.mark.parametrize("way", ASKS)
def test_a_module_that_asks_for_values_is_run_on_the_cpu(way):
    traced = trace(Branch(ASKS[way]), MAP)
    assert macs(traced) == 16 * 16 * 1024 and traced.unknown == {}
    (note,) = traced.notes
    assert note.startswith("run on the CPU with random numbers") and "test_trace.py:" in note


def test_without_weights_it_cannot_be():
    with torch.device("meta"):
        module = Branch(ASKS["item"])
    with pytest.raises(UserError, match=r"the module asks for values of tensors \(test_trace.py:\d+\)"):
        trace(module, MAP)


def test_tensors_made_inside_and_constants_from_outside():
    constant = torch.arange(16.0)[:, None, None]

    def run(x):
        y = torch.zeros(1, 16, 32, 32, device="cpu") + x.new_ones(1) + torch.tensor([1.0, 2.0]).sum()
        return x * y * constant.to(x.device) + torch.linspace(0, 1, 32)

    traced = trace(function(run), MAP)
    assert kinds(traced) == ["aten.mul", "aten.mul", "aten.add"] and traced.notes == ()


def test_inference_mode_inside():
    class Frozen(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(16, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU())

        def forward(self, x):
            with torch.inference_mode():
                return self.body(x)

    assert kinds(trace(Frozen(), MAP)) == ["conv", "bn", "relu"]


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Conv2d(4, 4, 1), r"fails on an input of 16x32x32: RuntimeError: .*but got 16 channels instead; --input"),
        (nn.Bilinear(3, 3, 3), "forward takes one tensor of images"),
        (nn.LazyConv2d(4, 1), "'weight' has no size yet"),
    ],
)
def test_what_cannot_run_is_explained(module, message):
    with pytest.raises(UserError, match=message):
        trace(module, MAP)
