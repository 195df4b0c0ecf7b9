"""`explorer report`: the page and its figures, rebuilt from the store alone."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from explorer.reports.claims import Claims, compare
from explorer.reports.columns import Column, column
from explorer.reports.edf import SpaceErrors, in_spaces, spaces_of
from explorer.reports.excerpt import lost_by_name
from explorer.reports.experiment import experiments_of
from explorer.reports.numbers import budget, listed, plural
from explorer.reports.page import Picture, Section, render
from explorer.reports.pairs import judge
from explorer.reports.pareto import Front, front_of
from explorer.reports.study import Findings, Group, Study, read
from explorer.reports.trust import Trust, trust_of
from explorer.reports.writing import make_folder, write_files
from explorer.sweep.candidates import DIGEST
from explorer.sweep.store import DEFAULT_WORKSPACE

if TYPE_CHECKING:
    from explorer.reports.collapse import Track
    from explorer.reports.curves import History
    from explorer.reports.heat_maps import Line, Use

PAGE = "report.html"
WEIGHTS = "group-weights"  # the observation that heat maps show
CHANNELS = "channel-pairs"  # the one of channels that come to be one neuron
_OURS = re.compile(
    r"(study-\d+-)?(accuracy|pareto|edf|differences|reach|collapse|(curves|agreement|weights)(-\d+)?)\.png"
)


@dataclass(frozen=True)
class ReportFiles:
    """What was written."""

    html: Path
    figures: tuple[Path, ...]


def write_report(
    workspace: str | Path = DEFAULT_WORKSPACE,
    runs: Sequence[int] | None = None,
    out: str | Path | None = None,
    *,
    x: str = "macs",
    y: str = "test_error",
) -> ReportFiles:
    """Write report.html and its figures about the given runs (None: all) to `out` (None: WORKSPACE/report).

    `x`, `y`: columns (see `columns.COLUMNS`) of the accuracy figure. The page needs no other file; the same
    store gives the same bytes. UserError for a store without ended trials, an unknown run or column, and a
    folder that cannot be written.
    """
    axes = column(x, "--x"), column(y, "--y")
    findings = read(workspace, runs)
    folder, option = (Path(workspace) / "report", "--workspace") if out is None else (Path(out), "out")
    make_folder(folder, option)  # before the work, so that a slip is told at once
    many = len(findings.studies) > 1
    sections = [
        _section(study, findings, axes, f"study-{number}-" if many else "")
        for number, study in enumerate(findings.studies, start=1)
    ]
    pictures = [picture for section in sections for own in section.pictures.values() for picture in own]
    files = {f"{picture.name}.png": picture.png for picture in pictures} | {PAGE: render(sections).encode()}
    *figures, page = write_files(folder, files, option)
    _remove_old(folder, files)
    return ReportFiles(page, tuple(figures))


def _remove_old(folder: Path, files: Mapping[str, bytes]) -> None:
    """Remove figures of an earlier report that this one no longer has, so that none is taken for its own."""
    for path in folder.glob("*.png"):
        if _OURS.fullmatch(path.name) and path.name not in files:
            with suppress(OSError):
                path.unlink()


def _section(study: Study, findings: Findings, axes: tuple[Column, Column], prefix: str) -> Section:
    """A study's comparisons and pictures."""
    claims, front = compare(study), front_of(study, *axes)
    tested = [judge(experiment, study) for experiment in experiments_of(study)]
    trust = trust_of(study, findings.studies, claims, tested)
    error = axes[1] if axes[1].error else column("test_error", "--y")
    spaces, too_small = spaces_of(study, error)
    uses = _uses(study, findings)
    tracks = _tracks(study, findings)
    pictures = {
        "accuracy": _accuracy(study, axes, prefix),
        "pareto": _pareto(study, front, prefix),
        "edf": _edf(study, spaces, error, prefix),
        "differences": _differences(study, claims, prefix),
        "reach": _reach(study, prefix),
        "curves": _curves(study, findings, prefix),
        "weights": _weights(study, uses, prefix),
        "collapse": _collapse(study, tracks, prefix),
        "agreement": _agreement(study, trust, prefix),
    }
    return Section(study, claims, pictures, trust, front, spaces, too_small, tested, _lines(uses), tracks)


def _tracks(study: Study, findings: Findings) -> "list[Track]":
    """The networks whose channel pairs were observed."""
    if not any(observation.name == CHANNELS for own in findings.observations.values() for observation in own):
        return []
    from explorer.reports.collapse import tracks_of

    return tracks_of(study, findings.observations)


def _collapse(study: Study, tracks: "Sequence[Track]", prefix: str) -> list[Picture]:
    """The figure of channels that come to be one neuron."""
    from explorer.reports.collapse import caption, collapse_figure
    from explorer.reports.style import png

    if not tracks:
        return []
    description = "The smallest distance of two channels of a layer, and the share of close pairs, by epoch and network"
    return [Picture(f"{prefix}collapse", png(collapse_figure(tracks, _measured(study))), caption(tracks), description)]


def _accuracy(study: Study, axes: tuple[Column, Column], prefix: str) -> list[Picture]:
    """The figure of error against cost."""
    from explorer.reports.accuracy import MOST, accuracy_figure, curves, points_of
    from explorer.reports.printed import DATASETS, concerns, panels
    from explorer.reports.style import png

    x, y = axes
    found = in_spaces(study)  # too many to be joined and named: the Pareto front shows them
    if sum(row.network.digest[:DIGEST] not in found for row in study.rows) > MOST:  # so are these
        return []
    points = [point for point in points_of(study, x, y) if point.row.network.digest[:DIGEST] not in found]
    if not points:
        return []
    names = [str(run.config.get("experiment", "")) for run in study.runs]
    printed = panels(study.data.name, names, x.name, y.name) if concerns(study.rows, names) else {}
    starred = any(point.starred for point in points)
    marks = "Circles are plain networks, asterisks networks with MS-SAR. " if starred else ""
    marks += "Lines join the sizes of one family. " if any(len(own) > 1 for own in curves(points)) else ""
    apart = "; plain networks and those with all scales are drawn a hair apart" if starred else ""
    caption = f"{marks}Bars are one standard deviation over seeds to each side{_no_bars(study)}{apart}."
    if printed:
        datasets, where = listed([DATASETS[dataset] for dataset in printed]), "Below" if len(printed) > 1 else "Right"
        flops = "; its FLOPs are multiply-adds, as ours" if x.name == "macs" else ""
        caption += (
            f" {where}, on its own ground: Table 2 of the MS-SAR paper as printed, on {datasets} after full training"
            f"{flops}. It is not a measurement of ours, and has no error bars."
        )
    caption += lost_by_name(study)
    figure = accuracy_figure(points, printed, x, y, _measured(study))
    return [Picture(f"{prefix}accuracy", png(figure), caption, f"{y.label} against {x.label} for every network")]


def _measured(study: Study) -> str:
    """What a figure of measured errors says above it: data, budget and seeds."""
    parts = [study.data.name, budget(study.budget), _seeds(study), study.execution]
    return f"Measured here: {', '.join(filter(None, parts))}"


def _seeds(study: Study) -> str:
    """How many seeds the networks with a result have."""
    numbers = sorted({len(row.done) for row in study.rows if row.done})
    if len(numbers) > 1:
        return f"{numbers[0]} to {numbers[-1]} seeds"
    return plural(numbers[0] if numbers else 0, "seed")


def _no_bars(study: Study) -> str:
    """What becomes of error bars where there is a single seed."""
    single = [len(row.done) == 1 for row in study.rows if row.done]
    return "" if not any(single) else ", none with one seed" if all(single) else ", none where there is one seed"


def _pareto(study: Study, front: Front | None, prefix: str) -> list[Picture]:
    """The figure of the Pareto front."""
    from explorer.reports.pareto import KNEE, pareto_figure
    from explorer.reports.style import png

    if front is None:
        return []
    number = len(front.best)
    is_or_are = "is" if number == 1 else "are"
    caption = (
        f"The front {is_or_are} the {number} of {plural(len(front.points), 'network')} that no other beats in both; "
        f"bars are one standard deviation over seeds to each side{_no_bars(study)}. The knee is {KNEE}"
    )
    caption += "." if front.knee else "; this front has none."
    if front.x.error or front.y.error:
        caption += " Means decide; networks whose bars overlap may well change places under other seeds."
    if any(column.name == "validation_error" for column in (front.x, front.y)):
        caption += " Networks are chosen by validation errors; the table adds the test errors of those chosen."
    caption += lost_by_name(study)
    description = f"{front.y.label} against {front.x.label}: every network, the Pareto front, its knee"
    measured = front.x.error or front.y.error
    title = _measured(study) if measured else f"Costs on images of {study.data.name}"
    return [Picture(f"{prefix}pareto", png(pareto_figure(front, title)), caption, description)]


def _edf(study: Study, spaces: Sequence[SpaceErrors], error: Column, prefix: str) -> list[Picture]:
    """The figure of each design space's errors."""
    from explorer.reports.edf import edf_figure
    from explorer.reports.style import png

    if not spaces:
        return []
    caption = (
        "For each design space the share of its networks with at most this error, each network's error being the mean "
        "over its seeds. A network that diverged counts as above every error; failed and missing ones are left out of "
        "the shares and counted in the legend."
    )
    if any(space.sampled for space in spaces):
        caption += (
            " Bands hold the share in the whole space with 95% confidence (Dvoretzky, Kiefer, Wolfowitz), for networks "
            "drawn at random from it; they do not cover the noise of seeds."
        )
    if whole := [space.name for space in spaces if not space.sampled]:
        caption += f" Without a band, since all networks of the space that fit are there: {listed(whole)}."
    description = f"Share of networks below an error, by design space: {error.label}"
    return [Picture(f"{prefix}edf", png(edf_figure(spaces, error, _measured(study))), caption, description)]


def _differences(study: Study, claims: Claims, prefix: str) -> list[Picture]:
    """The figure of paired differences."""
    from explorer.reports.differences import PANELS, differences_figure, shown
    from explorer.reports.style import png

    pairs = zip(study.groups, claims.by_group, strict=True)
    every = [(group.title, own) for group, own in pairs if any(c.difference.mean is not None for c in own)]
    panels = [(title, shown(own)) for title, own in every[:PANELS]]
    if not panels:
        return []
    caption = (
        f"{_measured(study)}. Test error minus that of the plain network under the same seed. Dots are seeds, diamonds "
        "their mean, lines 95% t intervals, each taken alone (one seed: none). Filled diamonds exceed the noise after "
        "the correction for all comparisons."
    )
    if len(every) > PANELS:
        caption += f" The first {PANELS} of {len(every):,} base networks are shown."
    caption += lost_by_name(study)
    description = "Paired differences of test error to the plain network with intervals, one line for each scale set"
    return [Picture(f"{prefix}differences", png(differences_figure(panels)), caption, description)]


def _agreement(study: Study, trust: Trust, prefix: str) -> list[Picture]:
    """A figure for each longer budget of the same networks."""
    from explorer.reports.agreement_figure import agreement_figure
    from explorer.reports.style import png

    found = []
    for number, one in enumerate(trust.longer, start=1):
        before = budget(study.budget)
        title = ", ".join(filter(None, [study.data.name, f"{before} against {one.budget}", study.execution]))
        fewest, most = one.orders.seeds
        seeds = plural(most, "seed") if fewest == most else f"{fewest} to {most} seeds"
        caption = (
            f"The same networks after two budgets, {seeds} each: mean test errors, bars of one standard deviation over "
            "seeds to each side (one seed: none). Networks in the same order lie on a line that rises."
        )
        figure = agreement_figure(one.orders, study.short, before, one.budget, title)
        description = f"Test error after {one.budget} against test error after {before}"
        found.append(Picture(f"{prefix}agreement-{number}", png(figure), caption, description))
    return found


def _reach(study: Study, prefix: str) -> list[Picture]:
    """The figure of depth and receptive field by channel, where channels of one map differ in them."""
    from explorer.reports.reach_figure import MOST, reach_figure, strips_of, worth_showing
    from explorer.reports.style import png

    strips = strips_of(study)
    if not worth_showing(strips):
        return []
    caption = (
        "Every channel of each stage's output: how many layers lie on the longest path from the image to it, and the "
        "side of the window of an unbounded image that it sees. Marks are as high as their value is common in the "
        "stage. Networks of equal cost can differ here."
    )
    networks = len({row.network.digest for row in study.rows})
    if networks > MOST:
        caption += f" The first {len(strips)} of {networks:,} networks are shown."
    figure = reach_figure(strips, max(study.data.shape[1:]))
    description = "Layers on the longest path and receptive field over the channels of every stage, by network"
    return [Picture(f"{prefix}reach", png(figure), caption, description)]


def _curves(study: Study, findings: Findings, prefix: str) -> list[Picture]:
    """A figure of learning curves for each group."""
    from explorer.reports.curves import FIGURES, candidates, curves_figure, drawn
    from explorer.reports.style import png

    history = findings.history(row for group in study.groups[:FIGURES] for row in candidates(group))
    groups = [group for group in study.groups[:FIGURES] if any(drawn(group, history))]
    found = []
    for number, group in enumerate(groups, start=1):
        picture = png(curves_figure(group, history))
        description = f"Training loss, training error and validation error by epoch for {group.title}"
        caption = f"{_measured(study)}. {_curves_caption(group, history)}"
        if group is groups[-1] and len(study.groups) > FIGURES:
            caption += f" Of {len(study.groups):,} base networks the first {FIGURES} have a figure."
        found.append(Picture(f"{prefix}curves-{number}", picture, caption, description))
    return found


def _curves_caption(group: Group, history: "History") -> str:
    """What the curves of a group show."""
    from explorer.reports.curves import drawn

    plain, rows = drawn(group, history)
    left_out = len(group.rows) - len(rows) - (plain is not None)
    caption = (
        f"{group.title}: mean over seeds by epoch, the band is one standard deviation to each side (one seed: none). "
        "Training loss and error are averages over the epoch's own batches."
    )
    if plain is not None and rows:
        caption += (
            " Black is the plain network in every panel; green is the lowest validation error at the end, not shown to "
            "be the best."
        )
    shown = [*rows, *([plain] if plain is not None else [])]
    if any(len({trial.epochs for trial in row.done}) > 1 for row in shown):
        caption += " A curve ends with the last epoch that all seeds reached; some went further."
    if left_out:
        caption += f" {plural(left_out, 'network')} without curves or with higher validation errors not shown."
    return caption


def _uses(study: Study, findings: Findings) -> "list[Use]":
    """The networks whose weights between groups were observed."""
    if not any(observation.name == WEIGHTS for own in findings.observations.values() for observation in own):
        return []
    from explorer.reports.heat_maps import uses_of

    return uses_of(study, findings.observations)


def _lines(uses: "Sequence[Use]") -> "list[Line]":
    """The table below the heat maps."""
    if not uses:
        return []
    from explorer.reports.heat_maps import lines

    return lines(uses)


def _weights(study: Study, uses: "Sequence[Use]", prefix: str) -> list[Picture]:
    """The heat maps of each network's weights between groups."""
    if not uses:
        return []
    from explorer.reports.heat_maps import NETWORKS, caption, heat_maps_figure
    from explorer.reports.style import png

    found = []
    for number, use in enumerate(uses[:NETWORKS], start=1):
        text = f"{_measured(study)}. {caption(use, uses)}"
        description = f"Heat maps of weights between groups of {use.label}"
        found.append(Picture(f"{prefix}weights-{number}", png(heat_maps_figure(use)), text, description))
    return found
