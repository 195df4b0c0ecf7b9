"""Learning curves, as MS-SAR's Figure 3: loss and error by epoch, each network beside the plain one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

from matplotlib.ticker import MaxNLocator

from explorer.reports.numbers import scale_set
from explorer.reports.statistics import sample
from explorer.reports.study import Group, Row
from explorer.reports.style import BLUE, GREEN, INK, family_colours, new_figure, styled
from explorer.sweep.records import EpochRecord

History = Mapping[str, Sequence[EpochRecord]]
QUANTITIES = (
    ("train_loss", "training loss (nats)"),
    ("train_error", "training error (%)"),
    ("validation_error", "validation error (%)"),
)
MOST = 7  # networks beside the plain one; of more, those with the lowest validation error
ROOM = 0.04  # above the highest mark, of the axis
NAME_WIDTH, NAME_LINES = 21, 3  # of a column's head, in characters
FIGURES = 12  # groups with a figure of their own


@dataclass(frozen=True)
class Curve:
    """Mean and standard deviation over seeds by epoch; errors in percent."""

    epochs: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]


def curve(row: Row, history: History, quantity: str) -> Curve | None:
    """A row's curve over the epochs that all its finished trials reached; None where nothing was measured."""
    scale = 100 if quantity.endswith("error") else 1
    trials = [
        {e.epoch: scale * getattr(e, quantity) for e in history.get(t.id, ()) if getattr(e, quantity) is not None}
        for t in row.done
    ]
    trials = [trial for trial in trials if trial]
    if not trials:
        return None
    epochs = sorted(set.intersection(*(set(trial) for trial in trials)))
    samples = [sample([trial[epoch] for trial in trials]) for epoch in epochs]
    return Curve(tuple(epochs), tuple(s.mean or 0.0 for s in samples), tuple(s.std or 0.0 for s in samples))


def candidates(group: Group) -> list[Row]:
    """The rows whose curves may be drawn: plain, and of the others those with the lowest validation errors."""
    others = sorted((row for row in group.rows if row is not group.plain), key=_validation)
    return [*([group.plain] if group.plain else []), *others[:MOST]]


def drawn(group: Group, history: History) -> tuple[Row | None, list[Row]]:
    """The row to compare with (None: there is no plain network) and those beside it, by validation error if many."""
    plain = group.plain if group.plain and curve(group.plain, history, "train_loss") else None
    rows = [row for row in group.rows if row is not group.plain and curve(row, history, "train_loss")]
    best = sorted(rows, key=_validation)[:MOST]
    return plain, [row for row in rows if row in best]


def best_variant(group: Group) -> Row | None:
    """The network with MS-SAR with the lowest mean validation error; the test part has no say."""
    measured = [row for row in group.variants if row.sample("validation_error").mean is not None]
    return min(measured, key=_validation, default=None)


def _validation(row: Row) -> float:
    mean = row.sample("validation_error").mean
    return float("inf") if mean is None else mean


@styled
def curves_figure(group: Group, history: History) -> Any:
    """A column for each network, a row for each quantity; the plain network is repeated in every column."""
    plain, rows = drawn(group, history)
    columns = rows or ([plain] if plain else [])
    column = 1.27 if group.base is not None else 1.6  # whole texts stand above networks on their own
    figure = new_figure(max(4.2, 1.0 + column * len(columns)), 5.6)
    figure.suptitle(group.title, x=0.005, ha="left", fontsize=9.5, fontweight="bold")
    grid = figure.subplots(len(QUANTITIES), len(columns), squeeze=False, sharex=True, sharey="row")
    best = best_variant(group)
    colours = family_colours([str(index) for index, _ in enumerate(columns)])
    for index, row in enumerate(columns):
        for axes, (quantity, label) in zip(grid[:, index], QUANTITIES, strict=True):
            if plain is not None and row is not plain:
                _draw(axes, curve(plain, history, quantity), INK, "plain", 1.0)
            colour = _colour(row, best) if group.base is not None else colours[str(index)]
            _draw(axes, curve(row, history, quantity), colour, _name(row, group), 1.5)
            if index == 0:
                axes.set_ylabel(label)
        _head(grid[0, index], row, group, best)
        grid[-1, index].set_xlabel("epoch")
        grid[-1, index].xaxis.set_major_locator(MaxNLocator(4, integer=True, min_n_ticks=1))
    _frame(grid)
    if plain is not None and rows:
        _say_who_is_who(grid[0, 0])
    return figure


def _frame(grid: Any) -> None:
    """Limits that all columns share: from zero up, and whole epochs, be it a single one."""
    for axes in grid[:, 0]:
        axes.set_ylim(0, (1 + ROOM) * axes.get_ylim()[1])
    low, high = grid[0, 0].get_xlim()
    if high - low < 1:
        grid[0, 0].set_xlim((low + high) / 2 - 0.5, (low + high) / 2 + 0.5)


def _say_who_is_who(axes: Any) -> None:
    """A legend in the first panel: black is the plain network in all of them."""
    place = {"transform": axes.transAxes, "fontsize": 7.5, "ha": "right", "va": "top"}
    axes.text(0.98, 0.98, "plain", color=INK, **place)
    axes.text(0.98, 0.86, "with MS-SAR", color=BLUE, **place)


def _colour(row: Row, best: Row | None) -> str:
    """Green for the lowest error on validation images, blue for the others, black for the plain network."""
    return INK if not row.scales else GREEN if row is best else BLUE


def _name(row: Row, group: Group) -> str:
    return scale_set(row.scales) if group.base is not None else row.label


def _head(axes: Any, row: Row, group: Group, best: Row | None) -> None:
    """The column's title: the scale set, and whether its error on the validation images is the lowest."""
    name = "plain" if row.scales == () else _name(row, group)
    lines = wrap(name, NAME_WIDTH, max_lines=NAME_LINES, placeholder=" \N{HORIZONTAL ELLIPSIS}")
    axes.set_title("\n".join(lines), loc="left", fontsize=8.5 if group.base is not None else 7.5, fontweight="normal")
    if row is best and len(group.variants) > 1:
        axes.set_title("lowest (val.)", loc="right", fontsize=7, color=GREEN, fontweight="normal")


def _draw(axes: Any, found: Curve | None, colour: str, label: str, width: float) -> None:
    """Mean as a line, one standard deviation to each side as a band; of a single epoch as a point with a bar."""
    if found is None:
        return
    if len(found.epochs) == 1:  # neither a line nor a band can be seen
        look = {"fmt": "o", "markersize": 4, "elinewidth": 1, "capsize": 2.5}
        axes.errorbar(found.epochs, found.mean, found.std, color=colour, label=label, **look)
        return
    low = [m - s for m, s in zip(found.mean, found.std, strict=True)]
    high = [m + s for m, s in zip(found.mean, found.std, strict=True)]
    axes.plot(found.epochs, found.mean, color=colour, linewidth=width, label=label)
    axes.fill_between(found.epochs, low, high, color=colour, alpha=0.16, linewidth=0)
