"""What a reader must know about a study's comparisons: how few seeds and how many tests, recipes, what was left out."""

import math
from collections.abc import Sequence
from statistics import median_low

from explorer.reports.claims import Claims, Compared
from explorer.reports.guessing import about_guessing
from explorer.reports.numbers import factor, listed, plural, points
from explorer.reports.sentences import seeds_of
from explorer.reports.statistics import LEVEL, t_quantile
from explorer.reports.study import Study

FEW = 10  # seeds; fewer are called few


def caveats(study: Study, claims: Claims, of_paper: Sequence[Compared] = ()) -> list[str]:
    """All of it as sentences. `of_paper`: the comparisons that the claims of a paper ask for, a family of their own."""
    families: list[Sequence[Compared]] = [claims.tested, [c for c in of_paper if c.adjusted_p is not None]]
    notes = about_guessing(study)
    notes += [_about_number(tested) for tested in families if tested]
    notes += [_about_seeds(tested) for tested in families if tested][:1]
    notes += _about_recipes(study)
    if lost := study.lost():
        trials = f"{plural(len(lost), 'trial')} failed or diverged and {'is' if len(lost) == 1 else 'are'}"
        notes.append(f"{trials} left out of means and pairs, which favours networks that fail.")
    return notes


def _about_number(tested: Sequence[Compared]) -> str:
    m = len(tested)
    if m == 1:
        return "One comparison was made; tested at 5%, it gives a false alarm once in twenty."
    return (
        f"{m} comparisons were made. If no network differed, {LEVEL * m:.1f} of them would still be expected to "
        "pass a 5% test each; p-values are therefore adjusted (Holm), intervals are not."
    )


def _about_seeds(tested: Sequence[Compared]) -> str:
    """How large a difference must be to be seen with so few seeds."""
    n = median_low(c.difference.n for c in tested)
    reach = t_quantile(1 - LEVEL / 2, n - 1)
    needed = t_quantile(1 - LEVEL / 2 / len(tested), n - 1)
    typical = needed * median_low(c.difference.std or 0 for c in tested) / math.sqrt(n)
    seeds = f"{seeds_of(tested).capitalize()}{' are few' if n < FEW else ''}"
    text = (
        f"{seeds}: with {n}, a 95% interval reaches {factor(reach)} standard errors to each side, and the first "
        f"difference to be claimed must be {factor(needed)} standard errors, "
    )
    if typical > 1:
        return f"{text}for a typical pair more than errors can differ: no difference can be claimed with so few seeds."
    size = points(typical, 0).lstrip("+")
    noun = "point" if size == "1" else "points"
    return f"{text}here about {size} {noun} for a typical pair. Smaller differences may be real and remain unseen."


def _about_recipes(study: Study) -> list[str]:
    """That networks were trained by different recipes, unless each network was by all of them."""
    by_network: dict[str, set[str]] = {}
    for row in study.rows:
        if row.recipe is not None:
            by_network.setdefault(row.network.digest, set()).add(row.recipe)
    recipes = sorted({recipe for own in by_network.values() for recipe in own})
    if all(len(own) == len(recipes) for own in by_network.values()):
        return []
    return [
        f"Networks were trained by different recipes ({listed(recipes)}): where two differ in it, their difference is "
        "one of recipes, too. --recipe NAME trains all by one."
    ]
