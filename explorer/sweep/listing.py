"""Which candidates of some families fit: all costed from closed forms, filtered, the nearest to their limits first."""

from collections import Counter
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import explorer
from explorer.errors import UserError
from explorer.grammar.syntax import Arg, Call, Modifier, Number
from explorer.sweep.candidates import Candidate, Selection, Shape, distinct, scale_candidates, scale_subsets
from explorer.sweep.classes import check_classes
from explorer.sweep.predicting import measures_on
from explorer.sweep.ranges import Family, families, has_ranges
from explorer.sweep.sampling import PLACE, DesignSpace, check_space, family
from explorer.sweep.search import Measures, Search, Variant, Watch, short
from explorer.sweep.where import parse_where

MAX_TRIALS = 200  # of a sweep whose candidates were searched for
VERIFIED = 20  # of these, walked one by one as well
MORE = 4  # times as many candidates of a space are drawn until enough of them fit
MAX_DRAWN = 200_000
PER_IMAGE = ("macs", "flops", "activations")  # a batch has as many times more


@dataclass(frozen=True)
class Fit:
    """A candidate within the limits, and its cost."""

    candidate: Candidate
    canonical: str
    quantities: dict[str, Any]  # counts of one image, memory, bytes and times of the batch that limits are on
    limit: str | None  # of which it uses most
    share: float | None  # how much of it


@dataclass(frozen=True)
class Listing:
    """All candidates, counted, and those that fit: the nearest to their limits first, at most `search.KEPT`.

    Of a sampled space: what was drawn, and the first that fit, as many as were asked for.
    """

    total: int
    impossible: tuple[tuple[int, str], ...]  # how many cannot exist, and why
    removed: tuple[tuple[str, int], ...]  # each limit, and how many of the others it leaves out
    fitting: int
    fits: tuple[Fit, ...]
    space: str | None = None  # the sampled space
    repeated: int = 0  # left out as another is the same network: beside the total, of what was drawn a part of it

    def only(self, kept: Set[Candidate]) -> "Listing":
        """What is left where some turned out to be others, written otherwise."""
        fits = tuple(fit for fit in self.fits if fit.candidate in kept)
        lost = len(self.fits) - len(fits)
        total = self.total if self.space else self.total - lost
        return replace(self, total=total, fitting=self.fitting - lost, fits=fits, repeated=self.repeated + lost)


def list_fits(
    bases: Sequence[str],
    scales: Sequence[int] | None = None,
    *,
    axes: Sequence[str] = (),
    where: str | None = None,
    input: Shape | None = None,
    classes: int | None = None,
) -> Listing:
    """The candidates that fit, of networks with ranges, plain or with MS-SAR at every subset of the scales.

    `axes`: parameters with their values, such as k=8,16 or r=2..12. `where`: limits on quantities and parameters.
    `input` and `classes` replace the networks' own. Raises UserError for bad texts, and where nothing fits.
    """
    chosen = None if scales is None else tuple(scales)
    selection = Selection(tuple(bases), chosen, axes=tuple(axes), where=where)
    (listing,) = listings(selection, input, classes)
    return listing


def listings(
    selection: Selection,
    input: Shape | None = None,
    classes: int | None = None,
    measures: Measures | None = None,
    watch: Watch | None = None,
) -> list[Listing]:
    """The candidates of the networks that fit, and those of each sampled space.

    `measures`: the quantities that limits can name, None: all, latencies in single precision; those that must be
    computed network by network report to `watch`.
    Raises UserError as `list_fits` does, and for a space that has too few candidates.
    """
    measures = measures_of(selection) if measures is None else measures
    texts = selection.texts
    if not texts and (selection.scales or selection.axes or selection.modifiers):
        option = "--scales" if selection.scales else "--axis" if selection.axes else "--modifier"
        raise UserError(f"{option}: it applies to networks, and there are only sampled spaces; write it into theirs")
    inputs = selection.inputs or (input,)
    found = []
    if texts:
        where = None if selection.where is None else parse_where(selection.where, tuple(measures))
        search = Search(where, classes, selection.batch, measures, watch=watch)
        first: dict[str, int] = {}  # the number of a text's plain family
        for shape, text in product(inputs, texts):
            space = text if has_ranges(text) or selection.axes else None
            for base in families(text, selection.axes):
                check_classes(base, classes)
                for variant in _variants(base, selection.scales, shape, space):
                    first.setdefault(text, search.add(variant))
        _check_texts(selection, search, first)
        found.append(_listing(search))
    for drawn, shape in product(selection.spaces, inputs):
        found.append(_sampled(drawn, selection, shape, classes, measures, watch))
    return found


def measures_of(selection: Selection, dtype: str = "fp32") -> Measures:
    """The quantities that the limits of a selection can name. UserError for a device that cannot be predicted for."""
    limits = [selection.where, *(space.where for space in selection.spaces)]
    return measures_on(selection.on, limits, dtype)


def candidates_of(
    selection: Selection,
    input: Shape | None,
    classes: int | None,
    seeds: int,
    watch: Watch | None = None,
    measures: Measures | None = None,
) -> tuple[list[Candidate], list[Listing]]:
    """The candidates to be trained, and how they were found where they had to be.

    Raises UserError where a search finds more than a sweep should begin with. What was drawn from a space is what was
    asked for, however much it is.
    """
    if not selection.is_search:
        return scale_candidates(selection.networks, selection.scales, selection.inputs), []
    found = listings(selection, input, classes, measures, watch)
    searched = sum(listing.fitting for listing in found if listing.space is None)
    if searched * seeds > MAX_TRIALS:
        raise UserError(
            f"{searched:,} candidates fit, which makes {searched * seeds:,} trials; at most {MAX_TRIALS} "
            "are begun at once: narrow the ranges or the limits (--where), or look at the costs alone (--no-train)"
        )
    return [fit.candidate for listing in found for fit in listing.fits], found


def _check_texts(selection: Selection, search: Search, first: dict[str, int]) -> None:
    """Raise the error of a network as given, or of a modifier alone, that can exist nowhere: it is a slip.

    Combinations that cannot exist are only counted.
    """
    bases = distinct(selection.networks)
    for base in bases:
        search.raise_if_wrong([first[base]])
    for modifier in selection.modifiers:
        search.raise_if_wrong([first[f"{base} + {modifier}"] for base in bases])


def _variants(base: Family, scales: Sequence[int] | None, shape: Shape | None, space: str | None) -> Iterator[Variant]:
    """A family plain and with MS-SAR at every subset of the scales."""
    for subset in scale_subsets(scales):
        yield Variant(_recalibrated(base, subset), base, subset, shape, space)


def _recalibrated(base: Family, scales: tuple[int, ...] | None) -> Family:
    """A family with MS-SAR at some scales."""
    if not scales:
        return base
    modifier = Modifier(Call("mssar", tuple(Arg(Number(scale)) for scale in scales)))
    modifiers = (*base.expression.modifiers, modifier)
    return replace(base, expression=replace(base.expression, modifiers=modifiers))


def _sampled(
    space: DesignSpace,
    selection: Selection,
    shape: Shape | None,
    classes: int | None,
    measures: Measures,
    watch: Watch | None,
) -> Listing:
    """The first candidates of a space that fit. Raises UserError where there are too few."""
    check_space(space)
    limits = [limit for limit in (space.where, selection.where) if limit is not None]
    text = limits[0] if len(limits) == 1 else " and ".join(f"({limit})" for limit in limits)
    where, draws = parse_where(text, tuple(measures)) if limits else None, MORE * space.samples
    keep = space.samples
    while True:
        candidates = family(space, draws)
        check_classes(candidates, classes)
        search = Search(where, classes, selection.batch, measures, keep, watch)
        for variant in _variants(candidates, None, shape, space.name):
            search.add(variant)
        search.finish()
        different = search.fitting
        if search.fitting >= space.samples:
            listing = _listing(search)
            fits, repeated = _different(listing.fits, space.samples, classes)
            if (different := len(fits)) == space.samples:
                return replace(listing, fitting=different, fits=fits, space=space.name, repeated=repeated)
        if search.fitting >= keep:
            keep *= 2  # what repeats others took places
        elif candidates.size < draws or draws >= MAX_DRAWN:
            raise _too_few(space, search, candidates.size, different)
        else:
            draws = min(MORE * draws, MAX_DRAWN)


def _different(fits: Sequence[Fit], wanted: int, classes: int | None) -> tuple[tuple[Fit, ...], int]:
    """The first so many different networks, and how many were passed over that are one of them, written otherwise."""
    counts = Counter(tuple(fit.quantities.values()) for fit in fits)
    first: dict[Any, Fit] = {}
    for place, fit in enumerate(fits):
        key: Any = tuple(fit.quantities.values())
        if counts[key] > 1:  # only what costs the same can be the same
            key = explorer.expand(fit.candidate.text, input=fit.candidate.input, classes=classes).digest
        first.setdefault(key, fit)
        if len(first) == wanted:
            return tuple(first.values()), place + 1 - wanted
    return tuple(first.values()), len(fits) - len(first)


def _too_few(space: DesignSpace, search: Search, drawn: int, different: int) -> UserError:
    """Why a space has not as many networks as were asked for."""
    if not search.fitting:
        try:
            _listing(search)
        except UserError as error:
            return UserError(f"space {space.name}: {error}")
    reasons = [f"{count:,} cannot exist ({text})" for count, text in search.reasons()[:2]]
    removed = sorted(zip(search.removed.values(), search.where.texts if search.where else (), strict=True))[::-1]
    reasons += [f"{text} leaves out {count:,}" for count, text in removed if count]
    if repeated := search.fitting - different:
        reasons.append(f"{repeated:,} repeat one of them")
    return UserError(
        f"space {space.name}: of {drawn:,} different draws only {different:,} fit, not the {space.samples:,} that "
        f"are wanted{'; ' if reasons else ''}{', '.join(reasons)}"
    )


def _listing(search: Search) -> Listing:
    """What was found. Raises UserError where nothing fits."""
    search.finish()
    total = sum(variant.family.size for variant in search.variants)
    fits, refused = _verified(search)
    impossible = search.reasons() + refused
    if not search.possible:
        raise search.nothing_exists(total, impossible)
    if not search.fitting:
        raise search.nothing_fits()
    removed = zip(search.where.texts if search.where else (), search.removed.values(), strict=True)
    fitting = search.fitting - len(refused)
    return Listing(total, tuple(impossible), tuple(removed), fitting, tuple(fits), repeated=search.repeated)


def _verified(search: Search) -> tuple[list[Fit], list[tuple[int, str]]]:
    """What fits, the first ones walked one by one as well; of those, what is too large for that."""
    fits: list[Fit] = []
    refused: list[tuple[int, str]] = []
    for ranked in search.ranked:
        variant, text = search.variants[ranked.place.family], search.text(ranked.place)
        if len(fits) < VERIFIED:
            try:
                cost = explorer.cost(text, input=variant.input, classes=search.classes, batch=search.batch)
            except UserError as error:
                refused.append((1, f"{short(error)}, as in {text}"))
                continue
            if any(search.measures[name](cost) != value for name, value in ranked.quantities.items()):
                raise UserError(f"{text}: its closed form and its walk disagree; this is a bug, please report it")
        base, limit, share = variant.base, None, None
        if search.where and search.where.budgets and PLACE not in ranked.place.values:
            limit, share = search.where.budgets[ranked.limit], -ranked.key[0]
        candidate = Candidate(text, base.candidate(ranked.place.values), variant.scales, variant.input, variant.space)
        own = {name: _of_one(name, value, search.batch) for name, value in ranked.quantities.items()}
        fits.append(Fit(candidate, text.removeprefix(base.prefix), own, limit, share))
    return fits, refused


def _of_one(name: str, value: Any, batch: int) -> Any:
    """A quantity of a batch; what is counted image by image is that of one, as everywhere else in a sweep."""
    return value // batch if name in PER_IMAGE else value
