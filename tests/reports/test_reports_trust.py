"""The section on trust: what is said of budgets, seeds, lists of networks and claims, from errors that are known."""

import random
import re
from dataclasses import replace

import pytest
from matplotlib.text import Text
from reports_store import DATA, OTHER, SMALL, noisy, trial, write_single, write_sweep
from test_reports_page import text_of

from explorer.reports.accuracy import points_of
from explorer.reports.agreement import agreement
from explorer.reports.agreement_figure import agreement_figure
from explorer.reports.claims import MOST_LISTED, compare
from explorer.reports.columns import COLUMNS
from explorer.reports.experiment import experiment_of, experiments_of
from explorer.reports.names import short_names
from explorer.reports.pairs import FAILS, HOLDS, NOISE, OPEN, PARTLY, judge
from explorer.reports.power import seeds_needed
from explorer.reports.report import write_report
from explorer.reports.sentences import sentences_of_listed
from explorer.reports.study import read
from explorer.reports.trust import ONE_SEED, SHOWN, trust_of
from explorer.sweep.candidates import DIGEST, Candidate, costed
from explorer.sweep.records import DONE
from explorer.sweep.store import Store

SHAPES = [f"cifar_resnet(n={n}, widths=[4,8,16])" for n in (1, 2, 3, 4, 5)]


def write_list(workspace, errors, *, experiment=None, budget="20epochs", data=DATA, recipe="nesterov", space=False):
    """Store a sweep of networks on their own: `errors` are test errors (or test and training errors) by network.

    `space`: all that fit of a text with ranges.
    """
    chosen = [costed(Candidate(text, text, None), data.shape, data.classes) for text in errors]
    ended = []
    for candidate in chosen:
        for seed, error in enumerate(errors[candidate.text]):
            test, train = error if isinstance(error, tuple) else (error, error / 2)
            steps = {"steps": 10 * int((re.match(r"\d+", budget) or ["99"])[0])}
            record = trial(candidate, seed, test, budget=budget, data=data, recipe=recipe)
            ended.append(replace(record, train_error=train, **steps))
    seeds = max(len(own) for own in errors.values())
    config = {"bases": list(errors), "scales": None, "budget": budget, "seeds": seeds, "data": data.name}
    config |= {"experiment": experiment} if experiment else {}
    config |= {"recipe": None if recipe == "nesterov" else recipe}
    config |= {"spaces": {"s": [one.network.digest[:DIGEST] for one in chosen]}} if space else {}
    with Store.open(workspace) as store:
        run = store.begin_run("sweep", config, chosen, data, [record.id for record in ended])
        for record in ended:
            store.record(record, [])
    return run


def around(level, noise=0.0005, seeds=3):
    chance = random.Random(f"{level} {noise}")
    return [level + 0.01 * seed + chance.gauss(0, noise) for seed in range(seeds)]


def trusted(workspace, runs=None, place=0):
    """A study with its claims, its judged experiments and what is said of trust."""
    studies = read(workspace, runs).studies
    study = studies[place]
    tested = [judge(experiment, study) for experiment in experiments_of(study)]
    return study, compare(study), tested, trust_of(study, studies, compare(study), tested)


# -- budgets ----------------------------------------------------------------------------------------------


def test_two_budgets_of_the_same_networks_are_compared_in_the_shorter_ones_section(tmp_path):
    write_list(tmp_path, {text: around(0.5 - 0.1 * place) for place, text in enumerate(SHAPES[:4])})
    write_list(tmp_path, {text: around(0.4 - 0.1 * place) for place, text in enumerate(SHAPES[1:4])}, budget="40epochs")
    write_list(tmp_path, {text: around(0.4 + 0.1 * place) for place, text in enumerate(SHAPES)}, budget="60epochs")
    trust = trusted(tmp_path)[-1]
    assert [(one.budget, one.orders.names, one.orders.tau) for one in trust.longer] == [
        ("40 epochs", tuple(SHAPES[1:4]), 1.0),
        ("60 epochs", tuple(SHAPES[:4]), -1.0),
    ]
    first, second = trust.statements[:2]
    assert first.startswith("Order of 3 networks after 20 epochs and after 40 epochs, means over 3 seeds: Kendall")
    assert "tau-b 1.00 (too few seeds for a range; p" in first and "none is swapped" in first
    assert "0 of 6 pairs (0%) have the same order, 6 swapped" in second
    assert trusted(tmp_path, place=2)[-1].longer == ()
    assert trusted(tmp_path, place=2)[-1].statements[0].startswith("No longer budget of these networks is at hand")


def test_pairs_that_swap_beyond_the_noise_are_named(tmp_path):
    write_list(tmp_path, dict(zip(SHAPES, map(around, (0.2, 0.3, 0.4)), strict=False)))
    write_list(tmp_path, dict(zip(SHAPES, map(around, (0.3, 0.2, 0.4)), strict=False)), budget="40epochs")
    (one,) = trusted(tmp_path)[-1].longer
    assert one.orders.beyond == ((SHAPES[0], SHAPES[1]),)
    text = text_of(write_report(tmp_path).html.read_text())
    assert f"1 swapped, beyond the noise {SHAPES[0]} below {SHAPES[1]} first" in text
    assert (tmp_path / "report" / "study-1-agreement-1.png").is_file()


def test_a_long_title_stays_within_the_figure_of_two_budgets():
    values = [{0: level, 1: level + 0.01} for level in (0.1, 0.2, 0.3)]
    title = "digits, 1 epoch against 2 epochs, bf16, reference layers, channel-pairs observed, group-weights observed"
    figure = agreement_figure(agreement(SHAPES[:3], values, values), str, "1 epoch", "2 epochs", title)
    figure.draw_without_rendering()
    (written,) = (text for text in figure.findobj(Text) if text.get_text().startswith("digits, 1 epoch against"))
    (low, _), (high, top) = written.get_window_extent().get_points()
    assert low >= 0 and high <= figure.bbox.width and top <= figure.bbox.height


def test_a_report_about_one_budgets_runs_sees_no_other(tmp_path):
    first = write_list(tmp_path, {text: around(0.3) for text in SHAPES})
    write_list(tmp_path, {text: around(0.3) for text in SHAPES}, budget="40epochs")
    trust = trusted(tmp_path, [first])[-1]
    assert trust.longer == () and trust.statements[0].startswith("The runs reported here have one budget")


@pytest.mark.parametrize("other", [{"data": OTHER}, {"budget": "20epochs"}])
def test_other_data_are_no_other_budget(tmp_path, other):
    write_list(tmp_path, {text: around(0.3) for text in SHAPES})
    write_list(tmp_path, {text: around(0.3) for text in SHAPES}, **({"budget": "40epochs"} | other))
    assert trusted(tmp_path)[-1].longer == ()


def test_validation_and_test_images_are_compared(tmp_path):
    write_list(tmp_path, {text: around(0.5 - 0.1 * place) for place, text in enumerate(SHAPES)})
    (text,) = (one for one in trusted(tmp_path)[-1].statements if "validation and on the test images" in one)
    assert text.startswith("Order of 5 networks on the validation and on the test images, means over 3 seeds")
    assert "10 of 10 pairs (100%) have the same order, none is swapped" in text


def test_equal_errors_cannot_be_ranked(tmp_path):
    write_list(tmp_path, {text: [0.9, 0.9] for text in SHAPES})
    statements = trusted(tmp_path)[-1].statements
    assert any("cannot be ranked: on one side all are equal" in text for text in statements)


# -- seeds ------------------------------------------------------------------------------------------------


def test_the_seeds_a_difference_takes_are_in_the_table(sound):
    _, claims, _, trust = trusted(sound)
    assert [one.comparison for one in trust.needed] == list(claims.every) and trust.left_out == 0
    for one in trust.needed:
        d = one.comparison.difference
        assert one.seeds == seeds_needed(d.mean, d.std) and one.printed is one.printed_seeds is None
    assert any(text.startswith("Spread over seeds: the standard deviation") for text in trust.statements)
    assert any(
        "3 seeds find a true difference of" in text and "one of 1 point takes" in text for text in trust.statements
    )


def test_one_seed_says_so_and_claims_nothing(tmp_path):
    write_list(tmp_path, {text: [0.1 * place] for place, text in enumerate(SHAPES, start=1)})
    _, claims, _, trust = trusted(tmp_path)
    assert ONE_SEED in trust.statements and not any(c.exceeds for c in claims.every)
    assert {one.seeds for one in trust.needed} == {None}
    assert any("(too few seeds for a range;" in text for text in trust.statements)
    page = text_of(write_report(tmp_path).html.read_text())
    assert f"No difference is claimed: 1 seed in common with {SHAPES[0]} gives no spread." in page
    assert "to each side, none with one seed" in page and "beyond the noise" not in page


def test_of_many_comparisons_the_surest_are_shown(tmp_path):
    texts = [f"cifar_resnet(n=1, widths=[4,8,{width}])" for width in range(16, 16 + SHOWN + 5)]
    write_list(tmp_path, {text: around(0.2 + 0.02 * place, 0.001 * place) for place, text in enumerate(texts)})
    trust = trusted(tmp_path)[-1]
    assert len(trust.needed) == SHOWN and trust.left_out == 4
    assert "4 comparisons with larger p-values are not shown" in text_of(write_report(tmp_path).html.read_text())


# -- networks on their own ----------------------------------------------------------------------------------


def test_a_list_is_compared_with_its_first_network_and_a_modifier_with_the_network_without_it(tmp_path):
    texts = [SMALL, f"{SMALL} + se", SHAPES[1], f"{SHAPES[1]} + se"]
    write_list(tmp_path, dict(zip(texts, map(around, (0.4, 0.3, 0.3, 0.3001)), strict=True)))
    _, claims, _, _ = trusted(tmp_path)
    assert [(c.row.text, c.reference.text, c.verdict) for c in claims.listed] == [
        (texts[1], SMALL, "better"),
        (SHAPES[1], SMALL, "better"),
        (texts[3], SHAPES[1], "within noise"),
    ]
    least = min(claims.listed, key=lambda c: c.difference.p)
    assert least.adjusted_p == pytest.approx(3 * least.difference.p)  # Holm's, over all of the study
    (_, first), (name, second) = sentences_of_listed(claims)
    assert first.startswith(f"Better than {SMALL} beyond the noise: {SMALL} + se by ")
    assert name == f"Against {SHAPES[1]}" and second.endswith("for one network over 3 seeds, all within noise.")
    assert f"Better than {SMALL} beyond the noise" in text_of(write_report(tmp_path).html.read_text())


def test_the_first_network_may_come_after_one_with_modifiers(tmp_path):
    write_list(tmp_path, {f"{SMALL} + se": around(0.3), SMALL: around(0.4)})
    (found,) = trusted(tmp_path)[1].listed
    assert (found.row.text, found.reference.text, found.verdict) == (SMALL, f"{SMALL} + se", "worse")


def test_networks_are_compared_under_the_same_recipe(tmp_path):
    texts = [SMALL, SHAPES[1], f"{SHAPES[1]} + se"]
    for recipe, levels in (("nesterov", (0.4, 0.3, 0.2)), ("other", (0.6, 0.5, 0.4))):
        write_list(tmp_path, dict(zip(texts, map(around, levels), strict=True)), recipe=recipe)
    _, claims, _, _ = trusted(tmp_path)
    assert sorted((c.row.text, c.row.recipe, c.reference.text, c.reference.recipe) for c in claims.listed) == sorted(
        (text, recipe, reference, recipe)
        for text, reference in ((SHAPES[1], SMALL), (texts[2], SHAPES[1]))
        for recipe in ("nesterov", "other")
    )
    assert all(c.difference.mean == pytest.approx(-0.1, abs=0.01) for c in claims.listed)
    name, text = sentences_of_listed(claims)[1]
    assert name == f"Against {SMALL} (recipe other)" and f"{SHAPES[1]} (recipe other) by " in text
    page = text_of(write_report(tmp_path).html.read_text())
    assert all(f"{SHAPES[1]} ({recipe})" in page for recipe in ("recipe nesterov", "recipe other"))
    study = trusted(tmp_path)[0]
    points = points_of(study, COLUMNS["macs"], COLUMNS["test_error"])
    assert {point.family for point in points} == {  # each has a curve of its own
        f"cifar_resnet{se} (recipe {recipe})" for se in ("", " + se") for recipe in ("nesterov", "other")
    }
    assert {point.label for point in points} == {
        f"{name} (recipe {recipe})" for name in short_names(texts).values() for recipe in ("nesterov", "other")
    }


def test_networks_of_sweeps_and_spaces_are_not_listed(tmp_path):
    write_sweep(tmp_path, noisy)
    write_single(tmp_path, SHAPES[0], 0.3)
    _, claims, _, _ = trusted(tmp_path)
    assert claims.listed == () and len(claims.every) == 3


def test_a_hundred_networks_and_more(tmp_path):
    texts = [f"cifar_resnet(n=1, widths=[4,8,{width}])" for width in range(16, 17 + MOST_LISTED)]
    write_list(tmp_path, {text: around(0.5 - 0.001 * place, seeds=2) for place, text in enumerate(texts)})
    _, claims, _, trust = trusted(tmp_path)
    assert claims.listed == () and trust.needed == ()
    assert any("101 networks on their own are not compared one by one" in text for text in trust.statements)
    assert any("Order of 100 networks drawn at random from 101" in text for text in trust.statements)


# -- the papers' claims ---------------------------------------------------------------------------------------

S1, S2, S3, S4 = (f"seqresnet-s{number}" for number in (1, 2, 3, 4))


@pytest.mark.parametrize(
    ("levels", "verdict", "detail"),
    [
        ({S1: 0.1, S2: 0.2, S3: 0.3, S4: 0.4}, HOLDS, "all 3 pairs as claimed beyond the noise"),
        ({S1: 0.2, S2: 0.1, S3: 0.3, S4: 0.4}, FAILS, "2 as claimed beyond the noise and 1 the other way beyond the"),
        ({S1: 0.1, S2: 0.2, S3: 0.3}, PARTLY, "2 as claimed beyond the noise and 1 not run here"),
        ({S1: 0.1, S2: 0.1001, S3: 0.1002, S4: 0.1003}, NOISE, "all 3 pairs within noise"),
    ],
)
def test_a_claim_holds_or_fails_only_beyond_the_noise(tmp_path, levels, verdict, detail):
    noise = 0.02 if verdict == NOISE else 0.0005
    errors = {text: around(level, noise) for text, level in levels.items()}
    write_list(tmp_path, errors, experiment="seqconv/table5")
    _, claims, (tested,), trust = trusted(tmp_path)
    (claim,) = tested.judged
    assert claim.verdict == verdict and detail in claim.detail
    assert claims.listed == () and len(tested.comparisons) == len(trust.needed)
    page = text_of(write_report(tmp_path).html.read_text())
    assert f"{verdict[0].upper()}{verdict[1:]}: " in page and "whether it holds at this budget on this data" in page


def test_a_claim_is_judged_under_one_recipe(tmp_path):
    write_list(tmp_path, {S1: around(0.5)}, experiment="seqconv/table5", recipe="other")
    levels = {S1: 0.6, S2: 0.7, S3: 0.8, S4: 0.9}
    write_list(tmp_path, {text: around(level) for text, level in levels.items()}, experiment="seqconv/table5")
    everything = {text: around(level - 0.5) for text, level in levels.items() if text != S1}
    write_list(tmp_path, everything, experiment="seqconv/table5", recipe="other")
    (tested,) = trusted(tmp_path)[2]
    assert [(c.row.recipe, c.reference.recipe) for c in tested.comparisons] == [("other", "other")] * 2 + [
        ("nesterov", "nesterov")
    ]
    page = text_of(write_report(tmp_path).html.read_text())
    assert f"{S1} (recipe other)" in page and f"against {S4} (recipe nesterov)" in page


def test_a_pair_that_a_claim_asks_for_again_is_told_once(tmp_path):
    write_sweep(tmp_path, noisy, bases=("resnet56",), scales=(1, 2, 4))
    study, claims, _, _ = trusted(tmp_path)
    tested = [judge(experiment_of("ms-sar/table3", study), study)]
    assert len(claims.every) == 7 and len(tested[0].comparisons) == 16 - 3
    needed = trust_of(study, [study], claims, tested).needed
    pairs = [(one.comparison.row.text, one.comparison.reference.text) for one in needed]
    assert len(pairs) == len(set(pairs)) == 7 + 13 - 1


def test_a_place_in_a_paper_is_told_as_what_it_is(tmp_path):
    write_list(tmp_path, {"gunn15": around(0.1), "sunn15": around(0.2)}, experiment="gunn/table5")
    page = text_of(write_report(tmp_path).html.read_text())
    assert "(table 5)" in page and "section table" not in page
    assert "neither how far apart they are" in page


def test_a_claim_of_one_pair_and_a_budget_in_flops(tmp_path):
    multi, single = "densenet-bc-100-12 + mssar(1, 2, 4)", "densenet-bc-100-12 + mssar(1, 2, 4, from = it)"
    write_list(tmp_path, {multi: around(0.2), single: around(0.3)}, experiment="ms-sar/stages", budget="1e12flops")
    (tested,) = trusted(tmp_path)[2]
    assert [(c.verdict, c.detail) for c in tested.judged] == [
        (HOLDS, "one pair of networks, as claimed beyond the noise")
    ]
    assert "A budget in seconds" not in write_report(tmp_path).html.read_text()


def test_without_a_spread_no_claim_is_judged(tmp_path):
    write_list(tmp_path, {S1: [0.1], S2: [0.2], S3: [0.3], S4: [0.4]}, experiment="seqconv/table5")
    (tested,) = trusted(tmp_path)[2]
    assert [(c.verdict, c.detail) for c in tested.judged] == [
        (OPEN, "1 seed in common with the other network gives no spread")
    ]


def test_the_printed_difference_and_the_seeds_it_takes(tmp_path):
    levels = {S1: 0.1, S2: 0.2, S3: 0.3, S4: 0.4}
    write_list(tmp_path, {text: around(level, 0.002) for text, level in levels.items()}, experiment="seqconv/table5")
    trust = trusted(tmp_path)[-1]
    assert trust.dataset == "cifar10"
    assert [one.printed for one in trust.needed] == pytest.approx([-0.0012, -0.0021, -0.0016])
    for one in trust.needed:
        assert one.printed_seeds == seeds_needed(one.printed, one.comparison.difference.std)
    page = text_of(write_report(tmp_path).html.read_text())
    assert "printed, cifar10 seeds for that verdict" in page and "\N{MINUS SIGN}0.12" in page


def test_errors_of_training_are_claimed_too(tmp_path):
    base = "resnet56 + mssar(1, 2, 4)"
    sliding = "resnet56 + mssar(1, 2, 4, pool = sliding)"
    train = dict(zip((base, sliding), (around(0.3), around(0.1)), strict=True))
    errors = {text: list(zip(around(level), train[text], strict=True)) for text, level in ((base, 0.3), (sliding, 0.4))}
    write_list(tmp_path, errors, experiment="ms-sar/strategies")
    _, _, (tested,), _ = trusted(tmp_path)
    assert [(c.error, c.direction, c.exceeds) for c in tested.comparisons] == [
        ("test_error", "better", True),
        ("train_error", "worse", True),
    ]
    (claim,) = tested.judged
    assert claim.verdict == FAILS and claim.detail.endswith("1 the other way beyond the noise and 2 not run here")
    assert "training error" in text_of(write_report(tmp_path).html.read_text())


def test_an_experiment_of_the_figure_has_both_printed_panels(tmp_path):
    texts = ["resnet20", "resnet20 + mssar(1, 2, 4)"]
    write_list(
        tmp_path, dict(zip(texts, (around(0.3, 0.02), around(0.31, 0.02)), strict=True)), experiment="ms-sar/fig5"
    )
    page = text_of(write_report(tmp_path).html.read_text())
    assert "on CIFAR-10 and CIFAR-100 after full training" in page and "as printed" in page
    (tested,) = trusted(tmp_path)[2]
    assert [claim.verdict for claim in tested.judged] == [NOISE, "", "", ""]


# -- scales ---------------------------------------------------------------------------------------------------


def test_degenerate_scales_are_marked_in_the_table_and_named(tmp_path):
    write_sweep(tmp_path, noisy, scales=(2, 8), seeds=2)
    page = write_report(tmp_path).html.read_text()
    heads = re.findall(r'<th class="mark" scope="col">(\d+)(.*?)</th>', page)
    assert [(scale, "*" in rest) for scale, rest in heads] == [("2", False), ("8", True)]
    assert "A scale with an asterisk is degenerate" in page


def test_degenerate_scales_of_networks_on_their_own_are_named(tmp_path):
    write_list(tmp_path, {SMALL: around(0.3), f"{SMALL} + mssar(8)": around(0.3)})
    assert any(text.startswith("Scale 8 is degenerate") for text in trusted(tmp_path)[-1].statements)


def test_a_store_where_every_trial_of_a_network_failed(trouble, tmp_path):
    write_sweep(tmp_path, lambda base, scales, seed: ("failed", "no memory") if scales else 0.3 + 0.01 * seed)
    study, claims, _, trust = trusted(tmp_path)
    assert study.count(DONE) == 3 and not claims.tested and trust.needed == ()
    assert any("Spread over seeds" in text for text in trust.statements)
