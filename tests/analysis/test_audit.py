"""The audit: printed figures are read right, verdicts follow from evidence, and no row's own figure explains itself."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from explorer.analysis.audit.figures import EQUAL, TRUNCATED, parse_figure
from explorer.analysis.audit.reported import cost_rows, reported
from explorer.analysis.audit.search import column_of, search
from explorer.analysis.audit.verdicts import CONTRADICTED, CONVENTION, EXPLAINED, chosen_without, verdict_on
from explorer.analysis.audit.why import find_row, why
from explorer.cli.app import app
from explorer.errors import UserError

PRINTED = tuple(cost_rows())


def row(text):
    return find_row(text, PRINTED)


def verdict(text, printed=None):
    """The verdict on a row, as it is printed or as if something else were printed there."""
    found = row(text)
    changed = found if printed is None else found._replace(printed=printed)
    return verdict_on(changed, tuple(changed if r == found else r for r in PRINTED))


# --- figures ---


def test_figures_are_read_as_printed():
    assert parse_figure("40.8M")[1:] == (408, Fraction(100_000), "M")
    assert parse_figure("1.38e8").value == 138_000_000 and parse_figure("1.38e8").digits == 3
    assert parse_figure("4.903GB").value == 4_903_000_000
    for printed in (r.printed for r in reported() if r.metric in ("params", "flops", "gpu_memory_batch64")):
        assert parse_figure(printed).value >= 0
    for wrong in ("", "M", "1,000", "-3M", "3T", "3.M"):
        with pytest.raises(ValueError, match="printed figure"):
            parse_figure(wrong)


@given(st.integers(10_000, 10**12), st.sampled_from([(1, "K", 10**3), (2, "M", 10**6), (1, "G", 10**9)]))
def test_rounding_and_cutting_give_back_the_figure(count, form):
    decimals, prefix, unit = form
    step = unit // 10**decimals
    rounded, cut = (count + step // 2) // step, count // step
    for steps, words in ((rounded, {EQUAL}), (cut, {EQUAL, TRUNCATED}), (cut + 2, {None}), (cut - 1, {None, EQUAL})):
        if steps > 0:
            text = f"{steps // 10**decimals}.{steps % 10**decimals:0{decimals}}{prefix}"
            assert parse_figure(text).match(count) in words, text


def test_a_binary_prefix_is_a_power_of_1024():
    figure = parse_figure("4.32G")
    assert figure.match(int(4.32 * 2**30), binary=True) == EQUAL
    assert figure.match(int(4.32 * 2**30)) is None


# --- verdicts ---


def test_our_counts_that_round_or_cut_to_the_digits():
    assert verdict("gunn/text 5.2/gunn24/cifar100/params").verdict == EQUAL
    assert verdict("seqconv/4/resnext50-32x4d/params").verdict == EQUAL
    assert verdict("gunn/4/resnext101-32x4d/params").verdict == TRUNCATED


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("gunn/3/wrn-40-10/params", "56.0M"),
        ("ms-sar/5/resnet34/params", "21.6M"),
        ("seqconv/text 4.3/resnext29-8x64d/params", "34.6M"),
        ("seqconv/2/seqresnet-b42/flops", "5.34G"),
        ("ms-sar/2/resnet20+mssar(1,2,4)/params", "0.39M"),
    ],
)
def test_another_figure_would_be_contradicted(text, wrong):
    assert verdict(text).verdict != CONTRADICTED
    assert verdict(text, wrong).verdict == CONTRADICTED


def test_a_convention_needs_the_rest_of_the_column():
    found = verdict("seqconv/4/resnet152/flops")
    assert found.verdict == CONVENTION and "seqconv" in found.reason and "2^30" in found.reason
    found = verdict("ms-sar/2/densenet-bc-190-40+mssar(1,2,4)/flops")
    assert found.verdict == CONVENTION and "ms-sar" in found.reason


def test_a_misprint_is_known_by_the_other_table():
    assert verdict("ms-sar/1/resnet20/flops", "04.8M").verdict == EXPLAINED  # two neighbours swapped
    for wrong in ("9.99G", "1.2M", "195.9M"):
        assert verdict("ms-sar/1/resnet56/flops", wrong).verdict == CONTRADICTED
    found = verdict("ms-sar/1/resnet56/flops")
    assert found.verdict == EXPLAINED and "table 2 prints 125.7M" in found.reason


def test_another_named_network_of_the_family():
    found = verdict("gunn/4/dpn98/params")
    assert found.verdict == EXPLAINED and "dpn92" in found.reason


def test_the_figure_of_the_100_class_network_is_corroborated_by_the_paper():
    found = verdict("gunn/3/gunn24/params")
    assert found.verdict == EXPLAINED and "29,631,396" in found.reason


def test_a_reading_is_chosen_without_the_row_it_explains():
    """Whatever is printed in the row itself, the reading that the other rows choose is the same."""
    mine = row("ms-sar/3/resnet56+mssar(2,4)/flops")
    changed = mine._replace(printed="999.9M")
    column = column_of(mine, PRINTED)
    other = tuple(changed if r == mine else r for r in column)
    assert verdict(mine.id).verdict == EXPLAINED
    chosen = [found.reading.says for found in chosen_without(mine, column)]
    assert chosen == [found.reading.says for found in chosen_without(changed, other)] and chosen


# --- why ---


def test_where_no_reading_is_found_it_says_so():
    told = CliRunner().invoke(app, ["audit", "--why", "gunn/3/resnet1202-sd/params"], catch_exceptions=False).stdout
    assert told.splitlines()[-1].startswith("no reading reproduces it") and "free choices" not in told


def test_why_finds_hidden_width_omission_and_unit_by_itself():
    best = why("ms-sar/3/resnet56+mssar(4)/flops").readings[0]
    assert "D' = D/(3L)" in best.reading.says and best.reproduced == len(best.rows) == 10
    best = why("ms-sar/3/densenet-bc-100-12+mssar(2)/flops").readings[0]
    assert best.reading.says.startswith("leaving out the convolutions of dense tr")
    assert best.reproduced == len(best.rows)
    best = why("seqconv/4/densenet264/flops").readings[0]
    assert best.reading.counting.name == "seqconv" and best.reading.binary and best.reproduced == len(best.rows)


def test_readings_are_ranked_by_rows_less_choices():
    column = column_of(row("ms-sar/2/resnet20+mssar(1,2,4)/params"), PRINTED)
    worth = [found.reproduced - found.reading.choices for found in search(column)]
    assert worth == sorted(worth, reverse=True)


def test_rows_that_cannot_be_found_are_named():
    with pytest.raises(UserError, match="no printed row 'ms-sar/3/resnet57/flops'"):
        why("ms-sar/3/resnet57/flops")
    with pytest.raises(UserError, match=r"could be any of \d+ rows: ms-sar/1/resnet20/cifar10/flops"):
        why("resnet20")
    with pytest.raises(UserError, match=r"could be any of 2 rows: gunn/text 5\.2/gunn15/cifar10/params"):
        why("gunn/text 5.2/gunn15/params")
    assert why("gunn/text 5.2/gunn15/cifar100/params").verdict.row.printed == "1618236"
    assert why("MS-SAR/3/resnet56 + mssar(4)/flops").verdict.row.printed == "126.3M"
