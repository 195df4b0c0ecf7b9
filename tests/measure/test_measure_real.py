"""Real processes on this machine: small networks from the first question to the result."""

import json
import math
import os
import sys
from contextlib import closing
from dataclasses import asdict

import pytest
import torch

import explorer
from explorer.analysis.memory import memory
from explorer.measure import MemoryUse, Setting, largest_batch, measure
from explorer.measure.available import available_bytes
from explorer.measure.process import WORKER, start

SMALL, WIDE = "cifar_resnet(n=1, widths=[4,8,8])", "cifar_resnet(n=1, widths=[24,48,48])"
MB = 10**6

gpu = pytest.mark.gpu
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
linux = pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are Linux's")


def limited(megabytes):
    """A worker that may not take more memory."""
    return ("bash", "-c", f'ulimit -d {megabytes * 1000}; exec "$@"', "bash", *WORKER)


@pytest.fixture(scope="module")
def two():
    return measure([SMALL, WIDE], Setting(batch=4), depth=1)


def test_two_networks_side_by_side(two):
    for found in two:
        assert found.outcome == "ok" and found.reason is None
        assert found.latency.samples >= 50 and found.latency.rounds >= 10 and found.latency.interleaved
        assert 0 < found.latency.q1_ms <= found.latency.median_ms <= found.latency.q3_ms <= found.latency.p95_ms
        assert found.latency.images_per_s == pytest.approx(4e3 / found.latency.median_ms)
        assert json.loads(json.dumps(found.as_dict()))["setting"]["layers"] == "balanced"
    small, wide = two
    assert small.ratio is None and wide.ratio.median > 1.5  # 36 times the multiply-adds
    assert wide.ratio.of == ("cpu" if wide.latency.cpu_ms else "wall")


def test_memory_is_split_and_near_the_prediction(two):
    for found in two:
        use, predicted = found.memory, memory(explorer.expand(found.network), 4)
        parts = (use.parameters, use.buffers, use.optimizer, use.image, use.gradients, use.activations, use.temporaries)
        assert sum(parts) == use.tensors_bytes == pytest.approx(predicted.peak, rel=2e-3)
        assert use.saved_bytes == predicted.saved
        assert use.peak_bytes - use.tensors_bytes == use.workspace or use.workspace == 0
        assert use.reserved_bytes is None
        assert use.inference_peak_bytes > 0
    assert two[0].memory.peak_bytes < two[1].memory.peak_bytes < two[1].memory.tensors_bytes + 40 * MB


def test_what_a_number_was_measured_with_stands_beside_it(two):
    found = two[0].environment
    assert found["torch"] == torch.__version__ and found["device"] == "cpu" and found["device_name"]
    assert found["flags"]["freed_memory_kept"] in (True, False)
    assert {"driver", "clocks", "revision", "threads", "cuda", "cudnn"} <= set(found)


def test_parts_of_a_measured_network(two):
    parts = two[0].parts
    names = [child["name"] for child in parts["tree"]["children"]]
    assert names == [child["name"] for child in explorer.cost(SMALL).tree(1)["children"]]
    step = sum(parts["tree"][k] for k in ("forward_ms", "backward_ms")) + parts["loss_ms"] + parts["update_ms"]
    assert math.isfinite(step) and step > 0


@linux
def test_the_memory_of_a_module_that_is_known(tmp_path):
    """67.1 MB of weights, as much of gradients and momentum; nothing else is large."""
    (tmp_path / "big.py").write_text(
        "from torch import nn\ndef big(): return nn.Sequential(nn.Flatten(), nn.Linear(4096, 4096))\n"
    )
    setting = Setting(batch=4, input=(1, 64, 64))
    process, _ = start(setting)
    with closing(process):
        use = MemoryUse(**process.ask("memory", setting=setting.as_dict(), text=f"{tmp_path}/big.py:big"))
    weights = 4 * 4097 * 4096
    assert use.parameters == use.gradients == use.optimizer == weights
    assert -MB < use.peak_bytes - 3 * weights < 9 * MB
    assert -MB < use.inference_peak_bytes - weights < 9 * MB


@linux
def test_what_does_not_fit_is_a_result():
    (found,) = measure([SMALL], Setting(batch=200_000), worker=limited(1500))
    assert found.outcome == "out of memory" and "allocate" in found.reason
    assert found.memory is None and found.latency is None and found.setting.batch == 200_000


@linux
def test_available_memory_is_what_the_system_and_limits_leave(monkeypatch, tmp_path):
    everything = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    before = available_bytes(Setting())
    assert 0 < before < everything
    group = tmp_path / "memory"
    group.mkdir()
    (group / "memory.limit_in_bytes").write_text("100000000\n")
    (group / "memory.usage_in_bytes").write_text("60000000\n")
    (group / "memory.stat").write_text("cache 20000000\ntotal_inactive_file 10000000\n")
    monkeypatch.setattr("explorer.measure.available._groups", lambda: [group])
    assert available_bytes(Setting()) == int(0.95 * 50_000_000)
    (group / "memory.max").write_text("max\n")
    (group / "memory.current").write_text("1\n")
    assert available_bytes(Setting()) == int(0.95 * 50_000_000)
    (group / "memory.max").write_text("30000001\n")
    assert available_bytes(Setting()) == int(0.95 * 30_000_000)


@pytest.mark.slow
@linux
def test_the_largest_batch_within_a_limit():
    found = largest_batch(SMALL, Setting(mode="infer"), worker=limited(1200))
    assert found.batch is not None and found.refused.outcome == "out of memory"
    assert found.batch < found.refused.batch <= found.batch + max(1, found.batch // 32)
    each = memory(explorer.expand(SMALL), found.batch, "infer").peak
    assert 300 * MB < each < 1200 * MB  # beside what torch itself takes, and what convolutions do
    process, _ = start(Setting(mode="infer"), limited(1200))
    with closing(process):
        assert process.ask("memory", setting=asdict(Setting(mode="infer", batch=found.batch)), text=SMALL)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["train", "infer"])
def test_a_compiled_network(mode):
    (found,) = measure([SMALL], Setting(batch=4, mode=mode, compile=True), depth=1)
    assert found.outcome in ("ok", "failed")  # without a compiler it fails, and says so
    if found.outcome == "failed":
        assert found.reason.startswith("torch.compile failed")
        return
    assert found.memory.activations is None and found.memory.peak_bytes < 100 * MB and found.parts is None


@pytest.mark.slow
def test_without_a_compiler_it_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("CXX", str(tmp_path / "no-such-compiler"))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    (found,) = measure([SMALL], Setting(mode="infer", compile=True))
    assert found.outcome == "failed" and found.reason.startswith("torch.compile failed")


# --- on a GPU ---


@gpu
@needs_gpu
@pytest.mark.parametrize("options", [{}, {"mode": "infer"}, {"dtype": "bf16", "channels_last": True}])
def test_on_a_gpu(options):
    found, other = measure([SMALL, WIDE], Setting("cuda", batch=32, **options), depth=2)
    assert found.outcome == other.outcome == "ok"
    assert found.memory.peak_bytes >= found.memory.tensors_bytes > 0 and found.memory.reserved_bytes > 0
    assert found.latency.cpu_ms is None and found.latency.samples >= 50 and other.ratio.of == "wall"
    assert found.parts["tree"]["forward_ms"] > 0
    assert found.environment["driver"] and found.environment["cudnn"]
    if not options:
        predicted = memory(explorer.expand(WIDE), 32, device="cuda").peak
        assert other.memory.tensors_bytes == pytest.approx(predicted, rel=0.03)


@gpu
@needs_gpu
def test_a_batch_that_does_not_fit_on_a_gpu():
    lost, found = measure([SMALL, SMALL], [Setting("cuda", batch=2**22), Setting("cuda", batch=4)])
    assert lost.outcome == "out of memory" and found.outcome == "ok"


@gpu
@needs_gpu
def test_the_largest_batch_of_a_gpu():
    found = largest_batch(WIDE, Setting("cuda"))
    assert found.batch > 1000 and found.refused.outcome == "out of memory"
