"""Ranges in networks, axes, and limits: what they mean, and what is said of those that mean nothing."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import explorer
from explorer.errors import UserError
from explorer.sweep.classes import check_classes
from explorer.sweep.ranges import families, has_ranges
from explorer.sweep.where import parse_where


def texts(text, *axes):
    """Every candidate's text."""
    found = []
    for family in families(text, axes):
        for values in itertools.product(*family.axes.values()):
            found.append(family.candidate(dict(zip(family.axes, values, strict=True))))
    return found


def test_a_range_stands_where_a_number_may():
    assert texts("wrn(depth=16, k=1..3)") == [f"wrn(depth = 16, k = {k})" for k in (1, 2, 3)]
    assert texts("wrn(16..28 ..6,k = 2)") == [f"wrn({depth}, k = 2)" for depth in (16, 22, 28)]
    assert texts("cifar_resnet(n=1, widths=[8, 2 * 4..5, 32])") == [
        f"cifar_resnet(n = 1, widths = [8, 2 * {half}, 32])" for half in (4, 5)
    ]
    assert texts("resnet20 + mssar(1, 2..3) on stage2 + wseqconv(k=4..8..4)") == [
        f"resnet20 + mssar(1, {scale}) on stage2 + wseqconv(k = {k})" for scale in (2, 3) for k in (4, 8)
    ]
    assert texts("resnext50-32x4d") == ["resnext50-32x4d"]
    assert has_ranges("wrn(1..2)") and has_ranges("wrn(1..") and not has_ranges("../a.arch(k=3)")


def test_a_file_may_hold_the_network(tmp_path):
    file = tmp_path / "mine.arch"
    file.write_text("network other(w) { input 3x8x8, conv(1x1, w) }\nnetwork n(w) = other(w = 2 * w)\n")
    assert texts(f"{file}(w=1..2)") == [f"{file}:n(w = 1)", f"{file}:n(w = 2)"]
    for text, width in zip(texts(f" {file}:other(w=3..4)"), (3, 4), strict=True):
        assert explorer.cost(text).params == 3 * width


def test_axes_give_parameters_values():
    assert texts("wrn(depth=16)", "k=1,4..6..2") == [f"wrn(depth = 16, k = {k})" for k in (1, 4, 6)]
    assert texts("wrn-16-8", "k=2") == ["wrn-16-8(k = 2)"] and explorer.cost("wrn-16-8(k = 2)").params == 691674
    assert texts("wrn(depth=16, k=8)", "k=1,2") == ["wrn(depth = 16, k = 1)", "wrn(depth = 16, k = 2)"]
    assert texts("wrn(16, 8)", "k=1,2") == ["wrn(depth = 16, k = 1)", "wrn(depth = 16, k = 2)"]
    assert texts("wrn(16, 8)", "depth=22") == ["wrn(k = 8, depth = 22)"]
    assert texts("wrn(16, 8)", "rate=0.3") == ["wrn(16, 8, rate = 0.3)"]
    assert texts("cifar_resnet(n=2)", "option=A,B", "widths=[8,8,8],[4..5,8,8]") == [
        f"cifar_resnet(n = 2, option = {option}, widths = [{width}, 8, 8])" for option in "AB" for width in (8, 4, 5)
    ]


WRONG = [
    (("seqresnet(k=8..)",), "<network>:1:14: a range is lo..hi"),
    (("seqresnet(k=..8)",), "<network>:1:13: a range is lo..hi"),
    (("seqresnet(k=a..b)",), "<network>:1:14: a range is lo..hi"),
    (("seqresnet(k=1.5..3)",), "a range is lo..hi"),
    (("seqresnet(k=32..8)",), "<network>:1:13: the range 32..8 is empty"),
    (("seqresnet(k=8..32..0)",), "<network>:1:13: the step of a range is at least 1"),
    (("seqresnet(k=8..32, k=9..33)",), "argument 'k' is given twice"),
    (("seqresnet(k=1..9999999999999999999)",), "more than 18 digits"),
    (("wrn(1..5000, 1..5000)",), "has 25,000,000 candidates; at most 10,000,000"),
    (("wrn(1..10000001)",), "a range of more than 10,000,000 values"),
    ((f"cifar_resnet(1, [{', '.join(['1..1'] * 100)}])",), "more than 99 ranges"),
    (("wrn(10..12,,1)",), "<network>:1:12: ',' is unexpected here"),
    (("network n { input 3x8x8, conv(1x1, 4..5) }",), "FILE.arch"),
    (("",), "NET is empty"),
    (("wrn(16, k=2)", "k"), "--axis: 'k' is not a parameter and its values"),
    (("wrn(16, k=2)", "k= "), "--axis: the axis k has no values; write for example k=8,16,32"),
    (("resnet20", "k=1,2"), "--axis: network 'resnet20' has no parameter 'k'; known: classes, n, option, widths"),
    (("resnet20 + se", "width=[8,8,8]"), "--axis: network 'resnet20' has no parameter 'width'; did you mean 'widths'?"),
    (("wrn(16, k=2)", "k=1,,2"), "--axis:1:5:"),
    (("wrn(16, k=2)", "k=1,2,1"), "--axis: k has the value 1 twice"),
    (("wrn(16, k=2)", "k=1,depth=2"), "--axis:1:5: an axis is one parameter"),
    (("wrn(16, k=2)", "k=5..2"), "--axis:1:3: the range 5..2 is empty"),
    (("wrn(16, k=2..3)", "k=5,6"), "--axis: k has a range in wrn(16, k=2..3) already"),
    (("wrn(16, 2..3)", "depth=16", "k=5,6"), "--axis: k has a range in wrn(16, 2..3) already"),
    (("wrn(16, k=2)", "k=5,6", "k=7..9"), "--axis: k has an axis of its own already"),
    (("cifar_resnet(n=1, option=A)", "option=A,B", "option=B"), "--axis: option has an axis of its own already"),
]


@pytest.mark.parametrize(("given", "words"), WRONG, ids=[" ".join(given)[:40] for given, _ in WRONG])
def test_what_is_no_range_or_axis(given, words):
    with pytest.raises(UserError) as error:
        families(given[0], given[1:])
    assert words in str(error.value) and "_0_" not in str(error.value)


# --- classes ---

DERIVED = """
network fixed = cifar_resnet(n = 1, classes = 20)
network open(classes = 20) = cifar_resnet(n = 1, classes = classes)
network through(c = 20) = cifar_resnet(n = 1, classes = c)
network twice = through(10)
"""


@pytest.mark.parametrize(("text", "axes", "given"), [
    ("resnet20(classes = 5 * 4)", (), "resnet20 is given 20"), ("wrn(16, 1, 1 + 1)", (), "wrn is given 2"),
    ("resnet20", ("classes=5*4",), "resnet20 is given 20"), ("resnet20(classes = 10..12)", (), "resnet20 is given 11"),
    ("wrn(16, k=1..3, classes = 5 * 2..3)", (), "wrn is given 15"), ("wrn(*[16, 1, 30])", (), "wrn is given 30"),
    ("wrn(16, 1, classes = 20 / 2..3)", (), "wrn is given 20/3"), ("wrn(16, 1, classes = 2.5)", (), "wrn is given 5/2"),
    ("wrn(16, 1, 40 // (4 * 0..1))", (), None),  # of none there is no network
    ("wrn(16, 1, [10])", (), "wrn is given [10]"), ("FILE:fixed + se", (), "cifar_resnet, of which fixed is made, is"),
    ("FILE:through", (), "of which through is made, is given 20"), ("FILE:open(30)", (), "open is given 30"),
    ("resnet20(classes = 5 * 2)", (), None), ("resnet50", (), None), ("resnet20 + se", ("classes=10",), None),
    ("FILE:open", (), None), ("FILE:through(10)", (), None), ("FILE:twice", (), None), ("nothing(2)", (), None),
])  # fmt: skip
def test_a_number_of_classes_that_is_given_is_that_of_the_data(tmp_path, text, axes, given):
    file = tmp_path / "derived.arch"
    file.write_text(DERIVED)
    (family,) = families(text.replace("FILE", str(file)), axes)
    check_classes(family, None)
    if given is None:
        check_classes(family, 10)
        return
    with pytest.raises(UserError) as error:
        check_classes(family, 10)
    assert given in str(error.value) and "the data have 10; leave it out" in str(error.value)


# --- limits ---

COLUMNS = {
    "params": np.array([10, 20, 30]),
    "macs": np.array([2**61, 40, 90]),
    "flops": np.array([2**62, 79, 180]),
    "activations": np.array([1, 1, 1]),
    "depth": np.array([4, 5, 6]),
    "chain": np.array([4, 5, 7]),
    "k": np.array([1, 2, 3]),
    "widths": (np.array([1, 2, 3]), 5),
}
LIMITS = {
    "params <= 20": [True, True, False],
    "params <= 2e1 and macs<=40": [False, True, False],
    "params < 20 or depth == 6": [True, False, True],
    "not (params < 20 or depth == 6)": [False, True, False],
    "not (not (params != 20))": [True, False, True],
    "macs * macs >= 1e17 * 1e17": [True, False, False],  # 2^122 against 10^34
    "macs + macs + macs + macs + macs > 1e17": [True, False, False],
    "macs / params <= 2": [False, True, False],
    "macs // params == 2": [False, True, False],
    "flops == 2 * macs": [True, False, True],
    "macs % 7 == 5": [False, True, False],
    "max(k, 2) + min(k, 2, 9) == 4": [False, True, False],
    "2.5 * k > 5": [False, False, True],
    "floor(macs / params) == 2 and floor(2.5 * k) == 5": [False, True, False],
    "-k <= -2": [False, True, True],
    "widths[0] + widths[1] > 6": [False, True, True],
    "25 >= params": [True, True, False],
    "chain != depth": [False, False, True],
    "1 <= 2": [True, True, True],
}


@pytest.mark.parametrize("text", LIMITS)
def test_which_rows_hold(text):
    parts = parse_where(text).holds(COLUMNS, 3)
    assert list(np.logical_and.reduce(parts)) == LIMITS[text]


@given(st.lists(st.tuples(st.integers(1, 10**13), st.integers(1, 10**13)), min_size=1, max_size=4))
def test_limits_are_exact(pairs):
    columns = {"params": np.array([a for a, _ in pairs]), "macs": np.array([b for _, b in pairs])}
    holds = {
        "params * params * macs <= 1e17 * macs": [a * a <= 10**17 for a, _ in pairs],
        "params / macs == macs / params": [a == b for a, b in pairs],
        "0.3 * params < 0.7 * macs": [3 * a < 7 * b for a, b in pairs],
    }
    for text, expected in holds.items():
        assert list(parse_where(text).holds(columns, len(pairs))[0]) == expected
    excess = parse_where("params <= 1000 and macs <= 1000").excess(columns, len(pairs))
    assert list(excess) == [max(1.0, float(Fraction(max(a, b), 1000))) for a, b in pairs]


def test_how_much_of_a_limit_is_used():
    where = parse_where("params <= 40 and 1 <= depth and k <= 3 and macs <= 100")
    assert where.budgets == ["params", "macs"]  # upper limits on quantities
    assert where.shares(COLUMNS, 3).tolist() == [[0.25, 0], [0.5, 0.4], [0.75, 0.9]]
    assert parse_where("params >= 10").shares(COLUMNS, 3).round(3).tolist() == [[1], [0.5], [0.333]]
    assert parse_where("k == 1").budgets == [] and parse_where("k == 1").shares(COLUMNS, 3).tolist() == [[1], [1], [1]]
    assert parse_where("params <= 25000000").texts == ["params <= 25,000,000"]


def test_how_far_a_limit_is_missed():
    assert parse_where("params <= 20").excess(COLUMNS, 3).tolist() == [1, 1, 1.5]
    assert parse_where("params >= 20 and k <= 1").excess(COLUMNS, 3).tolist() == [2, 2, 3]
    assert parse_where("params <= 1 or k <= 2").excess(COLUMNS, 3).tolist() == [1, 1, 1.5]
    assert parse_where("depth == 6").excess(COLUMNS, 3).round(3).tolist() == [1.333, 1.167, 1]
    assert 1 < parse_where("params < 10").excess(COLUMNS, 3)[0] < 1.001


NO_LIMITS = [
    ("", "--where"),
    ("params", "--where:1:1: 'params' is no condition"),
    ("params <= ", "--where:1:11:"),
    ("params = 3", "--where:1:8: '=' is unexpected"),
    ("parms <= 3", "--where:1:1: unknown name 'parms'; did you mean 'params'?"),
    ("params <= 3 and (k <= 2) <= 3", "--where:1:20: compare numbers"),
    ("1 <= params <= 3", "--where:1:3: compare numbers"),
    ("params <= widths", "--where:1:11: widths is no number"),
    ("widths[2] < 1", "there is no widths[2]"),
    ("k[0] < 1", "there is no k[0]"),
    ("params <= ceil(3)", "--where:1:11: unknown function 'ceil'; known: floor, max, min"),
    ("params <= floor(3, 4)", "--where:1:11: floor takes one number"),
    ("not params <= 3", "'not params' is no number; 'not' binds tightly: write not (a <= b)"),
    ("max() < 1", "max takes numbers"),
    ("params and not k", "'params' is no condition"),
    ("params % 0 == 1", "--where:1:8: division by zero"),
    ("params / (depth - 4) > 1", "--where:1:8: division by zero"),
    ("params <= [1, 2]", "--where:1:11: '[1, 2]' is no number"),
    ("params <= 3, macs <= 4", "--where:1:12:"),
    ("__import__('os')", "--where:1:12:"),
]


@pytest.mark.parametrize(("text", "words"), NO_LIMITS)
def test_what_is_no_limit(text, words):
    with pytest.raises(UserError) as error:
        where = parse_where(text)
        where.holds(COLUMNS, 3)
    assert words in str(error.value)
