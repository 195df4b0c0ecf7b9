"""Sampled spaces: the same networks for a seed, drawn as they say; modifiers on and off; costly limits; input sizes."""

import re
from collections import Counter

import pytest

import explorer
from explorer.analysis.limits import QUANTITIES
from explorer.errors import UserError
from explorer.sweep import search
from explorer.sweep.candidates import Selection
from explorer.sweep.listing import candidates_of, list_fits, listings
from explorer.sweep.sampling import DesignSpace, check_space, family

WIDTHS = (("n", "uniform(1, 3, 1)"), ("w", "log(8, 64, 8)"), ("v", "round(w * log(1, 4), 8)"))
SPACE = DesignSpace("ratios", "cifar_resnet(n = n, widths = [w, v, 2 * v])", WIDTHS, 20, 1)


def drawn(space, selection=None):
    """The texts of a space's first candidates that fit."""
    (found,) = listings(selection or Selection(spaces=(space,)))
    return [fit.candidate.text for fit in found.fits]


def values(text):
    """n and the widths as they were drawn."""
    n, w, v = map(int, re.search(r"n = (\d+), widths = \[(\d+), (\d+), 2 \* \3\]", text).groups())
    return n, w, v


def of(how, count=4000, **more):
    """So many values of one draw."""
    space = DesignSpace("one", "wrn(16, k = k, classes = i)", (*more.items(), ("k", how), ("i", "uniform(1, 1e9, 1)")))
    return family(space, count).axes["k"]


def test_the_same_seed_draws_the_same_and_more_samples_only_add():
    first = drawn(SPACE)
    assert len(set(first)) == 20 and drawn(SPACE) == first
    more = DesignSpace(SPACE.name, SPACE.network, WIDTHS, 60, 1)
    assert drawn(more)[:20] == first
    assert set(drawn(DesignSpace("other seed", SPACE.network, WIDTHS, 20, 2))) != set(first)


def test_what_is_drawn_today_is_drawn_tomorrow():
    """Written down: a change of the generator would change what every stored space means."""
    assert drawn(SPACE)[:3] == [
        "cifar_resnet(n = 1, widths = [48, 136, 2 * 136])",
        "cifar_resnet(n = 1, widths = [16, 32, 2 * 32])",
        "cifar_resnet(n = 2, widths = [40, 48, 2 * 48])",
    ]


def test_ratios_hold():
    for n, w, v in map(values, drawn(SPACE)):
        assert 1 <= n <= 3 and w % 8 == v % 8 == 0 and 8 <= w <= 64 and w - 4 <= v <= 4 * w + 4


def test_uniform_and_log_uniform_are_as_likely_as_they_say():
    counts = Counter(of("uniform(3, 12, 3)"))
    assert counts.keys() == {3, 6, 9, 12} and all(abs(count / 1000 - 1) < 0.12 for count in counts.values())
    counts = Counter(of("log(8, 32, 8)"))
    weights = {8: 1 / 8, 16: 1 / 16, 24: 1 / 24, 32: 1 / 32}
    for value, weight in weights.items():
        assert counts[value] / 4000 == pytest.approx(weight / sum(weights.values()), abs=0.03)
    halves = sum(value <= 100 for value in of("round(log(10, 1000), 1)"))
    assert halves / 4000 == pytest.approx(0.5, abs=0.03)  # as many from 10 to 100 as from 100 to 1000
    assert Counter(of("choice(4, 4, 8)"))[4] / 4000 == pytest.approx(2 / 3, abs=0.03)


@pytest.mark.parametrize(("how", "expected"), [
    ("floor(7 / 2) + 10 % 4 - 2 * 1", {3}), ("max(2, 5, 3) * min(4, 2)", {10}), ("round(2.5, 1)", {3}),
    ("round(1, 8)", {8}), ("-(-9) // 2", {4}), ("2 * a + 1", {9, 11}), ("uniform(5, 5, 2)", {5}), ("6 / 3", {2}),
])  # fmt: skip
def test_draws_are_computed(how, expected):
    assert set(of(how, 50, **({"a": "choice(4, 5)"} if "a +" in how else {}))) == expected


def test_the_first_that_exist_and_fit_are_taken():
    """Against one candidate after the other, in the order in which they are drawn."""
    network, draws = "seqresnet(k = k, r = r)", (("k", "uniform(4, 16, 1)"), ("r", "uniform(1, 6, 1)"))
    space = DesignSpace("seq", network, draws, 6, 4, "macs <= 3e8 and k > 4")
    candidates, expected = family(space, 70), []
    for place in range(candidates.size):
        own = {name: int(column[place]) for name, column in candidates.axes.items()}
        try:
            cost = explorer.cost(candidates.candidate(own))
        except UserError:
            continue
        if cost.macs <= 3e8 and own["k"] > 4:
            expected.append(cost.network)
    assert len(expected) > 6 and drawn(space) == expected[:6]


def test_limits_may_name_what_was_drawn_and_hold_beside_the_commands():
    space = DesignSpace("limited", SPACE.network, WIDTHS, 10, 1, "v >= 2 * w")
    texts = drawn(space, Selection(where="macs <= 1e8 and n == 1", spaces=(space,)))
    assert len(texts) == 10
    for text in texts:
        n, w, v = values(text)
        assert n == 1 and v >= 2 * w and explorer.cost(text).macs <= 1e8


def test_draws_that_are_one_network_count_once():
    """Of 16 x 5 draws 9 x 3 differ."""
    draws = (("w", "uniform(1, 16, 1)"), ("v", "uniform(6, 10, 1)"))
    network = "cifar_resnet(n = 1, widths = [max(8, w), 8, max(8, v)])"
    (few,), (every,) = (
        listings(Selection(spaces=(DesignSpace("floors", network, draws, samples),))) for samples in (12, 27)
    )
    assert every.fits[:12] == few.fits and (few.fitting, every.fitting) == (12, 27)
    assert len({explorer.expand(fit.candidate.text).digest for fit in every.fits}) == 27
    drawn_in_order = [
        explorer.expand(found.candidate({name: column[place] for name, column in found.axes.items()})).digest
        for found in [family(DesignSpace("floors", network, draws, 80), 80)]
        for place in range(found.size)
    ]
    first = list(dict.fromkeys(drawn_in_order))
    assert [explorer.expand(fit.candidate.text).digest for fit in every.fits] == first
    assert few.repeated == drawn_in_order.index(first[11]) + 1 - 12
    with pytest.raises(UserError, match="of 80 different draws only 27 fit, not the 28 that are wanted; 53 repeat one"):
        listings(Selection(spaces=(DesignSpace("floors", network, draws, 28),)))


def test_networks_and_spaces_stand_side_by_side():
    networks, space = listings(Selection(("wrn(16, k=1..3)",), spaces=(SPACE,)))
    assert (networks.total, networks.space, space.space, space.fitting) == (3, None, "ratios", 20)
    chosen, _ = candidates_of(Selection(("wrn(16, k=1..3)", "resnet20"), spaces=(SPACE,)), None, None, 1)
    assert Counter(one.space for one in chosen) == {"wrn(16, k=1..3)": 3, None: 1, "ratios": 20}


WRONG = [
    ({"draws": (("k", "uniform(1, 9"),)}, "space s, draw k:1:"),
    ({"draws": (("k", "uniform(1)"),)}, "space s, draw k:1:1: write uniform(low, high) or uniform(low, high, step)"),
    ({"draws": (("k", "unifrm(1, 2)"),)}, "unknown function 'unifrm'; did you mean 'uniform'?"),
    ({"draws": (("k", "2 * j"),)}, "space s, draw k:1:5: 'j' is not drawn before"),
    ({"draws": (("k", "k + 1"),)}, "'k' is not drawn before"),
    ({"draws": (("k", "uniform(9, 1, 1)"),)}, "from 9 to 1 there is nothing"),
    ({"draws": (("k", "uniform(1, 9, 0)"),)}, "a step is above 0"),
    ({"draws": (("k", "log(0, 9, 1)"),)}, "log begins above 0"),
    ({"draws": (("k", "log(1, 9, 0.0001)"),)}, "more than 10,000 values"),
    ({"draws": (("k", "3 / (2 - 2)"),)}, "division by zero"),
    ({"draws": (("k", "1e17 * 1e17"),)}, "a value beyond"),
    ({"draws": (("k", "uniform(1, 9)"),)}, "which is no whole number; write for example round(uniform(1, 9), 1)"),
    ({"draws": (("k", "[1, 2]"),)}, "is no number"),
    ({"draws": (("k", "__import__('os')"),)}, "space s, draw k:1:12"),
    ({"draws": (("k", "3"), ("j", "4"))}, "nothing uses the draw j"),
    ({"draws": (("k", "3"), ("lambda x", "4"))}, "'lambda x' cannot be the name of a draw"),
    ({"draws": (("k", "3"), ("log", "4"))}, "'log' cannot be the name of a draw"),
    ({"draws": ()}, "0 names are drawn"),
    ({"samples": 0}, "0 is not a number of samples"),
    ({"seed": -1}, "the seed -1"),
    ({"network": "wrn(16, k=k, classes=1..3)"}, "its network has a range"),
    ({"network": "wrnn(16, k=k)"}, "unknown network 'wrnn'"),
    ({"where": "macs <= 1"}, "space s: --where: nothing fits; of 9 candidates macs <= 1 leaves out 9"),
    ({"where": "k <= 3"}, "of 9 different draws only 3 fit, not the 9 that are wanted; k <= 3 leaves out 6"),
    ({"samples": 12}, "space s: of 9 different draws only 9 fit, not the 12 that are wanted"),
    ({"network": "wrn(10 + k, k=1)"}, "only 1 fit, not the 9 that are wanted; 8 cannot exist (the number of"),
]  # fmt: skip


@pytest.mark.parametrize(("changed", "words"), WRONG, ids=[words[:40] for _, words in WRONG])
def test_what_is_no_space(changed, words):
    given = {"name": "s", "network": "wrn(16, k = k)", "draws": (("k", "uniform(1, 9, 1)"),), "samples": 9} | changed
    with pytest.raises(UserError) as error:
        space = check_space(DesignSpace(**given))
        listings(Selection(spaces=(space,)))
    assert words in str(error.value)


def test_scales_are_for_networks():
    with pytest.raises(UserError, match="--modifier: it applies to networks"):
        listings(Selection(modifiers=("se",), spaces=(SPACE,)))
    with pytest.raises(UserError, match="--scales: it applies to networks"):
        listings(Selection(scales=(1, 2), spaces=(SPACE,)))


# --- modifiers, sizes, costly quantities ---


def test_modifiers_are_put_on_and_off():
    (found,) = listings(Selection(("resnet20", "wrn(16, k=1..2)"), modifiers=("se", "wseqconv(k=4)")))
    texts = [fit.candidate.text for fit in found.fits]
    assert len(texts) == found.total == 12
    assert texts[:4] == ["resnet20", "resnet20 + se", "resnet20 + wseqconv(k = 4)", "resnet20 + se + wseqconv(k = 4)"]
    assert found.fits[3].quantities["params"] == explorer.cost("resnet20 + se + wseqconv(k=4)").params


def test_combinations_that_cannot_be_are_counted_by_reason():
    (found,) = listings(Selection(("resnet20", "nin"), modifiers=("se",)))
    assert [fit.candidate.text for fit in found.fits] == ["resnet20", "resnet20 + se", "nin"]
    ((count, reason),) = found.impossible
    assert count == 1 and reason.endswith("as in nin + se")
    with pytest.raises(UserError, match="nin"):
        listings(Selection(("nin",), modifiers=("se",)))


def test_every_input_size_is_costed():
    sizes = ((3, 32, 32), (3, 64, 64))
    (found,) = listings(Selection(("wrn(16, k=1..2)",), inputs=sizes))
    assert [(fit.candidate.text, fit.candidate.input) for fit in found.fits] == [
        (f"wrn(16, k = {k})", size) for size in sizes for k in (1, 2)
    ]
    for fit in found.fits:
        assert fit.quantities["macs"] == explorer.cost(fit.candidate.text, input=fit.candidate.input).macs


@pytest.mark.parametrize("where", [
    "train_memory <= 12MB and macs > 3e7", "infer_memory < 2MiB or launches < 10", "intensity >= 20 and k < 5",
    "bytes_moved + bytes_copied <= 9e6", "not (train_memory > 12MB) and flops <= 1e9",
])  # fmt: skip
def test_costly_limits_are_those_of_each_network_by_itself(where):
    from explorer.analysis.limits import judged, parse_limit

    limit = parse_limit(where.replace("and k < 5", ""))
    expected = []
    for k in range(1, 7):
        cost = explorer.cost(f"wrn(16, k={k})")
        if all(part.holds for part in judged(limit, cost)) and ("k < 5" not in where or k < 5):
            expected.append(f"wrn(16, k = {k})")
    assert 0 < len(expected) < 6
    found = list_fits(["wrn(16, k=1..6)"], where=where)
    assert sorted(fit.candidate.text for fit in found.fits) == expected and found.fitting == len(expected)


def test_batches_are_those_of_cost():
    (found,) = listings(Selection(("wrn(16, k=1..3)",), where="train_memory <= 100MB", batch=32))
    for fit in found.fits:
        cost = explorer.cost(fit.candidate.text, batch=32)
        assert fit.quantities["train_memory"] == cost.train_memory <= 10**8
        assert 32 * fit.quantities["macs"] == cost.macs


def test_costly_limits_come_last_and_have_a_bound(monkeypatch):
    seen = []
    monkeypatch.setattr(search, "MAX_WALKED", 3)
    with pytest.raises(
        UserError,
        match=r"--where: train_memory must be computed network by network, of at most 3; the"
        r" other limits leave 4: limit params",
    ):
        list_fits(["wrn(16, k=1..9)"], where="train_memory <= 1GB and k <= 4")  # fmt: skip
    selection = Selection(("wrn(16, k=1..9)",), where="train_memory <= 1GB and k <= 3")
    (found,) = listings(selection, watch=lambda done, total: seen.append((done, total)))
    assert found.fitting == 3 and seen == [(3, 3)]
    assert found.removed == (("train_memory <= 1,000,000,000", 0), ("k <= 3", 6))


def test_what_stands_in_the_way_of_costly_limits_is_said():
    with pytest.raises(UserError) as error:
        list_fits(["wrn(16, k=1..4)"], where="train_memory <= 1kB and k >= 2")
    for words in ("of 4 candidates train_memory <= 1000 leaves out 3, k >= 2 leaves out 1",
                  "Nearest is wrn(16, k = 2) with train_memory"):  # fmt: skip
        assert words in str(error.value)


def test_a_device_adds_its_own_quantities():
    """What is predicted for a device is one more quantity, given by whoever knows the device."""
    measures = dict(QUANTITIES) | {"latency_ms": lambda cost: cost.macs / 1e7}
    (found,) = listings(Selection(("wrn(16, k=1..4)",), where="latency_ms <= 15"), measures=measures)
    expected = [f"wrn(16, k = {k})" for k in (1, 2, 3, 4) if explorer.cost(f"wrn(16, k={k})").macs <= 15e7]
    assert sorted(fit.candidate.text for fit in found.fits) == expected
    with pytest.raises(UserError, match="unknown name 'latency_ms'"):
        list_fits(["wrn(16, k=1..4)"], where="latency_ms <= 15")
