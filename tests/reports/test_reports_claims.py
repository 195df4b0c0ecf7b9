"""What is claimed, and what is not, from errors whose differences are known."""

import pytest
from reports_store import LARGE, SMALL, noisy, write_sweep

from explorer.reports.caveats import caveats
from explorer.reports.claims import compare
from explorer.reports.sentences import sentence
from explorer.reports.study import read


def claims_of(workspace):
    (study,) = read(workspace).studies
    found = compare(study)
    return (
        study,
        found,
        [sentence(group, own) for group, own in zip(study.groups, found.by_group, strict=True)],
    )


def store(tmp_path, levels, seeds=4, **more):
    """A sweep at scales 1 and 2 with given (difference, jitter) by scale set."""

    def errors(base, scales, seed):
        difference, jitter = levels.get(scales, (0.0, 0.0))
        return 0.3 + 0.01 * seed + difference + jitter * (-1) ** seed

    write_sweep(tmp_path, errors, seeds=seeds, **more)
    return tmp_path


def test_a_sure_improvement_is_claimed_and_the_rest_is_not(sound):
    _, claims, (text,) = claims_of(sound)
    verdicts = {comparison.row.scales: comparison.verdict for comparison in claims.by_group[0]}
    assert verdicts == {(1,): "within noise", (2,): "better", (1, 2): "within noise"}
    (better,) = (c for c in claims.by_group[0] if c.exceeds)
    assert text.startswith("Better than the plain network beyond the noise: {2} by ")
    assert f"{-100 * better.difference.mean:.2f} points" in text and "n = 3" in text
    assert text.endswith("2 scale sets are within noise.")


def test_a_sure_harm_is_called_worse(tmp_path):
    _, claims, (text,) = claims_of(store(tmp_path, {(1,): (0.1, 0.001), (2,): (0.001, 0.02), (1, 2): (0, 0.03)}))
    assert claims.by_group[0][0].verdict == "worse"
    assert "Worse than the plain network beyond the noise: {1} by 10.00 points" in text


def test_equal_networks_give_no_claim(tmp_path):
    _, _, (text,) = claims_of(store(tmp_path, {(1,): (0.0, 0.01), (2,): (0.002, 0.02), (1, 2): (0, 0.03)}))
    assert text.startswith("No difference to the plain network exceeds the noise") and "all within noise" in text


def test_one_seed_gives_no_claim_whatever_the_difference(tmp_path):
    study, claims, (text,) = claims_of(store(tmp_path, {(1,): (0.4, 0), (2,): (-0.2, 0)}, seeds=1))
    assert not claims.tested and not any(c.exceeds for group in claims.by_group for c in group)
    assert text == "No difference is claimed: 1 seed in common with the plain network gives no spread."
    assert {c.verdict for c in claims.by_group[0]} == {"too few seeds"}
    assert caveats(study, claims) == []


def test_the_same_difference_under_every_seed_is_no_proof(tmp_path):
    _, claims, (text,) = claims_of(store(tmp_path, {(1,): (0.1, 0), (2,): (0.1, 0), (1, 2): (0.1, 0)}))
    assert {c.verdict for c in claims.by_group[0]} == {"spread unknown"}
    assert "No difference is claimed" in text


def test_the_number_of_comparisons_counts(tmp_path):
    """The same differences that are claimed alone are not when there are many of them."""
    alone = {(1,): (0.02, 0.008)}
    few = claims_of(store(tmp_path / "few", alone, scales=(1,)))[1].by_group[0][0]
    many = claims_of(store(tmp_path / "many", {**alone, (2,): (0, 0.01), (1, 2): (0, 0.02)}))[1].by_group[0][0]
    assert few.difference == many.difference
    assert few.verdict == "worse" and many.verdict == "worse, if taken alone" and many.short_verdict == "(worse)"
    assert many.adjusted_p == pytest.approx(3 * few.adjusted_p)


def test_comparisons_of_all_bases_are_corrected_together(tmp_path):
    write_sweep(tmp_path, noisy, bases=(SMALL, LARGE))
    _, claims, _ = claims_of(tmp_path)
    least = min(claims.tested, key=lambda c: c.difference.p)
    assert len(claims.tested) == 6 and least.adjusted_p == pytest.approx(6 * least.difference.p)


def test_caveats_say_how_few_seeds_and_how_many_comparisons(trouble):
    study, claims, _ = claims_of(trouble)
    number, seeds, lost = caveats(study, claims)
    assert number.startswith("6 comparisons were made.") and "0.3 of them" in number and "Holm" in number
    assert seeds.startswith("2 to 4 seeds are few")
    assert "2 trials failed or diverged and are left out" in lost


def test_without_a_plain_result_nothing_is_compared(tmp_path):
    write_sweep(tmp_path, lambda base, scales, seed: None if scales == () else 0.3 + 0.01 * seed)
    _, claims, (text,) = claims_of(tmp_path)
    assert text == "No difference is claimed: the plain network has no finished trial."
    assert {c.difference.mean for c in claims.by_group[0]} == {None}
