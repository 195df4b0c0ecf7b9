"""What a worker does, in this process: networks under settings, storages followed, parts, clocks, what is refused."""

import json
import time
from dataclasses import asdict

import pytest
import torch
from allocations import saved_bytes

import explorer
from explorer.analysis.memory import memory
from explorer.errors import UserError
from explorer.measure.answers import Answers, explained, refusal
from explorer.measure.live import LiveBytes
from explorer.measure.memory import followed
from explorer.measure.network import Network
from explorer.measure.parts import parts_of
from explorer.measure.setting import Setting
from explorer.measure.timing import Clock

SMALL = "cifar_resnet(n=1, widths=[4,8,8])"
GUNN = (
    "network g { input 16x8x8\n first: conv(3x3, 16), bn\n fold: update(4) { add { part | bottleneck_update(2) } }\n"
    "head: gap, linear(10) }"
)
DEEP = "network d { input 3x8x8\n a: conv(3x3, 4), auxiliary(0.5) { gap, linear(2) }, relu\n b: gap, linear(2) }"


def spin(seconds):
    """This thread's own time."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def network(text, **options):
    made = Network(text, Setting(**{"batch": 3, "layers": "reference"} | options))
    made.run()
    return made


@pytest.mark.parametrize("net", [SMALL, f"{SMALL} + mssar(1,2)", "densenet(depth=10, k=4)", "dsn"])
@pytest.mark.parametrize("mode", ["train", "infer"])
def test_followed_storages_are_those_that_are_predicted(net, mode):
    found = followed(network(net, mode=mode))
    predicted = memory(explorer.expand(net), 3, mode)
    assert found["tensors_bytes"] == pytest.approx(predicted.peak, rel=2e-3)
    kinds = ("parameters", "buffers", "optimizer", "image", "gradients", "activations", "temporaries")
    assert sum(found[kind] for kind in kinds) == found["tensors_bytes"]
    for kind in kinds[:4]:
        assert found[kind] == getattr(predicted, kind)
    assert found["saved_bytes"] == (predicted.saved if mode == "train" else None)


@pytest.mark.parametrize("layers", ["balanced", "lean"])
def test_what_substitutes_keep_is_seen(layers):
    """Inside their own autograd functions, against hooks that know nothing of ours."""
    made = network(GUNN, layers=layers)
    reference = network(GUNN)
    found, plain = followed(made), followed(reference)
    loss = 3 * 10 * 4 + 3 * 8 + 4  # log-probabilities, labels, total weight: not the module's
    assert found["saved_bytes"] == saved_bytes(made.module, made.image)
    assert found["saved_bytes"] < plain["saved_bytes"] - loss
    assert found["tensors_bytes"] < plain["tensors_bytes"]


def test_a_cuda_block_is_512_bytes():
    live = LiveBytes("cpu", 512)
    live.hold([torch.zeros(1), torch.zeros(128), torch.zeros(129)], "parameters")
    assert live.bytes["parameters"] == 0, "freed at once"
    kept = [torch.zeros(1), torch.zeros(128), torch.zeros(129)]
    live.hold([*kept, kept[2][:5]], "parameters")
    assert live.bytes["parameters"] == 512 + 512 + 1024 == live.now
    live.hold([torch.zeros(1, device="meta")], "parameters")
    assert live.now == 2048


@pytest.mark.parametrize("options", [
    {"dtype": "bf16"}, {"dtype": "fp16"}, {"channels_last": True}, {"layers": "lean"},
    {"mode": "infer", "dtype": "bf16"}, {"mode": "infer", "dtype": "fp16", "channels_last": True},
])  # fmt: skip
def test_a_step_under_every_setting(options):
    made = network(GUNN, **options)
    half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(options.get("dtype"), torch.float32)
    stored = half if options.get("mode") == "infer" else torch.float32
    assert {p.dtype for p in made.parameters()} == {stored} == {made.image.dtype}
    assert made.image.is_contiguous(memory_format=torch.channels_last) == bool(options.get("channels_last"))
    before = [p.detach().clone() for p in made.parameters()]
    made.run()
    changed = [not torch.equal(a, b) for a, b in zip(before, made.parameters(), strict=True)]
    assert all(changed) if made.setting.training else not any(changed)
    assert all(torch.isfinite(p).all() for p in made.parameters())
    if made.setting.training:
        with made._autocast():
            assert made.module(made.image).dtype is half


def test_training_counts_auxiliary_heads_and_inference_does_not():
    training, inference = network(DEEP), network(DEEP, mode="infer")
    assert len(training.forward()) == 2 and len(training.parameters()) == len(inference.parameters()) + 2
    weights = [weight for weight, _ in training.forward()]
    one, two = (torch.nn.functional.cross_entropy(made, training.labels) for _, made in training.forward())
    assert weights == [1.0, 0.5]
    assert torch.allclose(training.loss(training.forward()), one + two / 2)


def test_foreign_modules_are_built_with_values(tmp_path):
    (tmp_path / "own.py").write_text(
        "from torch import nn\nimport beside\n"
        "def flat(): return nn.Sequential(nn.Flatten(), nn.Linear(12, 3))\n"
        "class Two(nn.Linear):\n  def forward(self, x): return x, x\n"
        "def two(): return Two(2, 2)\n"
        "def none(): return nn.Flatten()\n"
    )
    (tmp_path / "beside.py").write_text("")
    made = Network(f"{tmp_path}/own.py:flat", Setting(batch=2, input=(3, 2, 2)))
    made.run()
    assert made.labels.shape == (2,) and len(made.momentum()) == 2
    made.close()
    for name, words in (("two", "makes a tuple"), ("none", "nothing to train")):
        with pytest.raises(UserError, match=words):
            Network(f"{tmp_path}/own.py:{name}", Setting(batch=2, input=(3, 2, 2))).forward()


# --- parts ---


def walk(node):
    yield node
    for child in node["children"]:
        yield from walk(child)


@pytest.mark.parametrize("net", [SMALL, GUNN, DEEP])
def test_parts_have_the_names_and_the_saved_memory_of_the_prediction(net):
    predicted = memory(explorer.expand(net), 3)
    for depth in (0, 1, 2, 9):
        ours, theirs = parts_of(network(net), depth)["tree"], predicted.tree(depth)
        assert [(n["name"], n["saved"], len(n["children"])) for n in walk(ours)] == [
            (n["name"], n["saved"], len(n["children"])) for n in walk(theirs)
        ]


def test_times_of_parts_add_up():
    found = parts_of(network(SMALL), 2)
    for node in walk(found["tree"]):
        for column in ("forward_ms", "backward_ms"):
            assert node[column] >= 0.999 * sum(child[column] for child in node["children"]) > -1
            assert node[column] > 0 or node["name"] in ("relu", "it")
    assert found["loss_ms"] > 0 and found["update_ms"] > 0


def test_a_slow_part_is_found():
    """A part that sleeps in the forward pass, and one whose backward pass does."""
    made = network("network s { input 3x8x8\n a: conv(3x3, 4)\n b: conv(3x3, 4)\n c: gap, linear(2) }")
    made.module.b.register_forward_hook(lambda module, inputs, output: busy(output))
    tree = parts_of(made, 1)["tree"]
    a, b, c = tree["children"]
    assert b["forward_ms"] > 20 > a["forward_ms"] + c["forward_ms"] + a["backward_ms"] + c["backward_ms"]
    assert b["backward_ms"] > 20


class _Busy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        spin(0.025)
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        spin(0.025)
        return gradient


def busy(x):
    return _Busy.apply(x)


def test_inference_knows_only_the_time_forward():
    found = parts_of(network(SMALL, mode="infer"), 1)
    assert found["loss_ms"] is None and found["tree"]["saved"] is None and found["tree"]["backward_ms"] is None
    assert sum(child["forward_ms"] for child in found["tree"]["children"]) <= found["tree"]["forward_ms"] + 1e-9


def test_substitutes_are_not_divided():
    tree = parts_of(network(GUNN, layers="balanced"), 9)["tree"]
    fold = tree["children"][1]
    assert fold["name"] == "fold" and fold["children"] == [] and fold["saved"] > 0 < fold["backward_ms"]
    assert len(parts_of(network(GUNN), 9)["tree"]["children"][1]["children"]) >= 4


# --- clocks ---


def test_warm_up_goes_on_until_times_agree():
    times = iter([0.08, 0.04, 0.02] + [0.005] * 1000)
    found = Clock("cpu").warm_up(lambda: spin(next(times)))
    assert found.stable and found.steps > 5 and 1 <= found.turn <= 20
    restless = iter([0.01, 0.03] * 10_000)
    found = Clock("cpu").warm_up(lambda: spin(next(restless)), seconds=0.3)
    assert found.seconds < 3


def test_a_turn_has_a_sample_for_each_step():
    calls = []
    turn = Clock("cpu").turn(lambda: calls.append(spin(0.002)), 5)
    assert len(turn.wall_ms) == 5 == len(calls) - 1  # one before
    assert all(cpu == pytest.approx(2, abs=1) for cpu in turn.cpu_ms)
    assert all(wall >= 0.9 * cpu for wall, cpu in zip(turn.wall_ms, turn.cpu_ms, strict=True))
    assert len(Clock("cpu").turn(lambda: calls.append(None), 1).wall_ms) == 1 and len(calls) == 7


# --- answers ---


def test_a_worker_answers_step_by_step():
    answers, setting = Answers(), asdict(Setting(batch=2))
    begun = answers("begin", setting=setting)
    assert begun["refused"] is None and begun["available_bytes"] > 10**6
    answers.network = Network(SMALL, Setting(batch=2))  # `prepare` would change this process's allocator
    answers.clock = Clock("cpu")
    assert len(answers("turn", count=2)["wall_ms"]) == 2
    assert answers("parts", depth=1)["tree"]["children"]
    found = answers("environment", setting=setting)
    assert found["flags"]["freed_memory_kept"] is False and found["threads"] == torch.get_num_threads()
    assert json.loads(json.dumps(found)) == found
    answers.drop()
    assert answers.network is None


def test_devices_that_are_not_there_are_refused():
    if not torch.cuda.is_available():
        assert refusal(Setting("cuda")) == "there is no device cuda here to measure on; there is cpu"
    assert "no device cuda:99" in refusal(Setting("cuda:99"))
    assert refusal(Setting("cpu", dtype="bf16")) is None and refusal(Setting("cpu", mode="infer", dtype="fp16")) is None


@pytest.mark.parametrize(("device", "index"), [("cuda", 0), ("cuda:1", 1)])
def test_what_is_measured_on_is_the_current_device(monkeypatch, device, index):
    """torch.cuda.set_device refuses 'cuda' without a number."""
    current = []
    monkeypatch.setattr("explorer.measure.answers.refusal", lambda setting: None)
    monkeypatch.setattr("explorer.measure.answers.available_bytes", lambda setting: 1)
    monkeypatch.setattr(torch._C, "_cuda_setDevice", current.append, raising=False)
    assert Answers()("begin", setting=asdict(Setting(device)))["refused"] is None
    assert current == [index]


def test_a_number_format_that_does_not_work_is_refused(monkeypatch):
    def broken(*args, **options):
        raise RuntimeError("not implemented for 'Half'")

    monkeypatch.setattr(torch.nn.Conv2d, "forward", broken)
    assert "cpu does not compute in fp16 here: RuntimeError: not implemented for 'Half'" in refusal(
        Setting(dtype="fp16")
    )


def test_errors_are_explained():
    full = RuntimeError(
        "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to "
        "allocate 30000000000 bytes. Error code 12 (Cannot allocate memory)"
    )
    outcome, reason = explained(full)
    assert outcome == "out of memory" and reason.startswith("DefaultCPUAllocator: can't allocate memory")
    cuda = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of ...")
    assert explained(cuda) == ("out of memory", "Tried to allocate 20.00 GiB. GPU 0 has a total capacity of ...")
    assert explained(MemoryError()) == ("out of memory", "MemoryError")
    assert explained(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))[0] == "failed"
