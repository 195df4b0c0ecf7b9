"""How heavily sequential convolutions use each connection between groups (SeqConv, figure 5): heat maps and a table.

Drawn are the last of several such layers of a stage, which is the second WSeqConv layer of its residual block in the
paper's networks; the paper has one block a stage and does not say which of several it would take. Where no stage has
two (a dense block is one), all are drawn.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean, pstdev
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from explorer.reports.statistics import Sample, sample
from explorer.reports.study import Row, Study
from explorer.reports.style import FAINT, INK, QUIET, new_figure, styled
from explorer.sweep.records import Observation

OBSERVED = "group-weights"
NETWORKS, PANELS = 3, 4  # at most drawn
LIGHT = 0.5  # of a layer's mean weight: below this a connection is lightly used
COLOURS = "plasma"  # equal steps look equal: dark blue is light, yellow is heavy; white is neither
WIDTH, FRAME = 8.9, 0.7  # inches

Matrix = Sequence[Sequence[float | None]]  # groups, and what they read; None: no connection


@dataclass(frozen=True)
class Layer:
    """A sequential convolution: its mean absolute weights, one matrix for each seed."""

    name: str
    inputs: int  # columns that are the layer's input; the others are its groups
    before: tuple[Matrix, ...]  # training
    after: tuple[Matrix, ...]

    @property
    def begins_at_zero(self) -> bool:
        """Whether there is nothing to see before training."""
        return not any(any(values(matrix)) for matrix in self.before)


@dataclass(frozen=True)
class Use:
    """A network's sequential convolutions, as its trials found and left them."""

    label: str
    layers: tuple[Layer, ...]

    @property
    def drawn(self) -> tuple[Layer, ...]:
        """The layers that the figure shows."""
        stages = [list(own) for _, own in groupby(self.layers, key=lambda layer: layer.name.partition(".")[0])]
        last = tuple(own[-1] for own in stages if len(own) > 1)
        return (last or self.layers)[:PANELS]


def uses_of(study: Study, observations: Mapping[str, Sequence[Observation]]) -> list[Use]:
    """The networks of a study whose groups were looked at; those without sequential convolutions are left out."""
    found = [_use(study.short(row.label), row, observations) for row in study.rows]
    return [use for use in found if use is not None]


def _use(label: str, row: Row, observations: Mapping[str, Sequence[Observation]]) -> Use | None:
    seen = [[o for o in observations.get(trial.id, ()) if o.name == OBSERVED] for trial in row.done]
    seen = [own for own in seen if own and own[-1].value["layers"]]
    if not seen:
        return None
    layers = tuple(
        Layer(
            layer["layer"],
            layer["inputs"],
            tuple(own[0].value["layers"][place]["rows"] for own in seen if own[0].epoch == 0),
            tuple(own[-1].value["layers"][place]["rows"] for own in seen),
        )
        for place, layer in enumerate(seen[0][0].value["layers"])
    )
    return Use(label, layers)


def values(matrix: Matrix) -> Iterator[float]:
    """The weights of the connections that there are."""
    return (value for row in matrix for value in row if value is not None)


def mean(matrices: Sequence[Matrix]) -> list[list[float | None]]:
    """Every connection's mean over seeds."""
    return [
        [None if cells[0] is None else fmean(cells) for cells in zip(*rows, strict=True)]
        for rows in zip(*matrices, strict=True)
    ]


# --- the table ---


@dataclass(frozen=True)
class Line:
    """One layer, or all of a network: connections, and over seeds what became of them; None before training if zero."""

    name: str
    network: str
    connections: int
    light: tuple[Sample, Sample]  # share of lightly used connections before and after training
    lower: tuple[Sample, Sample]  # share of those below half of the layer's largest: the lower half of the colours
    spread: tuple[Sample, Sample]  # standard deviation over mean
    seeds: int


def lines(uses: Sequence[Use]) -> list[Line]:
    """The layers drawn, each network's followed by all its layers together."""
    return [
        _line(name, use, layers)
        for use in uses[:NETWORKS]
        for name, layers in (
            *((layer.name, (layer,)) for layer in use.drawn),
            *([(f"all {len(use.layers)} layers", use.layers)] if len(use.layers) > len(use.drawn) else []),
        )
    ]


def _line(name: str, use: Use, layers: Sequence[Layer]) -> Line:
    before = list(zip(*(layer.before for layer in layers), strict=True))
    after = list(zip(*(layer.after for layer in layers), strict=True))
    connections = sum(1 for matrix in after[0] for _ in values(matrix))
    light, lower, spread = ((_over(before, read), _over(after, read)) for read in (_light, _lower, _spread))
    return Line(name, use.label, connections, light, lower, spread, len(after))


def _over(seeds: Sequence[Sequence[Matrix]], read: Callable[[Sequence[Matrix]], float]) -> Sample:
    """A number over seeds, where every layer has weights that are not zero."""
    return sample([read(own) for own in seeds if all(any(values(matrix)) for matrix in own)])


def _relative(matrices: Sequence[Matrix], to: Callable[[Iterator[float]], float]) -> list[float]:
    """All connections' weights, each relative to a number of its own layer."""
    return [value / level for matrix in matrices for level in [to(values(matrix))] for value in values(matrix)]


def _light(matrices: Sequence[Matrix]) -> float:
    return fmean(value < LIGHT for value in _relative(matrices, fmean))


def _lower(matrices: Sequence[Matrix]) -> float:
    return fmean(value < 0.5 for value in _relative(matrices, max))


def _spread(matrices: Sequence[Matrix]) -> float:
    return pstdev(_relative(matrices, fmean))


# --- the figure ---


def caption(use: Use, uses: Sequence[Use]) -> str:
    """What a network's figure shows; the last one explains the table below."""
    says = [
        f"{use.label}: mean absolute weight with which each group (rows) of a sequential convolution reads its input "
        "and the groups before it (columns), mean over seeds. White: no connection."
    ]
    if any(layer.before for layer in use.drawn) and all(layer.begins_at_zero for layer in use.drawn):
        says.append("These layers start at zero, so nothing is drawn of them before training.")
    if len(use.layers) > len(use.drawn):
        says.append(f"{len(use.drawn)} of {len(use.layers)} layers are shown.")
    if use is uses[:NETWORKS][-1]:
        if len(uses) > NETWORKS:
            says.append(f"The first {NETWORKS} of {len(uses)} networks are shown.")
        says.append(
            f"Below: a connection is light where its weight is below {LIGHT:.0%} of its layer's mean, and in the lower "
            "half of the colours where it is below half of the layer's largest. The spread is the standard deviation "
            "over a layer's connections in percent of their mean. All before and after training, means over n seeds."
        )
    return " ".join(says)


@styled
def heat_maps_figure(use: Use) -> Any:
    """A panel for each layer drawn, below one another before and after training; without what is zero before."""
    layers = use.drawn
    rows = [("after training", [layer.after for layer in layers])]
    if any(layer.before for layer in layers) and not all(layer.begins_at_zero for layer in layers):
        rows.insert(0, ("before training", [layer.before for layer in layers]))
    width = WIDTH / max(3, len(layers))
    tallest = max(len(layer.after[0]) / len(layer.after[0][0]) for layer in layers)
    figure = new_figure(width * len(layers) + FRAME, len(rows) * (0.88 * width * tallest + FRAME))
    grid = figure.subplots(len(rows), len(layers), squeeze=False)
    for line, (when, matrices) in zip(grid, rows, strict=True):
        for axes, layer, own in zip(line, layers, matrices, strict=True):
            shown = _panel(axes, layer, mean(own))
            axes.set_title(f"{layer.name}, {when}")
        line[0].set_ylabel("group")
    bar = figure.colorbar(shown, ax=grid, pad=0.015, aspect=20 * len(rows), shrink=0.9)
    bar.set_label("mean weight (largest = 1)")
    bar.outline.set_visible(False)
    return figure


def _panel(axes: Any, layer: Layer, matrix: Matrix) -> Any:
    """One matrix, normalised by its largest value; white where a group does not take part."""
    cells = np.array([[np.nan if value is None else value for value in row] for row in matrix])
    largest = np.nanmax(cells) or 1.0
    groups, columns = cells.shape
    shown = axes.imshow(cells / largest, cmap=COLOURS, vmin=0, vmax=1, interpolation="nearest")
    axes.grid(False)
    axes.spines[["top", "right"]].set_visible(True)
    axes.axvline(layer.inputs - 0.5, color=INK, linewidth=0.9)
    places = [(layer.inputs - 1) / 2, (layer.inputs + columns - 1) / 2]
    names = ["input" if layer.inputs > 1 else "in", "earlier groups"]
    axes.set_xticks(places, names)
    axes.tick_params(axis="x", length=0, colors=QUIET)
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=2))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value + 1:.0f}" if 0 <= value < groups else "")
    axes.tick_params(axis="y", color=FAINT)
    return shown
