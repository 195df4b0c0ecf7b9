"""`explorer report`: the page and its figures, rebuilt from the store alone."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from explorer.reports.claims import Claims, compare
from explorer.reports.columns import Column, column
from explorer.reports.edf import SpaceErrors, in_spaces, spaces_of
from explorer.reports.experiment import experiments_of
from explorer.reports.numbers import budget, plural
from explorer.reports.page import Picture, Section, render
from explorer.reports.pareto import Front, front_of
from explorer.reports.study import Findings, Group, Study, read
from explorer.reports.writing import make_folder, write_files
from explorer.sweep.candidates import DIGEST
from explorer.sweep.store import DEFAULT_WORKSPACE

PAGE = "report.html"
_OURS = re.compile(r"(study-\d+-)?(accuracy|pareto|edf|differences|reach|curves(-\d+)?)\.png")


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
    error = axes[1] if axes[1].error else column("test_error", "--y")
    spaces = spaces_of(study, error)
    pictures = {
        "accuracy": _accuracy(study, axes, prefix),
        "pareto": _pareto(study, front, prefix),
        "edf": _edf(study, spaces, error, prefix),
        "differences": _differences(study, claims, prefix),
        "reach": _reach(study, prefix),
        "curves": _curves(study, findings, prefix),
    }
    return Section(study, claims, pictures, front, spaces, experiments_of(study))


def _accuracy(study: Study, axes: tuple[Column, Column], prefix: str) -> list[Picture]:
    """The figure of error against cost."""
    from explorer.reports.accuracy import accuracy_figure, points_of
    from explorer.reports.printed import printed_points
    from explorer.reports.style import png

    x, y = axes
    found = in_spaces(study)  # too many to be joined and named: the Pareto front shows them
    points = [point for point in points_of(study, x, y) if point.row.network.digest[:DIGEST] not in found]
    if not points:
        return []
    printed, title = printed_points(x.name, y.name), _measured(study)
    caption = (
        "Circles are plain networks, asterisks networks with MS-SAR; lines join the sizes of one family. Bars are one "
        "standard deviation over seeds to each side; plain networks and those with all scales are drawn a hair apart."
    )
    if printed:
        caption += (
            " Right, on its own ground: Table 2 of the MS-SAR paper as printed, on CIFAR-10 after full training; "
            "its FLOPs are multiply-adds, as ours. It is not a measurement of ours."
        )
    figure = accuracy_figure(points, printed, x, y, title)
    return [Picture(f"{prefix}accuracy", png(figure), caption, f"{y.label} against {x.label} for every network")]


def _measured(study: Study) -> str:
    """What a figure of measured errors says above it: data, budget and seeds."""
    parts = [study.data.name, budget(study.budget), plural(len(study.seeds), "seed"), study.execution]
    return f"Measured here: {', '.join(filter(None, parts))}"


def _pareto(study: Study, front: Front | None, prefix: str) -> list[Picture]:
    """The figure of the Pareto front."""
    from explorer.reports.pareto import KNEE, pareto_figure
    from explorer.reports.style import png

    if front is None:
        return []
    caption = (
        f"The front are the {len(front.best)} of {plural(len(front.points), 'network')} that no other beats in both; "
        f"bars are one standard deviation over seeds to each side. The knee is {KNEE}"
        + ("." if front.knee else "; this front has none.")
    )
    if any(column.name == "validation_error" for column in (front.x, front.y)):
        caption += " Networks are chosen by validation errors; the table adds the test errors of those chosen."
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
        "the shares and counted in the legend. Bands hold the share in the whole space with 95% confidence "
        "(Dvoretzky, Kiefer, Wolfowitz), for networks drawn at random from it; they do not cover the noise of seeds."
    )
    description = f"Share of networks below an error, by design space: {error.label}"
    return [Picture(f"{prefix}edf", png(edf_figure(spaces, error, _measured(study))), caption, description)]


def _differences(study: Study, claims: Claims, prefix: str) -> list[Picture]:
    """The figure of paired differences."""
    from explorer.reports.differences import differences_figure, shown
    from explorer.reports.style import png

    panels = [
        (group.title, shown(own))
        for group, own in zip(study.groups, claims.by_group, strict=True)
        if shown(own)
    ]  # fmt: skip
    if not panels:
        return []
    caption = (
        "Test error minus that of the plain network under the same seed. Dots are seeds, diamonds their mean, lines "
        "95% t intervals, each taken alone. Filled diamonds exceed the noise after the correction for all comparisons."
    )
    description = "Paired differences of test error to the plain network with intervals, one line for each scale set"
    return [Picture(f"{prefix}differences", png(differences_figure(panels)), caption, description)]


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
    if len(strips) > MOST:
        caption += f" The first {MOST} of {len(strips)} networks are shown."
    figure = reach_figure(strips[:MOST], max(study.data.shape[1:]))
    description = "Layers on the longest path and receptive field over the channels of every stage, by network"
    return [Picture(f"{prefix}reach", png(figure), caption, description)]


def _curves(study: Study, findings: Findings, prefix: str) -> list[Picture]:
    """A figure of learning curves for each group."""
    from explorer.reports.curves import curves_figure, drawn
    from explorer.reports.style import png

    groups = [group for group in study.groups if any(drawn(group, findings.history))]
    found = []
    for number, group in enumerate(groups, start=1):
        picture = png(curves_figure(group, findings.history))
        description = f"Training loss, training error and validation error by epoch for {group.title}"
        found.append(Picture(f"{prefix}curves-{number}", picture, _curves_caption(group, findings), description))
    return found


def _curves_caption(group: Group, findings: Findings) -> str:
    """What the curves of a group show."""
    from explorer.reports.curves import drawn

    plain, rows = drawn(group, findings.history)
    left_out = len(group.rows) - len(rows) - (plain is not None)
    caption = (
        f"{group.title}: mean over seeds by epoch, the band is one standard deviation to each side. Training loss and "
        "error are averages over the epoch's own batches."
    )
    if plain is not None and rows:
        caption += " Black is the plain network in every panel; green is the lowest validation error at the end."
    if left_out:
        caption += f" {plural(left_out, 'network')} without curves or with higher validation errors not shown."
    return caption
