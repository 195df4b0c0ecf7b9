"""`--limit`: what it accepts, what it says is broken, and where it points when it is no condition."""

from fractions import Fraction

import pytest

import explorer
from explorer.analysis.limits import QUANTITIES, broken, parse_limit
from explorer.errors import ArchError
from explorer.grammar.parser import parse_condition
from explorer.grammar.printer import print_expr
from explorer.grammar.syntax import Binary, Name, Number

COST = explorer.cost("resnet50")  # 25,557,032 parameters, 4,089,184,256 MACs, depth 50


@pytest.mark.parametrize("text", [
    "params <= 25557032", "params <= 25.6e6 and macs <= 4.1e9", "params < 1 or depth == 50", "not (params < 1e6)",
    "30e6 > params and 40 <= depth", "macs / params >= 160", "max(depth, chain) <= 50 and bytes_copied == 0",
    "launches < 200 and bytes_moved > 4 * params and intensity > 19",
    "train_memory <= 1GB and infer_memory < 256 MiB and train_memory > 2 * infer_memory",
])  # fmt: skip
def test_what_holds_is_not_broken(text):
    assert broken(parse_limit(text), COST) == []


@pytest.mark.parametrize(("text", "said"), [
    ("params <= 20e6", ["resnet50 breaks params <= 20000000: params is 25,557,032, 27.8% above it"]),
    ("26e6 < params", ["resnet50 breaks 26000000 < params: params is 25,557,032, 1.7% below it"]),
    ("macs <= 4e9 and depth == 50 and chain < 50", [
        "resnet50 breaks macs <= 4000000000: macs is 4,089,184,256, 2.23% above it",
        "resnet50 breaks chain < 50: chain is 50"]),
    ("params < 10", ["resnet50 breaks params < 10: params is 25,557,032, 2.56e+06 times it"]),
    ("macs < params", ["resnet50 breaks macs < params: macs is 4,089,184,256, params is 25,557,032"]),
    ("params < 1 or chain < 3", ["resnet50 breaks params < 1 or chain < 3: chain is 50, params is 25,557,032"]),
    ("intensity > 20", ["resnet50 breaks intensity > 20: intensity is 19.13, 4.37% below it"]),
    ("infer_memory < 1.5kB", [
        "resnet50 breaks infer_memory < 1500: infer_memory is 113,481,800 (113.5 MB), 7.57e+04 times it"]),
    ("1 < 0", ["resnet50 breaks 1 < 0: it never holds"]),
])  # fmt: skip
def test_each_broken_part_is_named_with_value_and_limit(text, said):
    assert broken(parse_limit(text), COST) == said


@pytest.mark.parametrize(("text", "column", "words"), [
    ("parms <= 25e6", 1, "did you mean 'params'"),
    ("params <= 25e6 and mac < 1", 20, "did you mean 'macs'"),
    ("params > 1 or floops < 1", 15, "unknown quantity 'floops'"),  # although the first part holds
    ("params <= 25e6 and", 19, "the text ends here; write a condition such as params <= 25e6"),
    ("params = 3", 8, "'=' is unexpected here"),
    ("params <= 1e30", 11, "more than 18 digits"),
    ("params <= 3, macs <= 4", 12, "','"),
    ("macs < 25e6x", 8, "neither a number"),
    ("size(params) < 1", 1, "unknown function 'size'"),
    ("train_memory < 24gb", 16, "'24gb' is neither a number"),
    ("train_memory < 24 GBs", 19, "'GBs' is unexpected here"),
    ("params", 1, "params is 25557032, no condition"),
    ("depth < 3 or params + 1", 11, "needs yes or no"),
    ("params <= macs / (depth - 50)", 16, "division by zero"),
    ("params < 1 } network b { relu", 12, "closes nothing"),
    ("", 1, "the text ends here"),
])  # fmt: skip
def test_what_is_no_condition_is_pointed_at(text, column, words):
    with pytest.raises(ArchError) as raised:
        broken(parse_limit(text), COST)
    message = str(raised.value)
    assert message.startswith(f"--limit:1:{column}: ") and words in message
    assert message.splitlines()[-1] == "  " + " " * (column - 1) + "^"


def test_every_quantity_is_one_of_the_json():
    shown = COST.as_dict(0) | {"flops": 2 * COST.macs}
    for name, value in QUANTITIES.items():
        assert float(value(COST)) == shown[name]


def test_numbers_with_exponents_are_exact():
    assert parse_condition("a < 2.5e6", "t") == Binary("<", Name("a"), Number(2_500_000))
    assert parse_condition("a < 1.25e1", "t").right == Number(Fraction(25, 2))
    assert print_expr(parse_condition("a < 25e6", "t")) == "a < 25000000"
    assert explorer.cost("cifar_resnet(n = 1e0)").canonical == "cifar_resnet(n = 1)"


@pytest.mark.parametrize(("text", "number"), [
    ("24GB", 24 * 10**9), ("24 GiB", 24 * 2**30), ("1.5kB", 1500), ("1.0TB", 10**12), ("0.3KiB", Fraction(1536, 5)),
])  # fmt: skip
def test_bytes_with_prefixes_are_exact(text, number):
    assert parse_condition(f"a < {text} or b > 2", "t").left.right == Number(number)
