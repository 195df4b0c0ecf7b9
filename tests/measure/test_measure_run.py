"""The driver with workers that pretend: who is asked what when, and what becomes of those that are lost."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import explorer
from explorer.analysis.memory import memory
from explorer.errors import UserError
from explorer.measure import Interrupted, Setting, check, largest_batch, measure
from explorer.measure.largest import MOST, predicted_batch, search

FAKE = (sys.executable, "-P", str(Path(__file__).parent / "fake_worker.py"))
A, B = "resnet20", "resnet32"


@pytest.fixture
def fake(monkeypatch, tmp_path):
    """Sets what networks do; returns what was asked."""
    log = tmp_path / "log"
    monkeypatch.setenv("FAKE_LOG", str(log))

    def behave(**networks):
        monkeypatch.setenv("FAKE", json.dumps(networks))
        return lambda: [json.loads(line) for line in log.read_text().splitlines()]

    return behave


def run(nets, **options):
    return measure(nets, options.pop("setting", Setting(batch=4)), worker=FAKE, **options)


def alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_networks_take_turns_in_processes_of_their_own(fake):
    asked = fake(**{A: {"ms": 10, "steps": 5}, B: {"ms": 25, "steps": 2}})
    first, second = run([A, B])
    turns = [net for question, net, *_ in asked() if question == "turn"]
    assert turns == [A, B] * 25  # 50 samples of B
    assert len({process for _, _, process, _ in asked()}) == 2
    questions = [question for question, *_ in asked()]
    assert max(i for i, q in enumerate(questions) if q == "memory") < questions.index("prepare")
    assert (first.latency.samples, first.latency.rounds) == (125, 25)
    assert (second.latency.samples, second.latency.rounds) == (50, 25)
    assert first.latency.interleaved and second.latency.interleaved
    assert first.ratio is None
    # both are slower in the same rounds: the ratio of medians would not see that they are alike
    assert second.ratio.median == pytest.approx(2.5, rel=0.01) and second.ratio.rounds == 25
    assert second.ratio.q3 - second.ratio.q1 < 0.01
    assert second.latency.spread > 0.3 and any("quartiles" in note for note in second.notes)
    assert not any(alive(process) for _, _, process, _ in asked())


def test_the_ratio_is_per_image(fake):
    fake(**{A: {"ms": 10}, B: {"ms": 20}})
    _, second = measure([A, B], [Setting(batch=4), Setting(batch=16)], worker=FAKE)
    assert second.ratio.median == pytest.approx(0.5, rel=0.01)


def test_a_slow_network_gives_fewer_samples_and_says_so(fake):
    fake(**{A: {"ms": 20_000.0, "steps": 1}, B: {"ms": 1.0}})
    slow, quick = run([A, B])
    assert slow.latency.samples == 3 and any("3 samples" in note for note in slow.notes)  # 20 + 40 + 60 s
    assert quick.latency.samples == 50 and quick.outcome == "ok"


LOST = {  # a network, what it is asked when it is lost, and how: its outcome, and words of the reason
    "resnet32": ("memory", "SIGKILL", "out of memory", "most likely for want of memory"),
    "resnet56": ("turn", "SIGSEGV", "failed", "SIGSEGV"),
    "resnet110": ("memory", "aborted", "out of memory", "bad_alloc"),
    "gunn15": ("memory", "out of memory", "out of memory", "asked for too much"),
    "sunn15": ("turn", "failed", "failed", "boom"),
}


def test_who_is_lost_is_lost_alone(fake):
    asked = fake(**{net: {question: how} for net, (question, how, *_) in LOST.items()})
    first, *lost, last = run([A, *LOST, "resnet18"])
    for measurement in (first, last):
        assert measurement.outcome == "ok" and measurement.latency.samples == 50
    assert last.ratio is not None
    for measurement, (question, _, outcome, words) in zip(lost, LOST.values(), strict=True):
        assert measurement.outcome == outcome and words in measurement.reason
        assert measurement.latency is None and measurement.ratio is None
        assert (measurement.memory is None) == (question == "memory")
        assert measurement.environment == {"device": "fake"} and json.dumps(measurement.as_dict())
    assert not any(alive(process) for _, _, process, _ in asked())


def test_without_the_first_there_is_no_ratio(fake):
    fake(**{A: {"memory": "failed"}})
    assert run([A, B])[1].ratio is None


def test_networks_that_do_not_fit_beside_each_other_are_measured_alone(fake):
    asked = fake(**{A: {"peak": 40_000_000, "ms": 10}, B: {"peak": 40_000_000, "ms": 30}})
    first, second = run([A, B])
    assert [net for question, net, *_ in asked() if question == "turn"] == [A] * 10 + [B] * 10
    assert [keep for question, *_, keep in asked() if question == "prepare"] == [True, True]
    for measurement in (first, second):
        assert not measurement.latency.interleaved and any("by itself" in note for note in measurement.notes)
    assert second.ratio.median == pytest.approx(3) and second.ratio.q1 is None


def test_what_fits_alone_only_is_tried_again_alone(fake):
    """And at last with freed memory given back."""
    asked = fake(**{B: {"needs all memory": True, "ms": 20}})
    first, second = run([A, B])
    assert first.outcome == second.outcome == "ok"
    tried = [(net, keep) for question, net, _, keep in asked() if question == "prepare"]
    assert tried == [(A, True), (B, True), (B, True), (B, False)]
    assert second.ratio.median == pytest.approx(2) and second.ratio.q1 is None
    assert ["by itself" in second.notes[0], "given back" in second.notes[1]] == [True, True]
    (alone,) = run([B])
    assert alone.outcome == "ok" and "given back" in alone.notes[0]


def test_parts_are_asked_for_when_wanted(fake):
    asked = fake()
    assert run([A], depth=2)[0].parts == {"tree": {}, "depth": 2}
    assert run([A])[0].parts is None
    assert sum(question == "parts" for question, *_ in asked()) == 1


def test_an_unstable_warm_up_is_told(fake):
    fake(**{A: {"stable": False}})
    assert any("not become stable" in note for note in run([A])[0].notes)


def test_interrupted_it_keeps_what_is_measured_and_leaves_no_process(fake):
    asked = fake(**{A: {"ms": 10}})

    def progress(fraction, words):
        if fraction > 0.7:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as stopped:
        run([A, B], progress=progress)
    first, second = stopped.value.measurements
    assert first.outcome == second.outcome == "interrupted"
    assert first.memory is not None and first.latency.samples >= 20
    assert not any(alive(process) for _, _, process, _ in asked())


def test_ctrl_c_while_a_worker_hangs(fake):
    asked = fake(**{A: {"turn": "hangs"}})
    code = f"""
from explorer.measure import *
try: measure([{A!r}], Setting(), worker={FAKE!r})
except Interrupted as stopped: print(stopped.measurements[0].outcome)
"""
    driver = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 20
    while not any(question == "turn" for question, *_ in asked_so_far(asked)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    driver.send_signal(signal.SIGINT)
    assert driver.communicate(timeout=10)[0] == "interrupted\n"
    assert not any(alive(process) for _, _, process, _ in asked())


def asked_so_far(asked):
    try:
        return asked()
    except (FileNotFoundError, json.JSONDecodeError):
        return []


def test_a_worker_ends_with_its_driver(fake):
    asked = fake()
    worker = subprocess.Popen(FAKE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    worker.stdin.write('{"ask": "environment"}\n')
    worker.stdin.flush()
    assert json.loads(worker.stdout.readline()) == {"answer": {"device": "fake"}}
    worker.stdin.close()
    assert worker.wait(timeout=10) == 0 and asked()
    worker.stdout.close()


def test_bad_input_is_told_before_anything_runs(fake, monkeypatch):
    asked = fake()
    for nets, setting, words in (
        ([A, "resnet2O"], Setting(), "resnet2O"),
        ([], Setting(), "0 networks"),
        ([A], [Setting(), Setting()], "1 networks"),
        (["timm:resnet18"], Setting(classes=10), "number of classes"),
    ):
        with pytest.raises(UserError, match=words):
            measure(nets, setting, worker=FAKE)
    with pytest.raises(FileNotFoundError):
        asked()
    monkeypatch.setenv("FAKE_REFUSAL", "there is no device cuda here; there is cpu")
    for action in (
        lambda: run([A, B]),
        lambda: check(Setting(), FAKE),
        lambda: largest_batch(A, Setting(), worker=FAKE),
    ):
        with pytest.raises(UserError, match="no device cuda"):
            action()
    assert {question for question, *_ in asked()} == {"begin"}


@pytest.mark.parametrize("wrong", [{"device": "gpu"}, {"mode": "training"}, {"dtype": "fp8"}, {"layers": "fast"},
                                   {"batch": 0}, {"device": "cuda:x"}])  # fmt: skip
def test_settings_are_checked(wrong):
    with pytest.raises(UserError):
        Setting(**wrong)


def test_settings_travel():
    setting = Setting("cuda:1", 3, "infer", "bf16", True, True, "lean", (1, 2, 3), 7)
    assert Setting.of(json.loads(json.dumps(setting.as_dict()))) == setting


def test_the_largest_batch_is_one_that_ran(fake):
    asked = fake(**{A: {"largest": 58}})
    found = largest_batch(A, Setting(), worker=FAKE)
    assert found.batch == 58
    assert found.refused.batch == 59 and found.refused.outcome == "out of memory"
    assert next(t for t in found.trials if t.batch == 58).outcome == "ok"
    assert len({process for question, _, process, _ in asked() if question == "fits"}) == len(found.trials) <= 8
    assert json.dumps(found.as_dict())


@given(st.integers(0, 3000), st.integers(0, 4000))
def test_the_search_is_right_whatever_fits(largest, guess):
    tried = []
    found = search(lambda batch: tried.append(batch) or batch <= largest, guess)
    if largest == 0:
        assert found is None and 1 in tried
    else:
        assert found in tried and largest - largest // 64 <= found <= largest
        assert min(batch for batch in tried if batch > largest) <= found + max(1, found // 64)
    assert len(set(tried)) == len(tried) <= 30


def test_memory_without_end_is_searched_to_an_end():
    assert search(lambda batch: True, 8) == MOST


def test_the_search_begins_at_what_is_predicted_to_fit():
    graph = explorer.expand(A)
    for setting in (Setting(mode="train"), Setting(mode="infer"), Setting(mode="infer", dtype="bf16")):
        batch = predicted_batch(graph, setting, 10**9)
        element = 2 if setting.dtype == "bf16" else 4
        assert (
            memory(graph, batch, setting.mode, element).peak
            <= 10**9
            < memory(graph, batch + 2, setting.mode, element).peak
        )


def test_where_not_even_one_image_fits(fake):
    fake(**{A: {"largest": 0}})
    found = largest_batch(A, Setting(), worker=FAKE)
    assert found.batch is None and found.refused.batch == 1
