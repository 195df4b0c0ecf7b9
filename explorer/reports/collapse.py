"""Channels that come to be one neuron while a network learns: the observation channel-pairs (GUNN, section 4)."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from explorer.reports.curves import Curve
from explorer.reports.numbers import DASH, listed
from explorer.reports.statistics import LEVEL, Difference, holm, paired, sample
from explorer.reports.study import Study
from explorer.reports.style import family_colours, new_figure, styled
from explorer.sweep.records import Observation

OBSERVED = "channel-pairs"
SAME, CLOSE = 0.01, 0.1  # distances below which a pair is told as one neuron, and as close
MOST = 7  # lines of a figure; colours are no more
RESOLVED = 1e-6  # distances below which rounding decides
PLACES = ("within", "across")  # segments


@dataclass(frozen=True)
class Look:
    """All layers of a network at one moment. Smallest distances and shares are None where there are no pairs."""

    pairs: Mapping[str, int]  # within and across segments
    same: Mapping[str, int]  # below SAME
    close: Mapping[str, int]  # below CLOSE
    smallest: Mapping[str, float | None]
    dead: int  # channels

    def share(self, *where: str) -> float | None:
        """Close pairs in percent of all: within segments, across them, or both."""
        pairs = sum(self.pairs[one] for one in where)
        return 100 * sum(self.close[one] for one in where) / pairs if pairs else None

    def distance(self, *where: str) -> float | None:
        """The smallest distance of a pair."""
        return min((found for one in where if (found := self.smallest[one]) is not None), default=None)


Value = Callable[[Look], float | None]


@dataclass(frozen=True)
class Track:
    """A network's looks by seed and epoch, of the trainings that are done."""

    name: str  # its text, with the recipe where there are several
    looks: Mapping[int, Mapping[int, Look]]

    @property
    def epochs(self) -> list[int]:
        """The epochs that all its trainings reached; 0 is before the first step."""
        return sorted(set.intersection(*(set(own) for own in self.looks.values())))

    def last(self, value: Value) -> dict[int, float]:
        """What a look tells of the trained network, by seed."""
        final = {seed: value(own[self.epochs[-1]]) for seed, own in self.looks.items()}
        return {seed: found for seed, found in final.items() if found is not None}

    def curve(self, value: Value) -> Curve | None:
        """Mean and deviation over seeds by epoch; None where a moment has no value."""
        told = [[value(own[epoch]) for own in self.looks.values()] for epoch in self.epochs]
        samples = [sample([one for one in values if one is not None]) for values in told]
        if any(found.n < len(self.looks) for found in samples):
            return None
        return Curve(tuple(self.epochs), tuple(s.mean or 0.0 for s in samples), tuple(s.std or 0.0 for s in samples))


def tracks_of(study: Study, observations: Mapping[str, Sequence[Observation]]) -> list[Track]:
    """The networks of a study whose channel pairs were looked at, and that have any."""
    found = []
    for row in study.rows:
        looks = {trial.seed: _looks(observations.get(trial.id, ())) for trial in row.done}
        track = Track(row.label, {seed: own for seed, own in looks.items() if own})
        if track.looks and track.epochs:
            found.append(track)
    return found


def _looks(observations: Sequence[Observation]) -> dict[int, Look]:
    """A training's looks by epoch; none of a network without layers to look at."""
    seen = {one.epoch: one.value for one in observations if one.name == OBSERVED}
    return {epoch: look(value) for epoch, value in seen.items() if value["layers"]}


def look(value: Mapping[str, Any]) -> Look:
    """What an observation tells of all layers together."""
    layers, edges = value["layers"], value["edges"]

    def below(layer: Mapping[str, Any], where: str, distance: float) -> int:
        return int(sum(layer[where]["counts"][: edges.index(distance) + 1]))

    def smallest(where: str) -> float | None:
        return min((d for layer in layers if (d := layer[where]["smallest"]) is not None), default=None)

    return Look(
        pairs={where: sum(layer[where]["pairs"] for layer in layers) for where in PLACES},
        same={where: sum(below(layer, where, SAME) for layer in layers) for where in PLACES},
        close={where: sum(below(layer, where, CLOSE) for layer in layers) for where in PLACES},
        smallest={where: smallest(where) for where in PLACES},
        dead=sum(layer["dead"] for layer in layers),
    )


def _count(what: str, where: str) -> Value:
    return lambda look: float(getattr(look, what)[where])


def _dead(look: Look) -> float:
    return float(look.dead)


def _share(*where: str) -> Value:
    return lambda look: look.share(*where)


def _distance(*where: str) -> Value:
    return lambda look: look.distance(*where)


def _level(*where: str) -> Value:
    """The logarithm of the smallest distance: ratios are compared."""

    def level(look: Look) -> float | None:
        distance = look.distance(*where)
        return None if distance is None else math.log10(max(distance, RESOLVED))

    return level


@dataclass(frozen=True)
class Against:
    """How many times as large as the first network's a network's smallest distance is after training."""

    difference: Difference  # of logarithms to the base 10, under the same seeds
    p: float  # corrected for all that is compared; 1 where no noise can be estimated

    @property
    def text(self) -> str:
        """The factor, its 95% interval taken alone, and whether it is more than noise."""
        found = self.difference
        if found.mean is None:
            return DASH
        factor = f"\N{MULTIPLICATION SIGN}{10**found.mean:.2g}"
        if found.low is None or found.high is None:
            return f"{factor}, no spread"
        verdict = "within noise" if self.p >= LEVEL else "larger" if found.mean > 0 else "smaller"
        return f"{factor} ({10**found.low:.2g} to {10**found.high:.2g}), {verdict}"


def against_first(tracks: Sequence[Track]) -> dict[tuple[str, str], Against]:
    """Every network but the first, against it: by its text and by where the pairs are, of those that have any there."""
    found = {
        (track.name, where): paired(track.last(_level(where)), tracks[0].last(_level(where)))
        for track in tracks[1:]
        for where in PLACES
    }
    found = {key: difference for key, difference in found.items() if difference.n}
    corrected = holm([1.0 if one.p is None else one.p for one in found.values()])
    return {key: Against(one, p) for (key, one), p in zip(found.items(), corrected, strict=True)}


def table(tracks: Sequence[Track]) -> dict[str, Any]:
    """The trained networks, pairs within segments and across them apart; mean and deviation over seeds."""
    headings = ["pairs", f"below {SAME:g}", f"below {CLOSE:g} (%)", "smallest distance", "against the first", "n"]
    against = against_first(tracks)
    lines = [
        (track.name, f"{where} segments", _cells(track, where, against.get((track.name, where))), False)
        for track in tracks
        for where in PLACES
        if track.last(_share(where))
    ]
    return {"name": "After training", "headings": headings, "lines": lines}


def _cells(track: Track, where: str, against: Against | None) -> list[str]:
    pairs = max(track.last(_count("pairs", where)).values())  # equal, unless channels are dead
    return [
        f"{pairs:,.0f}",
        _cell(track.last(_count("same", where)), 1),
        _cell(track.last(_share(where)), 2),
        _cell(track.last(_distance(where)), 3),
        against.text if against else DASH,
        str(len(track.looks)),
    ]


def _cell(values: Mapping[int, float], digits: int) -> str:
    found = sample(list(values.values()))
    spread = "" if found.std is None else f" ± {found.std:.{digits}f}"
    return DASH if found.mean is None else f"{found.mean:.{digits}f}{spread}"


def caption(tracks: Sequence[Track]) -> str:
    """What is measured, and what of it was found."""
    text = (
        "The distance of two channels of a layer is the mean square of their difference, over all positions of "
        "validation images, divided by the sum of their variances: 0 for one neuron, 1 for two that are unrelated. "
        "Left the smallest of a network's layers (geometric mean over seeds), right the share of pairs below "
        f"{CLOSE:g}; bands are one standard deviation over seeds to each side. Epoch 0 is before the first step, when "
        "batch norms have not seen an image. In the table against the first network: how many times as large the "
        "smallest distance is, under the same seeds, with a 95% interval taken alone; larger and smaller are what "
        "remains after correcting for the number of comparisons. "
    )
    if len(tracks) > MOST:
        text += f"The first {MOST} of {len(tracks)} networks are drawn. "
    return f"{text}{_found(tracks)} {_of_dead(tracks)}"


def _found(tracks: Sequence[Track]) -> str:
    """Whether any two channels became one neuron."""
    looks = [look for track in tracks for own in track.looks.values() for look in own.values()]
    final = [own[track.epochs[-1]] for track in tracks for own in track.looks.values()]
    if not any(sum(look.same.values()) for look in looks):
        return f"No pair of any network was below {SAME:g} at any look: no two channels became one neuron here."
    if not any(sum(look.same.values()) for look in final):
        return f"Pairs below {SAME:g}, hardly more than one neuron, were seen on the way, none in a trained network."
    return f"Pairs below {SAME:g}, hardly more than one neuron, are counted in the table."


def _of_dead(tracks: Sequence[Track]) -> str:
    """How many channels are constant in the trained networks."""
    dead = {track.name: sample(list(track.last(_dead).values())).mean or 0.0 for track in tracks}
    counts = [f"{number:.3g} in {text}" for text, number in dead.items() if number]
    if not counts:
        return "No channel of a trained network was dead."
    return f"Dead channels of trained networks, in no pair: {listed(counts)} (mean over seeds)."


@styled
def collapse_figure(tracks: Sequence[Track], title: str) -> Any:
    """The smallest distance and the share of close pairs by epoch, a line for each network."""
    drawn = tracks[:MOST]
    figure = new_figure(7.6, 3.3 + 0.19 * ((len(drawn) + 1) // 2))
    figure.suptitle(title, x=0.005, ha="left", fontsize=9.5, fontweight="bold")
    left, right = figure.subplots(1, 2)
    figure.get_layout_engine().set(wspace=0.06)
    colours = family_colours([track.name for track in drawn])
    for track in drawn:
        colour = colours[track.name]
        _draw(left, track.curve(_level(*PLACES)), colour, track.name, lambda level: 10**level)
        _draw(right, track.curve(_share(*PLACES)), colour, None, lambda share: max(0.0, share))
    left.set_yscale("log")
    left.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    left.yaxis.set_major_formatter("{x:g}")
    left.yaxis.set_minor_locator(NullLocator())
    left.set_ylabel("smallest distance of two channels")
    right.set_ylabel(f"pairs with a distance below {CLOSE:g} (%)")
    right.set_ylim(bottom=0)
    for axes in (left, right):
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    figure.legend(loc="outside lower left", handlelength=2.6, ncols=2)
    return figure


def _draw(axes: Any, found: Curve | None, colour: str, label: str | None, shown: Callable[[float], float]) -> None:
    """The mean as a line, one standard deviation to each side as a band, both as they are shown."""
    if found is None:
        return
    low, mean, high = ([shown(m + side * s) for m, s in zip(found.mean, found.std, strict=True)] for side in (-1, 0, 1))
    axes.plot(found.epochs, mean, color=colour, label=label, marker="o", markersize=2.5)
    axes.fill_between(found.epochs, low, high, color=colour, alpha=0.12, linewidth=0)
