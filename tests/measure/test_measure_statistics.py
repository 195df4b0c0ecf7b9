"""Numbers from samples, against numpy."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.measure.result import latency_of, percentile_95, quartiles, ratio_of, remarks

TIMES = st.lists(st.floats(1e-3, 1e5), min_size=1, max_size=80)


@given(TIMES)
def test_quartiles_are_numpys(values):
    assert quartiles(values) == pytest.approx(tuple(np.percentile(values, [25, 50, 75])))
    assert percentile_95(values) == pytest.approx(np.percentile(values, 95))


@given(st.lists(TIMES, min_size=1, max_size=6), st.integers(1, 1000))
def test_latency_is_of_all_samples(turns, batch):
    found = latency_of(turns, [], batch, warm_up=3, stable=True, interleaved=True)
    samples = np.concatenate(turns)
    assert found.median_ms == pytest.approx(np.median(samples))
    assert (found.samples, found.rounds, found.cpu_ms) == (len(samples), len(turns), None)
    assert found.images_per_s == pytest.approx(1e3 * batch / np.median(samples))
    low, middle, high = np.percentile(samples, [25, 50, 75])
    assert found.spread == pytest.approx((high - low) / middle)
    assert json.loads(json.dumps(found.as_dict()))["spread"] == found.spread


@given(st.lists(st.tuples(TIMES, TIMES), min_size=1, max_size=10))
def test_ratios_are_of_neighbouring_turns(rounds):
    ours, first = zip(*rounds, strict=True)
    found = ratio_of(ours, first, paired=True, images=2.0, of="wall")
    ratios = [2 * np.median(a) / np.median(b) for a, b in rounds]
    assert (found.q1, found.median, found.q3) == pytest.approx(tuple(np.percentile(ratios, [25, 50, 75])))
    alone = ratio_of(ours, first, paired=False, images=2.0, of="wall")
    assert alone.median == pytest.approx(2 * np.median(np.concatenate(ours)) / np.median(np.concatenate(first)))
    assert alone.q1 is None


def test_warnings():
    steady = latency_of([[10.0] * 50], [], 1, warm_up=3, stable=True, interleaved=False)
    assert remarks(steady) == [] and remarks(None) == []
    wide = latency_of([[10.0, 12.0] * 30], [[9.0] * 60], 1, warm_up=3, stable=True, interleaved=False)
    assert wide.cpu_ms == 9 and "quartiles are 18%" in remarks(wide)[0]
