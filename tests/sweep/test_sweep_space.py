"""The walk on a grid of parameters gives every candidate what a walk of its own gives: cost, ledger or refusal."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import explorer
from explorer.analysis.cost import cost_of
from explorer.analysis.facts import QUANTITIES
from explorer.analysis.ledger import ROWS, Row, ledger_of
from explorer.errors import UserError
from explorer.sweep import space
from explorer.sweep.ranges import families
from explorer.sweep.space import TOO_LARGE, Block, Refused, costs


def measured(graph):
    """The quantities and every count of the ledger."""
    cost, ledger = cost_of(graph), ledger_of(graph.root)
    counts = {f"{kind}.{name}": count for kind in ROWS for name, count in ledger.get(kind, Row())._asdict().items()}
    return {name: getattr(cost, name) for name in QUANTITIES} | counts


def on_the_grid(family):
    """What each candidate costs, by the values of its axes; the refusals; and how many walks that took."""
    walks, refused, found = [], [], {}

    def expand(values, learned):
        walks.append(values)
        return family.expand(values, None, None, learned)

    for item in costs(expand, family.space, measured):
        if isinstance(item, Refused):
            refused.append(item)
            continue
        assert isinstance(item, Block)
        for row in range(item.rows):
            values = {name: int(column[row]) for name, column in item.columns.items()}
            place = tuple(values.pop(name) for name in family.axes)
            assert place not in found
            found[place] = values
    return found, refused, len(walks)


def alone(family, values):
    """What one candidate costs in its own walk; None where it cannot exist."""
    try:
        return measured(explorer.expand(family.candidate(values)))
    except UserError:
        return None


def places(family):
    """The values of every candidate."""
    found = [{}]
    for name, values in family.axes.items():
        found = [{**before, name: value} for before in found for value in values]
    return found


def check(text, axes=()):
    """Compare all candidates; the number of walks on the grid."""
    (family,) = families(text, axes)
    found, refused, walks = on_the_grid(family)
    expected = {tuple(values.values()): alone(family, values) for values in places(family)}
    legal = {place: values for place, values in expected.items() if values is not None}
    assert found.keys() == legal.keys()
    for place, values in legal.items():
        wrong = {name: (found[place][name], value) for name, value in values.items() if found[place][name] != value}
        assert not wrong, (family.candidate(dict(zip(family.axes, place, strict=True))), wrong)
    assert sum(one.rows for one in refused) == len(expected) - len(legal)
    for one in refused:
        assert expected[tuple(one.example[name] for name in family.axes)] is None
    return walks


FAMILIES = {  # walks that they should need at most; a candidate by itself needs one
    "seqresnet(k=4..12..4, r=1..6, N=1..3)": 5,
    "seqresnet(k=2..6..2, r=1..3, N=[1..2, 1, 1..3], bottleneck=yes)": 8,
    "wrn(10..40..6, 1..5)": 12,
    "wrn(11..16, k=2)": 8,
    "cifar_resnet(n=1..3, widths=[4..12..4, 8..16..4, 12])": 10,
    "cifar_resnet(n=1..3, widths=[8..10, 12, 16]) + mssar(1, 2..3)": 4,
    "cifar_resnet(n=1..3, widths=[8, 12..16..2, 16]) + wseqconv(k=1..5)": 50,
    "cifar_resnet(n=1..2, widths=[8..9, 12, 16]) + gunn(parts=1..5)": 40,
    "cifar_resnet(n=2, widths=[8..9, 12, 16]) + sunn(parts=2..5) + se(ratio=1..3) on stage2": 20,
    "densenet_bc(depth=10..34, k=1..4)": 8,
    "densenet(depth=7..22..3, k=3..5, first=16..18) + mssar(1, 2)": 6,
    "densenet_bc(16, k=4..6) + mssar(1, 2, width = 2..3)": 3,
    "imagenet_gunn(widths=[40..44..2, 80, 160, 200], parts=[2..5, 8, 10..11, 8])": 12,
    "gunn15(reads=original) + mssar(1)": 2,
    "resnet20 + se(ratio=1..70)": 1,
    "vgg16(classes=2..9)": 1,
}


@pytest.mark.parametrize("text", FAMILIES)
def test_every_candidate_costs_what_it_costs_alone(text):
    assert check(text) <= FAMILIES[text]


NETWORKS = {
    "kernels, strides and pools are walked one by one": ("conv(a, b), bn, maxpool(c), relu, avgpool(2, /c)", 1),
    "a repetition that begins with another width": ("basic(12) * a, basic(2 * b) * c", 1),
    "a repetition that grows": ("{ conv(3x3, in + b), bn } * a, { concat { it | conv(1x1, b) } } * c", 1),
    "a repetition of nothing": ("{ conv(3x3, in), bn } * (a - 1), { relu } * (c - b)", 0),
    "repetitions in repetitions": ("{ basic(8) * a, { relu, conv(1x1, in) } * b } * c", 1),
    "layers that read with a floor": (
        "grow(a) { conv(3x3, max(1, in // 3)), conv(3x3, b) }, grow(c) { conv(1x1, b) }",
        1,
    ),
    "dense layers whose gates read everything": ("grow(a) { dense_layer(b) }, grow(c) { plain_dense_layer(2) }", 1),
    "layers that grow by what they read": ("grow(a) { conv(3x3, in) }, grow(c) { conv(1x1, in // 2) }", 1),
    "dense layers that read sparsely": ("grow(a, sparse) { conv(3x3, b) }", 0),
    "folds in folds": (
        "grow(a) { aggregate(4 * b, b) { group } }, aggregate(6 * c, c) { windowed(out, 1) { group } }",
        1,
    ),
    "taps": ("{ aggregate(8 * a, b) { first_group }, seq_block(b) * c, add { entry.raw | it } }", 0),
    "windows": ("conv(1x1, 6), windowed(6 * a, b) { group(yes) }, windowed(b * c, c) { conv(3x3, out), bn }", 1),
    "segments": ("update(a) { bottleneck_update(b, c) }, update(c, original) { add { part | conv(3x3, out), bn } }", 1),
    "segments that differ": (
        "update(a) { when out > b { conv(3x3, out), conv(3x3, out) } else { conv(1x1, out) } }",
        1,
    ),
    "gates": ("mssar(a, b, pool = sliding), mssar(c, width = b), multiply { it | regional(a), upsample(it) }", 1),
    "a condition": ("when a > b { conv(3x3, 8 * a) } else { when a == b or c == 1 { relu } }, conv(1x1, a - b + c)", 1),
    "what is not looked at is not refused": ("when a > 1 and 12 % (a - 1) == 0 { conv(1x1, 12 // (a - 1)) }", 0),
    "fractions": ("conv(3x3, 3 * a / 2 * b), conv(1x1, floor(0.4 * in) + floor(a / b)), linear(c)", 0),
    "lists": ("for w in [4, a, 2 * b] { stage: conv(3x3, w) }, conv(1x1, nth([3, 4, 5, 6, 7, 8], a))", 1),
    "ranges of the grammar": ("for i in range(a, a + c) { conv(1x1, b + i) }", 0),
    "errors that all have": ("conv(3x3, 8), add { it | conv(3x3, a, /2) }", 0),
    "groups": ("conv(1x1, 12), conv(3x3, 12 * a, groups = b), bottleneck(b * c, groups = c)", 1),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_structures(name, tmp_path):
    steps, legal = NETWORKS[name]
    file = tmp_path / "n.arch"
    file.write_text(f"network n(a, b, c) {{ input 3x12x12, conv(3x3, 8), bn, {steps}\n  head: gap, linear(3) }}")
    text = f"{file}(a=1..5, b=1..3, c=1..3)"
    check(text)
    (family,) = families(text)
    assert bool(on_the_grid(family)[0]) >= bool(legal)


COUNTS = st.sampled_from(["a", "b", "a + 1", "a - 1", "2 * b", "3"])
WIDTHS = st.sampled_from(["c", "2 * c", "c + a", "4 * b", "12"])
STEPS = (
    "conv(3x3, {w}), bn", "conv(1x1, {w}, bias = yes), relu", "conv(3x3, {w}, groups = {n})", "conv({n}, {w})",
    "basic({w}) * ({n})", "preact_basic({w}, 2) * ({m})", "bottleneck({w}) * ({n})", "{{ conv(3x3, in), bn }} * ({n})",
    "grow({n}) {{ dense_layer({m}) }}", "grow({n}) {{ plain_dense_layer(max(1, in // 3)) }}", "dense_transition(0.5)",
    "aggregate({w}, {n}) {{ group }}", "windowed({w}, {n}) {{ group }}", "update({n}) {{ bottleneck_update({m}) }}",
    "update({n}, original) {{ add {{ part | conv(3x3, out), bn }} }}", "mssar(1, {n})", "se({n})", "maxpool(2)",
    "when a > b {{ relu }} else {{ conv(1x1, {w}) }}", "add {{ it | conv(3x3, in) }} * ({n})", "upsample(entry)",
    "concat {{ it | conv(1x1, {w}) }} * ({m})", "mean K in [1, {n}] {{ regional(K), upsample(entry) }}", "pad({w})",
)  # fmt: skip
MODIFIERS = ("", "", " + mssar(1, width = {n})", " + wseqconv(k = {n})", " + seqconv({m})", " + gunn(parts = {n})")


@st.composite
def ranged(draw):
    """A network with parameters in random places, and the ranges of a call of it with modifiers."""

    def filled(text):
        return text.format(w=draw(WIDTHS), n=draw(COUNTS), m=draw(COUNTS))

    steps = [filled(draw(st.sampled_from(STEPS))) for _ in range(draw(st.integers(1, 4)))]
    starts = [draw(st.integers(1, 4)) for _ in "abc"]
    ranges = ", ".join(
        f"{name}={low}..{low + draw(st.integers(1, 3))}" for name, low in zip("abc", starts, strict=True)
    )
    network = "\n".join(
        ["network n(a, b, c) {", "  input 3x9x8", "  conv(3x3, c), bn", *steps, "  gap, linear(3)", "}"]
    )
    return network, f"m({ranges})", filled(draw(st.sampled_from(MODIFIERS)))


@settings(max_examples=40, deadline=None)
@given(ranged())
def test_any_network_with_ranges(tmp_path_factory, case):
    network, call, modifier = case
    file = tmp_path_factory.getbasetemp() / "ranged.arch"
    file.write_text(f"{network}\nnetwork m(a, b, c) = n(a = a, b = b, c = c){modifier}\n")
    check(f"{file}:{call}")


def test_a_million_candidates_take_seconds_on_one_core():
    (family,) = families("seqresnet(k=1..100, r=1..100, N=1..100)")
    before = time.process_time()
    found = list(costs(lambda values, learned: family.expand(values, None, None, learned), family.space))
    assert time.process_time() - before < 10
    assert sum(item.rows for item in found) == family.size == 1_000_000
    blocks = [item for item in found if isinstance(item, Block)]
    rows = sum(block.rows for block in blocks)
    assert rows > 50_000
    for block in blocks:
        middle = {name: int(column[block.rows // 2]) for name, column in block.columns.items()}
        cost = explorer.cost(family.candidate(middle))
        assert {name: getattr(cost, name) for name in QUANTITIES} == {name: middle[name] for name in QUANTITIES}


def test_counts_too_large_are_refused_by_name_and_the_others_costed():
    (family,) = families("wrn(16, k=2..20000..333)")
    found = list(costs(lambda values, learned: family.expand(values, None, None, learned), family.space))
    refused = [item for item in found if isinstance(item, Refused)]
    assert {item.reason for item in refused} == {TOO_LARGE}
    assert all(explorer.cost(family.candidate(item.example)).macs > 2**43 for item in refused)
    assert sum(item.rows for item in found) == family.size > sum(item.rows for item in refused) > 10


def test_networks_too_long_to_expand_are_refused():
    (family,) = families("cifar_resnet(n=2000..8000..3000)")
    found = list(costs(lambda values, learned: family.expand(values, None, None, learned), family.space))
    refused = sum(item.rows for item in found if isinstance(item, Refused))
    assert refused == sum(alone(family, values) is None for values in places(family)) > 0
    assert any(isinstance(item, Block) for item in found)


def test_what_differs_in_too_many_ways_is_an_error(monkeypatch):
    monkeypatch.setattr(space, "MAX_WALKS", 3)
    (family,) = families("vgg16(classes=2..9)")
    assert len(list(costs(lambda values, learned: family.expand(values, None, None, learned), family.space))) == 1
    (family,) = families("cifar_resnet(n=1..5, widths=[1..9, 8, 4..12]) + seqconv(k=2..9)")
    with pytest.raises(UserError, match="more than 3 ways"):
        list(costs(lambda values, learned: family.expand(values, None, None, learned), family.space))
