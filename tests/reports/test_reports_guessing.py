"""Networks that learnt nothing are named."""

from dataclasses import replace

import numpy as np
import pytest
from reports_store import DATA, LARGE, SMALL, write_sweep

from explorer.reports.caveats import caveats
from explorer.reports.claims import compare
from explorer.reports.guessing import about_guessing, guessing_limit
from explorer.reports.study import read


@pytest.mark.parametrize(("classes", "images"), [(10, 1297), (2, 1000), (100, 10000)])
def test_guesses_fall_below_the_limit_once_in_a_hundred_times(classes, images):
    wrong = np.random.default_rng(0).binomial(images, 1 - 1 / classes, 200_000) / images
    assert np.mean(wrong < guessing_limit(classes, images)) == pytest.approx(0.01, abs=0.003)


def study_with(workspace, data=DATA, **errors):
    """A study of two networks with the given mean test errors."""
    write_sweep(workspace, lambda base, scales, seed: errors[base], bases=(SMALL, LARGE), scales=None, data=data)
    (study,) = read(workspace).studies
    return study


@pytest.mark.parametrize(
    ("small", "large", "said"),
    [
        (0.5, 0.2, []),
        (0.9, 0.2, [f"1 of 2 networks ({SMALL}) is not better than guessing"]),
        (0.9, 0.91, ["No network is better than guessing"]),
    ],
)
def test_networks_that_only_guess_are_named(tmp_path, small, large, said):
    study = study_with(tmp_path, **{SMALL: small, LARGE: large})
    found = about_guessing(study)
    assert caveats(study, compare(study))[: len(found)] == found
    assert len(found) == len(said) and all(one.startswith(text) for one, text in zip(found, said, strict=True))


@pytest.mark.parametrize(("images", "said"), [(5, 0), (20, 1)])
def test_images_so_few_that_guessing_may_get_them_all_right_tell_nothing(tmp_path, images, said):
    few = replace(DATA, classes=2, test=images)
    assert (guessing_limit(2, images) > 0) == bool(said)
    assert len(about_guessing(study_with(tmp_path, few, **{SMALL: 0.0, LARGE: 0.5}))) == said
