"""Comparisons of networks on their own and within spaces: what is paired, by which recipes, and what is said of it."""

import json
import re

import pytest
from reports_store import SMALL
from test_reports_page import text_of
from test_reports_trust import SHAPES, around, trusted, write_list

from explorer.reports.caveats import caveats
from explorer.reports.export import export_table
from explorer.reports.report import write_report
from explorer.reports.sentences import sentences_of_listed, sentences_of_twins
from explorer.reports.table import headings

scipy_stats = pytest.importorskip("scipy.stats")


def test_a_comparison_of_two_recipes_says_so(tmp_path):
    write_list(tmp_path, {SMALL: around(0.4), SHAPES[1]: around(0.3)})
    write_list(tmp_path, {SHAPES[2]: around(0.2)}, recipe="other")
    study, claims, _, _ = trusted(tmp_path)
    assert [c.recipes for c in claims.listed] == ["", "other / nesterov"]
    ((_, text),) = sentences_of_listed(claims)
    assert text.endswith(f" Trained by other recipes: {SHAPES[2]} (other / nesterov).")
    assert sum("different recipes (nesterov and other)" in one for one in caveats(study, claims)) == 1
    page = text_of(write_report(tmp_path).html.read_text())
    assert f"against {SMALL}, trained by other recipes: other / nesterov" in page
    assert headings(study.groups[0])[0].text == "Recipe"


@pytest.mark.parametrize(("second", "said"), [("third", True), ("other", False)])
def test_several_recipes_are_a_remark_unless_each_network_has_all(tmp_path, second, said):
    write_list(tmp_path, {SMALL: around(0.4), SHAPES[1]: around(0.3)})
    write_list(tmp_path, {SMALL: around(0.4)}, recipe="other")
    write_list(tmp_path, {SHAPES[1]: around(0.3)}, recipe=second)
    study, claims, _, _ = trusted(tmp_path)
    assert all(row.several for row in study.rows) and any(c.recipes for c in claims.listed) == said
    assert any("different recipes" in one for one in caveats(study, claims)) == said


def test_one_recipe_is_no_remark(tmp_path):
    write_list(tmp_path, {SMALL: around(0.4), SHAPES[1]: around(0.3)})
    page = text_of(write_report(tmp_path).html.read_text())
    assert "other recipes" not in page and "different recipes" not in page and ">Recipe<" not in page


def test_networks_of_a_space_are_compared_with_the_same_without_modifiers(tmp_path):
    errors = {text + added: around(0.4 - 0.02 * place + 0.1 * bool(added), 0.0005, 4)
              for place, text in enumerate(SHAPES) for added in ("", " + se")}  # fmt: skip
    write_list(tmp_path, errors, space=True)
    _, claims, _, trust = trusted(tmp_path)
    (twins,) = claims.twins
    assert [(c.row.text, c.reference.text) for c in twins.singly] == [(f"{text} + se", text) for text in SHAPES]
    means = [sum(errors[f"{t} + se"][seed] - errors[t][seed] for t in SHAPES) / len(SHAPES) for seed in range(4)]
    assert [mean for _, mean in twins.difference.by_seed] == pytest.approx(means)
    assert twins.difference.p == pytest.approx(scipy_stats.ttest_1samp(means, 0).pvalue)
    assert (twins.modifiers, twins.networks, twins.better, twins.pairs) == ("se", 5, 0, 5)
    assert len(claims.tested) == 6 and claims.listed == () and len(trust.needed) == 5
    ((name, text),) = sentences_of_twins(claims)
    assert name == "With se, against the same networks without" and text.startswith("+10.0")
    named = f"{', '.join(f'{text} + se' for text in SHAPES[:-1])} and {SHAPES[-1]} + se"
    assert "in the mean of 5 networks over 4 seeds (95% interval" in text
    assert text.endswith(f"Singly, 5 of them differ beyond the noise: {named}.")
    assert text in text_of(write_report(tmp_path).html.read_text())


def test_of_twins_without_all_seeds_none_is_in_the_mean(tmp_path, monkeypatch):
    errors = {text + added: around(0.4, 0.02, 3 if added else 4) for text in SHAPES for added in ("", " + se")}
    errors[f"{SHAPES[0]} + se"].pop()
    write_list(tmp_path, errors, space=True)
    monkeypatch.setattr("explorer.reports.claims.MOST_LISTED", 4)
    (twins,) = trusted(tmp_path)[1].twins
    assert (twins.networks, twins.pairs, twins.difference.n, twins.singly) == (4, 5, 3, ())
    ((_, text),) = sentences_of_twins(trusted(tmp_path)[1])
    assert "4 networks of 5 (those with these seeds)" in text and text.endswith("not tested singly.")
    monkeypatch.setattr("explorer.reports.sentences.NAMED", 0)
    assert sentences_of_twins(trusted(tmp_path)[1]) == [
        ("With other modifiers", "1 comparison with larger p-values not shown here.")
    ]


def twins_with(workspace, seeds, noise=0.02):
    """What is said of networks of a space with and without a modifier; `seeds` of each with, three without."""
    errors = {text: around(0.3, noise / 2) for text in SHAPES}
    errors |= {f"{text} + se": around(0.4, noise)[:number] for text, number in zip(SHAPES, seeds, strict=True)}
    write_list(workspace, errors, space=True)
    _, claims, _, _ = trusted(workspace)
    ((_, text),) = sentences_of_twins(claims)
    return claims.twins[0], text


@pytest.mark.parametrize(
    ("seeds", "networks", "common"),
    [
        ((3, 2, 2, 2, 2), 5, 2),  # not one network over three seeds
        ((3, 3, 3, 3, 2), 4, 3),
        ((2, 2, 2, 1, 1), 3, 2),  # two seeds give a spread
        ((2, 1, 1, 1, 1), 5, 1),
    ],
)
def test_the_mean_of_twins_is_over_the_seeds_that_hold_most(tmp_path, seeds, networks, common):
    twins, text = twins_with(tmp_path, seeds)
    assert (twins.networks, twins.difference.n) == (networks, common)
    of = "" if networks == 5 else " of 5 (those with these seeds)"
    assert f"in the mean of {networks} networks{of} over {common} seed" in text


@pytest.mark.parametrize(
    ("seeds", "said"),
    [
        ((2, 2, 0, 0, 0), "only 2 with the same seeds in common. Singly, none of the 2 with a spread differs beyond "
                          "the noise."),
        ((0, 0, 0, 0, 0), "none with a seed in common. Singly, none of them is tested: no seed in common with the same "
                          "network without modifiers gives no spread."),
    ],
)  # fmt: skip
def test_fewer_than_half_of_the_twins_give_no_mean(tmp_path, seeds, said):
    twins, text = twins_with(tmp_path, seeds)
    assert (twins.difference.mean, text) == (None, f"No mean is given: 5 pairs of networks, {said}")


@pytest.mark.parametrize(
    ("seeds", "verdict", "why"),
    [
        (1, "over 1 seed: too few seeds", "1 seed in common with the same network without modifiers gives no spread"),
        (3, "over 3 seeds: spread unknown", "the differences are the same under every seed, which gives no spread"),
    ],
)
def test_where_none_of_the_twins_can_be_tested_it_says_why(tmp_path, seeds, verdict, why):
    _, text = twins_with(tmp_path, [seeds] * 5, noise=0)
    assert verdict in text and text.endswith(f" Singly, none of them is tested: {why}.")


@pytest.mark.parametrize(("noise", "said"), [(0.2, True), (0.001, False)])
def test_a_difference_that_cannot_be_is_not_asked_for(tmp_path, noise, said):
    write_list(tmp_path, {SMALL: [0.4, 0.4 + noise], SHAPES[1]: [0.3, 0.3 - noise]})
    study, claims, _, trust = trusted(tmp_path)
    assert any("no difference can be claimed with so few seeds" in one for one in caveats(study, claims)) == said
    assert any("find no true difference of errors" in one for one in trust.statements) == said


def test_the_papers_own_epochs_are_not_called_short(tmp_path):
    write_list(tmp_path, {SMALL: around(0.4)}, budget="full")
    page = text_of(write_report(tmp_path).html.read_text())
    assert "own epochs (990 steps)." in page and "so short a training" not in page and "full training a" not in page


def test_networks_on_their_own_are_exported_with_their_comparison(tmp_path):
    write_list(tmp_path, {SMALL: around(0.4), SHAPES[1]: around(0.3), f"{SHAPES[1]} + se": around(0.2)})
    lines = json.loads(export_table(tmp_path, form="json"))
    assert [line["against"] for line in lines] == [None, SMALL, SHAPES[1]]
    compared = {c.row.text: c for c in trusted(tmp_path)[1].listed}
    for line in lines[1:]:
        c = compared[line["network"]]
        assert (line["difference_mean"], line["p"], line["adjusted_p"], line["verdict"]) == (
            c.difference.mean, c.difference.p, c.adjusted_p, c.verdict)  # fmt: skip
    latex = export_table(tmp_path, form="latex")
    assert r"& Against & Difference (points, paired) & Verdict \\" in latex
    assert re.search(r"& cifar\\_resnet\(n=2, .*\) & .*10\.\d\d & better \\\\", latex)
