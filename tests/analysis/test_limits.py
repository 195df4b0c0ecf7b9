"""`--limit`: what it accepts, what it says is broken, and where it points when it is no condition."""

from fractions import Fraction

import pytest

import explorer
from explorer.analysis.device import find_device
from explorer.analysis.limits import QUANTITIES, judged, parse_limit
from explorer.analysis.roofline import latency
from explorer.analysis.times import LATENCIES, duration, latency_of
from explorer.errors import ArchError
from explorer.grammar.parser import parse_condition
from explorer.grammar.printer import print_expr
from explorer.grammar.syntax import Binary, Name, Number

COST = explorer.cost("resnet50")  # 25,557,032 parameters, 4,089,184,256 MACs, depth 50


def broken(*arguments):
    """The sentences about parts that are not met."""
    return [part.sentence for part in judged(*arguments) if not part.holds]


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
    ("params < 10", ["resnet50 breaks params < 10: params is 25,557,032, 2,555,703 times it"]),
    ("macs < params", ["resnet50 breaks macs < params: macs is 4,089,184,256, params is 25,557,032"]),
    ("params < 1 or chain < 3", ["resnet50 breaks params < 1 or chain < 3: chain is 50, params is 25,557,032"]),
    ("intensity > 20", ["resnet50 breaks intensity > 20: intensity is 19.13, 4.37% below it"]),
    ("infer_memory < 1.5kB", [
        "resnet50 breaks infer_memory < 1500: infer_memory is 113,481,800 (113.5 MB, reference layers), 75,655"
        " times it"]),
    ("1 < 0", ["resnet50 breaks 1 < 0: it never holds"]),
])  # fmt: skip
def test_each_broken_part_is_named_with_value_and_limit(text, said):
    assert broken(parse_limit(text), COST) == said


def test_what_holds_is_told_with_its_value_too():
    told = judged(parse_limit("params <= 26e6 and macs > 5e9 and 1 > 0"), COST)
    assert told == [
        (True, "resnet50 meets params <= 26000000: params is 25,557,032"),
        (False, "resnet50 breaks macs > 5000000000: macs is 4,089,184,256, 18.2% below it"),
        (True, "resnet50 meets 1 > 0: it always holds"),
    ]


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


# --- latencies of a device ---

TIMES = QUANTITIES | {"train_latency": lambda cost: 90_000_000, "infer_latency": lambda cost: 30_000_000}


@pytest.mark.parametrize("text", [
    "train_latency <= 90ms", "infer_latency <= 0.03s and params > 0", "train_latency == 90000 us", "infer_latency > 0",
    "train_latency <= 3 * infer_latency", "train_latency / infer_latency == 3", "not (infer_latency > 30000000 ns)",
    "max(train_latency, infer_latency) < 0.1s or params < 1", "train_latency + 10ms <= 100ms",
    "macs / infer_latency > 100 / 1ns", "-infer_latency < 1ms",
])  # fmt: skip
def test_latencies_are_compared_with_times(text):
    assert broken(parse_limit(text), COST, TIMES) == []


@pytest.mark.parametrize(("text", "said"), [
    ("train_latency <= 60ms", "resnet50 breaks train_latency <= 60ms: train_latency is 90 ms (told), 50% above it"),
    ("2 * infer_latency < 1500us", "resnet50 breaks 2 * infer_latency < 1.5ms: 2 * infer_latency is 60 ms (told), 40"
                                   " times it"),
    ("train_latency / infer_latency < 2", "resnet50 breaks train_latency / infer_latency < 2: train_latency"
                                          " / infer_latency is 3, 50% above it"),
])  # fmt: skip
def test_broken_limits_on_latencies_say_what_the_values_are(text, said):
    assert broken(parse_limit(text), COST, TIMES, "told") == [said]


@pytest.mark.parametrize(("text", "column", "words"), [
    ("infer_latency <= 5", 15, "one side is a time, the other is not; write times with their unit, such as 5ms"),
    ("params > 0 and macs <= 5ms", 21, "macs <= 5ms: one side is a time"),
    ("train_latency + 3 <= 5ms", 15, "train_latency + 3: one side is a time"),
    ("max(train_latency, 2) <= 5ms", 1, "one side is a time"),
    ("not (infer_latency <= params)", 20, "one side is a time"),
    ("infer_latency", 1, "infer_latency is a time, no condition; write one such as train_latency <= 200ms"),
    ("infer_latencies <= 5ms", 1, "did you mean 'infer_latency'"),
    ("infer_latency <= 5 m", 20, "'m' is unexpected here"),
    ("infer_latency <= 5MS", 18, "'5MS' is neither a number"),
])  # fmt: skip
def test_times_need_their_unit(text, column, words):
    with pytest.raises(ArchError) as raised:
        parse_limit(text)
    assert str(raised.value).startswith(f"--limit:1:{column}: ") and words in str(raised.value)


@pytest.mark.parametrize(("text", "nanoseconds", "printed"), [
    ("5ms", 5 * 10**6, "5ms"), ("1500 us", 1_500_000, "1.5ms"), ("0.3ns", Fraction(3, 10), "0.3ns"),
    ("120s", 120 * 10**9, "120s"), ("0ms", 0, "0ns"), ("999.5us", 999_500, "999.5us"),
])  # fmt: skip
def test_times_are_exact_and_printed_with_their_unit(text, nanoseconds, printed):
    number = parse_condition(f"a < {text}", "t").right
    assert number == Number(nanoseconds, unit="ns") and print_expr(number) == printed
    assert parse_condition(f"a < {printed}", "t").right == number


def test_durations_for_people():
    assert [duration(n) for n in (0, 1, 12_345, 9_999_999, Fraction(10**13, 3))] == [
        "0 ns", "1 ns", "12.35 us", "10 ms", "3,333 s"
    ]  # fmt: skip


@pytest.mark.parametrize("name", LATENCIES)
def test_a_devices_latency_is_that_of_the_roofline(name):
    found = latency_of(name, find_device("h200"), "bf16")(explorer.cost("resnet20", batch=8))
    expected = latency(explorer.expand("resnet20"), "h200", 8, LATENCIES[name], "bf16").total
    assert type(found) is int and found == pytest.approx(1e9 * expected, abs=1)


def test_a_limit_falls_into_parts_with_and_without_latencies():
    limit = parse_limit("params <= 1 and train_latency <= 1s and macs <= 3")
    assert [print_expr(part) for part in limit.timed.parts] == ["train_latency <= 1s"]
    assert [print_expr(part) for part in limit.untimed.parts] == ["params <= 1", "macs <= 3"]
    assert limit.latencies == ["train_latency"] and limit.untimed.latencies == []
