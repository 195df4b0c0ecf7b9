"""Searching for candidates: what fits and in which order, what is counted, what is said where nothing fits."""

import csv
import io
import itertools
import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

import explorer
from explorer.cli.app import app
from explorer.errors import UserError
from explorer.sweep import listing
from explorer.sweep.candidates import Selection
from explorer.sweep.listing import candidates_of, list_fits
from explorer.sweep.run import sweep

ISSUE = "seqresnet(k=8..32, r=2..16, N=1..3)"
LIMITS = "params<=25e6 and macs<=4e9"


def small():
    """Every candidate of a small family in its own walk: text to cost."""
    found = {}
    for k, r in itertools.product(range(4, 9), range(1, 4)):
        text = f"seqresnet(k = {k}, r = {r})"
        try:
            found[text] = explorer.cost(text)
        except UserError:
            found[text] = None
    return found


def test_what_fits_is_listed_nearest_first():
    costs = small()
    legal = {text: cost for text, cost in costs.items() if cost}
    limit = sorted(cost.macs for cost in legal.values())[-3]
    found = list_fits(["seqresnet(k=4..8, r=1..3)"], where=f"macs <= {limit} and params <= 1e9")
    expected = sorted((text for text in legal if legal[text].macs <= limit), key=lambda text: -legal[text].macs)
    assert [fit.candidate.text for fit in found.fits] == expected
    assert found.fits[0].share == 1 and found.fits[0].limit == "macs"
    assert (found.total, found.fitting) == (15, len(expected))
    assert found.removed == ((f"macs <= {limit:,}", 2), ("params <= 1,000,000,000", 0))
    ((count, reason),) = found.impossible
    assert count == 15 - len(legal)
    assert reason.startswith("aggregate: groups of ") and costs[reason.rpartition(", as in ")[2]] is None
    for fit in found.fits:
        assert fit.quantities == {name: getattr(legal[fit.candidate.text], name) for name in fit.quantities}


def test_ties_go_by_the_next_limit_and_then_in_order():
    found = list_fits(["wrn(16, k=1..2, classes=10..11)"], where="depth <= 14 and params <= 1e6 and k <= 2")
    assert [fit.candidate.text for fit in found.fits] == [
        f"wrn(16, k = {k}, classes = {classes})" for k, classes in ((2, 11), (2, 10), (1, 11), (1, 10))
    ]
    assert {fit.limit for fit in found.fits} == {"depth"}
    found = list_fits(["wrn(16, k=2, classes=10..12)"])
    assert [fit.candidate.text[-3:-1] for fit in found.fits] == ["10", "11", "12"] and found.fits[0].share is None


def test_scales_multiply_candidates():
    found = list_fits(["cifar_resnet(n=1, widths=[4..8..4,8,8])"], [1, 2], where="params >= 1")
    assert found.total == found.fitting == 8
    by_text = {fit.candidate.text: fit.candidate for fit in found.fits}
    both = by_text["cifar_resnet(n = 1, widths = [4, 8, 8]) + mssar(1, 2)"]
    assert both.base == "cifar_resnet(n = 1, widths = [4, 8, 8])" and both.scales == (1, 2)
    assert by_text[both.base].scales == ()


def test_input_and_classes_replace_the_networks_own():
    found = list_fits(["wrn(16, k=2..3)"], input=(1, 16, 16), classes=7)
    for fit in found.fits:
        assert fit.quantities["macs"] == explorer.cost(fit.candidate.text, input=(1, 16, 16), classes=7).macs


def test_what_cannot_be_expanded_is_not_listed(monkeypatch):
    def refusing(text, **given):
        if "k = 3" in text:
            raise UserError("too long")
        return original(text, **given)

    original = explorer.cost
    monkeypatch.setattr(listing.explorer, "cost", refusing)
    found = list_fits(["wrn(16, k=2..4)"])
    assert [fit.candidate.text for fit in found.fits] == ["wrn(16, k = 2)", "wrn(16, k = 4)"] and found.fitting == 2
    assert found.impossible == ((1, "too long, as in wrn(16, k = 3)"),)


def test_a_closed_form_that_is_wrong_is_not_printed(monkeypatch):
    original = explorer.cost
    monkeypatch.setattr(listing.explorer, "cost", lambda text, **given: original("wrn(16, k = 5)"))
    with pytest.raises(UserError, match="disagree"):
        list_fits(["wrn(16, k=2..3)"])


NOTHING = [
    (["wrn(16, k=2..3)"], {"where": "params <= 100 and macs <= 1e12"},
     "--where: nothing fits; of 2 candidates params <= 100 leaves out 2, macs <= 1,000,000,000,000 leaves out 0. "
     "Nearest is wrn(16, k = 2) with params 691,674, macs 101,"),
    (["wrn(16, k=2..3)"], {"where": "k > 3"}, "Nearest is wrn(16, k = 3) with params"),
    (["seqresnet(k=17..19, r=2)"], {}, "none of 3 candidates can exist. 3: aggregate: groups of 17 channels"),
    (["seqresnt(k=1..3)"], {},
     "<network>:1:1: unknown network 'seqresnt'; did you mean 'seqresnet'?\n  seqresnt(k=1..3)"),
    (["seqresnet(kk=1..3)"], {}, "no parameter 'kk'; did you mean 'k'?"),
    (["wrn(16, k=2..3)"], {"axes": ["j=1,2"]}, "no parameter 'j'"),
    (["resnet20 + mssar(1, 64..65)"], {}, "regional: the scale 64 is larger than the map"),
    (["wrn(16, k=2..3)"], {"where": "j <= 3"}, "--where:1:1: unknown name 'j'"),
    (["wrn(16, k=2..3)", "wrn(16, 2)"], {"where": "parms <= 3"}, "did you mean 'params'?"),
    ([" "], {"where": "macs <= 3"}, "NET is empty"),
    ([], {"where": "macs <= 3"}, "there is no network to sweep"),
]  # fmt: skip


@pytest.mark.parametrize(("bases", "given", "words"), NOTHING, ids=[words[:40] for _, _, words in NOTHING])
def test_what_stands_in_the_way_is_said(bases, given, words):
    with pytest.raises(UserError) as error:
        list_fits(bases, **given)
    assert words in str(error.value) and "_0_" not in str(error.value) and len(str(error.value)) < 1000


def test_what_fits_can_be_trained_if_it_is_not_too_much(tmp_path):
    chosen = candidates_of(Selection(("wrn(16, k=1..9)",), where="k <= 2"), (3, 32, 32), 10, 3)[0]
    assert [candidate.text for candidate in chosen] == ["wrn(16, k = 1)", "wrn(16, k = 2)"]
    with pytest.raises(UserError, match="67 candidates fit, which makes 201 trials; at most 200"):
        candidates_of(Selection(("wrn(16, k=1..67)",)), (3, 32, 32), 10, 3)
    costs = sweep(["wrn(16, k=1..3)"], None, where="k != 2", train=False, workspace=tmp_path).candidates
    assert {record.text for record in costs} == {"wrn(16, k = 1)", "wrn(16, k = 3)"}
    assert len({record.network.digest for record in costs}) == 2


# --- the command ---


def call(*arguments):
    result = CliRunner().invoke(app, ["sweep", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def test_the_table_says_what_was_counted():
    text = call(ISSUE, "--no-train", "--where", LIMITS).stdout
    for words in ("1,125 candidates, 927 cannot exist, 62 are beyond the limits, 136 fit, nearest to a limit first",
                  "927: aggregate: groups of 9 channels do not divide the width 32",
                  "macs <= 4,000,000,000 leaves out 62", "seqresnet(k = 30, r = 15, N = 1)", "3,863,704,608",
                  "96.59% of macs", "and 116 more"):  # fmt: skip
        assert words in text
    assert "…" not in text and text.count("seqresnet(k = ") == 21


@pytest.mark.parametrize("format", ["json", "csv"])
def test_data_goes_to_stdout_and_counts_to_stderr(format):
    result = call("wrn(16, k=1..3)", "--axis", "classes=10,100", "--no-train", "--where", "k>1", "--format", format)
    assert "6 candidates, 2 are beyond the limits, 4 fit" in result.stderr
    rows = json.loads(result.stdout) if format == "json" else list(csv.DictReader(io.StringIO(result.stdout)))
    assert len(rows) == 4
    cost = explorer.cost(rows[0]["network"])
    assert int(rows[0]["params"]) == cost.params and int(rows[0]["depth"]) == cost.depth
    assert rows[0]["canonical"] == cost.canonical and int(rows[0]["macs"]) == cost.macs


@pytest.mark.parametrize("more", [[], ["--where", "macs <= 1e9 and launches < 1000", "--batch", "8"]])
def test_csv_and_json_have_one_set_of_names_and_counts_of_one_image(more):
    arguments = ["cifar_resnet(n=1)", "--scales", "1,2", "--no-train", *more, "--format"]
    rows = json.loads(call(*arguments, "json").stdout)
    lines = list(csv.DictReader(io.StringIO(call(*arguments, "csv").stdout)))
    assert [list(line) for line in lines] == [list(row) for row in rows]
    assert {line["scales"] for line in lines} == {"{}", "{1}", "{2}", "{1,2}"}
    for row in rows:
        assert row["macs"] == explorer.cost(row["network"]).macs and row.get("batch", 1) == (8 if more else 1)


def test_without_training_networks_have_their_own_input():
    (row,) = json.loads(call("resnet18", "--no-train", "--where", "macs>0", "--format", "json").stdout)
    assert row["macs"] == explorer.cost("resnet18").macs
    (row,) = json.loads(call("resnet18", "--no-train", "--format", "json").stdout)
    assert row["macs"] == explorer.cost("resnet18").macs
    (row,) = json.loads(call("resnet18", "--no-train", "--data", "digits", "--format", "json").stdout)
    assert row["macs"] == explorer.cost("resnet18", input=(3, 32, 32), classes=10).macs


def test_a_search_loads_no_torch_and_errors_exit_with_2():
    code = (
        "import sys; sys.argv = ['explorer', *sys.argv[1:]]\n"
        "from explorer.cli import main\n"
        "try: main()\nexcept SystemExit as error: code = error.code\nelse: code = 0\n"
        "print(code, [m for m in ('torch', 'pandas', 'sympy', 'matplotlib', 'sklearn') if m in sys.modules])"
    )
    for limits, said, expected in (("macs<=1e9", "", "0 []"), ("macs<=1", "explorer: --where: nothing fits", "2 []")):
        arguments = ["sweep", "wrn(16, k=1..3)", "--no-train", "--format", "csv", "--where", limits]
        done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == expected and said in done.stderr and "Traceback" not in done.stderr
