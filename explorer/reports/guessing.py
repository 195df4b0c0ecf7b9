"""Networks that are not better than guessing: the budget was too short for them, and their order means nothing."""

from math import sqrt
from statistics import NormalDist

from explorer.reports.numbers import listed, percent, plural
from explorer.reports.study import Study

OFTEN = 0.01  # how often guessing gives an error below the limit
NAMED = 4  # networks in the sentence


def guessing_limit(classes: int, images: int) -> float:
    """The error below which a network is better than guessing among equally frequent classes, a fraction.

    Guessing errs on 1 - 1/classes of the images in the mean; the limit lies where it gets by luck once in 1/OFTEN
    times on so many images.
    """
    error = 1 - 1 / classes
    return error - NormalDist().inv_cdf(1 - OFTEN) * sqrt(error * (1 - error) / images)


def about_guessing(study: Study) -> list[str]:
    """A sentence about the networks whose mean test error is not below the limit; none where all are.

    None either where the images are so few that guessing may get all of them right: no error is below the limit then.
    """
    data = study.data
    limit = guessing_limit(data.classes, data.test) if data.classes > 1 and data.test else 0.0
    if limit <= 0:
        return []
    means = [(row, mean) for row in study.rows if (mean := row.measured("test_error").mean) is not None]
    lost = [row.label for row, mean in means if mean >= limit]
    if not lost:
        return []
    if len(lost) == len(means):
        who = "No network is"
        what = "nothing was learnt within this budget, and the order of these networks means nothing."
    else:
        names = f" ({listed(lost)})" if len(lost) <= NAMED else ""
        are = "is" if len(lost) == 1 else "are"
        who = f"{len(lost)} of {plural(len(means), 'network')}{names} {are} not"
        what = "this budget is too short to compare them with others."
    return [
        f"{who} better than guessing (a test error below {percent(limit)}%, which guessing among {data.classes} "
        f"equally frequent classes has on {data.test:,} images in {OFTEN:.0%} of the cases): {what}"
    ]
