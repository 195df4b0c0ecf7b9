"""The HTML page: what the template shows, computed here; the template only arranges."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from explorer.reports import numbers
from explorer.reports.caveats import caveats
from explorer.reports.claims import Claims
from explorer.reports.columns import COLUMNS, Column
from explorer.reports.degenerate import marked
from explorer.reports.evidence import environment, evidence
from explorer.reports.excerpt import (
    NAMED,
    groups_shown,
    lost_left_out,
    networks_left_out,
    trials_left_out,
    trials_shown,
)
from explorer.reports.names import under_recipe
from explorer.reports.pairs import Judged, Tested
from explorer.reports.sentences import sentence, sentences_of_listed, sentences_of_twins
from explorer.reports.statistics import Sample
from explorer.reports.study import Group, Study
from explorer.reports.table import cells, group_lines, headings
from explorer.reports.trust import Needed, Trust, seeds_text
from explorer.sweep.records import DIVERGED, DONE, FAILED, TrialRecord

if TYPE_CHECKING:
    from explorer.reports.collapse import Track
    from explorer.reports.edf import SpaceErrors
    from explorer.reports.heat_maps import Line
    from explorer.reports.pareto import Front


@dataclass(frozen=True)
class Picture:
    """A figure as a PNG with its caption and its description for those who cannot see it."""

    name: str  # of the file, without its suffix
    png: bytes
    caption: str
    description: str

    @property
    def width(self) -> int:
        """Width on the page in CSS pixels: half of the picture's own, which has twice a screen's resolution."""
        return int.from_bytes(self.png[16:20], "big") // 2

    @property
    def source(self) -> str:
        """The picture itself as an address, so that the page needs no other file."""
        return f"data:image/png;base64,{b64encode(self.png).decode()}"


@dataclass(frozen=True)
class Section:
    """A study with its comparisons, pictures by kind, trust, front, spaces, experiments, and what was observed."""

    study: Study
    claims: Claims
    pictures: Mapping[str, Sequence[Picture]]
    trust: Trust
    front: "Front | None" = None
    spaces: "Sequence[SpaceErrors]" = ()
    spaces_left_out: Sequence[str] = ()  # sentences
    experiments: Sequence[Tested] = ()
    used: "Sequence[Line]" = ()
    tracks: "Sequence[Track]" = ()


def render(sections: Sequence[Section]) -> str:
    """The whole page as text."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    loader = PackageLoader("explorer.reports", "templates")
    jinja = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    css = Markup(jinja.get_template("report.css").render())
    shown = [_section(section) for section in sections]
    return jinja.get_template("report.html").render(css=css, title=_title(sections), sections=shown)


def _title(sections: Sequence[Section]) -> str:
    """The experiment that all runs are of, else what the networks are."""
    names = {run.config.get("experiment") for section in sections for run in section.study.runs}
    experiments = {one.experiment.file.name: one.experiment.file for section in sections for one in section.experiments}
    if len(names) == 1 and names == experiments.keys():
        (file,) = experiments.values()
        return f"{file.name}: {file.title}"
    swept = any(row.scales for section in sections for row in section.study.rows)
    return (
        "What multi-scale recalibration costs, and what it buys"
        if swept
        else "What these networks cost, and what that buys"
    )


def _section(section: Section) -> dict[str, Any]:
    """What the template shows of a study."""
    study, claims, groups = section.study, section.claims, groups_shown(section.study)
    lost, missing = study.lost(), _missing(study)
    return {
        "title": ", ".join(filter(None, [study.data.name, f"{numbers.budget(study.budget)} a trial", study.execution])),
        "facts": _facts(study),
        "findings": [
            (group.title, sentence(group, own))
            for group, own in zip(groups, claims.by_group, strict=False)
            if group.base is not None
        ]
        + sentences_of_listed(claims)
        + sentences_of_twins(claims)
        + [_about_claim(tested, claim) for tested in section.experiments for claim in tested.judged if claim.verdict],
        "caveats": [
            *caveats(study, claims, [c for tested in section.experiments for c in tested.comparisons]),
            *section.spaces_left_out,
        ],
        "swept": any(row.scales for row in study.rows),
        "lost": [(row.label, trial.seed, trial.status, trial.message or numbers.DASH) for row, trial in lost[:NAMED]],
        "missing": missing[:NAMED],
        "lost_left_out": lost_left_out(len(lost), len(missing)),
        "tables": [_table(study, group, claims) for group in groups],
        "networks_left_out": networks_left_out(study, groups),
        "pictures": section.pictures,
        "below": {
            "pareto": None if section.front is None else _front(section.front),
            "edf": _spaces(section.spaces) if section.spaces else None,
            "weights": _weights(section.used) if section.used else None,
            "collapse": _collapse(section.tracks) if section.tracks else None,
        },
        "experiments": [_experiment(study, tested) for tested in section.experiments],
        "trust": _trust(study, section.trust),
        "evidence": evidence(study, claims),
        "environment": environment(study),
        "trials": [_trial(row.label, trial) for row, trial in trials_shown(study)],
        "trials_left_out": trials_left_out(study),
    }


def _facts(study: Study) -> list[tuple[str, str]]:
    """The headline: what was run, and how it ended."""
    data = study.data
    ended = [(study.count(status), status) for status in (DONE, FAILED, DIVERGED)]
    counts = [f"{number} {word}" for number, word in ended if number or word == DONE]
    missing = [f"{len(study.missing)} missing"] if study.missing else []
    seeds = study.seeds
    return [
        ("Networks", str(len({row.network.digest for row in study.rows}))),
        ("Data", f"{data.name}: {data.train:,} train, {data.validation:,} validation, {data.test:,} test"),
        ("Budget", numbers.budget(study.budget)),
        *([("Computed", study.execution)] if study.execution else []),
        ("Seeds", str(len(seeds))),
        ("Trials", ", ".join([*counts, *missing])),
    ]


def _missing(study: Study) -> list[tuple[str, str]]:
    """Networks with the seeds that were planned and have not ended."""
    seeds: dict[str, list[int]] = {}
    for missing in study.missing:
        seeds.setdefault(missing.text, []).append(missing.seed)
    return [(text, numbers.listed([str(seed) for seed in own])) for text, own in seeds.items()]


def _table(study: Study, group: Group, claims: Claims) -> dict[str, Any]:
    """The scale table of a group."""
    table, columns = [], headings(group)
    for row, line in zip(group.rows, group_lines(study, group, claims), strict=True):
        comparison = claims.of(row)
        verdict = comparison.short_verdict if comparison else ("plain" if row.scales == () else "")
        marks = [("\N{CHECK MARK}" if scale in (row.scales or ()) else "") for scale in group.scales]
        tone = comparison.direction if comparison and comparison.exceeds else ""
        table.append(
            {
                "marks": marks,
                "text": row.label,
                "cells": cells(columns, line, comparison),
                "verdict": verdict,
                "tone": tone,
            }
        )
    mixed = group.base is not None and len({row.recipe for row in study.rows if row.recipe}) > 1
    return {
        "name": under_recipe(str(group.base), group.recipe) if mixed else group.title,
        "swept": group.base is not None,
        "scales": group.scales,
        "marked": marked(group.rows),
        "headings": columns,
        "lines": table,
    }


def _front(front: "Front") -> dict[str, Any]:
    """The table of the Pareto front."""
    tested = any(column.error for column in (front.x, front.y))
    lines = []
    for point in front.best:
        values = [_value(point.x, front.x), _value(point.y, front.y)]
        test = [_value(point.row.sample("test_error"), COLUMNS["test_error"])] if tested else []
        lines.append((point.row.label, "", [*values, *test, str(len(point.row.done))], point is front.knee))
    headings = [front.x.label, front.y.label, *([COLUMNS["test_error"].label] if tested else []), "trials"]
    return {"name": "On the front", "headings": headings, "lines": lines}


def _spaces(spaces: "Sequence[SpaceErrors]") -> dict[str, Any]:
    """The table of design spaces: what became of their networks, and how they were drawn."""
    headings = ["done", "diverged", "failed", "missing", "median error (%)", "error of the best in validation (%)"]
    lines = []
    for space in spaces:
        counts = [len(space.errors), space.diverged, space.failed, space.missing]
        errors = [numbers.percent(space.median), numbers.percent(space.chosen)]
        lines.append((space.name, space.how, [*map(str, counts), *errors], False))
    return {"name": "Space", "headings": headings, "lines": lines}


def _weights(lines: "Sequence[Line]") -> dict[str, Any]:
    """The table of how evenly connections between groups are used."""
    headings = ["connections", "light (%)", "lower half (%)", "spread (%)", "n"]
    shown = [
        (
            line.name,
            line.network,
            [f"{line.connections:,}", *map(_from_to, (line.light, line.lower, line.spread)), str(line.seeds)],
            False,
        )
        for line in lines
    ]
    return {"name": "Sequential convolution", "headings": headings, "lines": shown}


def _about_claim(tested: Tested, claim: Judged) -> tuple[str, str]:
    """A claim of a paper, and whether it holds here."""
    verdict = f"{claim.verdict[0].upper()}{claim.verdict[1:]}"
    return f"{tested.experiment.file.name}: {claim.claim}", f"{verdict}: {claim.detail}."


def _trust(study: Study, trust: Trust) -> dict[str, Any]:
    """What the template shows of the section on trust."""
    return {
        "statements": trust.statements,
        "table": _needed(study, trust),
        "printed": bool(trust.dataset),
        "left_out": trust.left_out,
    }


def _needed(study: Study, trust: Trust) -> dict[str, Any] | None:
    """The table of comparisons and the seeds they take; None where there is none."""
    printed = [f"printed, {trust.dataset}", "seeds for that"] if trust.dataset else []
    headings = ["difference (points)", "std", "n", "seeds for it", *printed, "verdict"]
    lines = [(*_named(one), _seeds_needed(one, bool(printed)), False) for one in trust.needed]
    return {"name": "Comparison, paired over seeds", "headings": headings, "lines": lines} if lines else None


def _named(one: Needed) -> tuple[str, str]:
    """A network, and below it what it is compared with, and in what."""
    row, reference, error = one.comparison.row, one.comparison.reference, one.comparison.error
    assert reference is not None  # compared, or there were no seeds to count
    recipes = f", trained by other recipes: {one.comparison.recipes}" if one.comparison.recipes else ""
    return row.label, f"against {reference.label}{', training error' if error == 'train_error' else ''}{recipes}"


def _seeds_needed(one: Needed, printed: bool) -> list[str]:
    """The cells of a comparison."""
    d = one.comparison.difference
    ours = [numbers.points(d.mean), numbers.percent(d.std), str(d.n), seeds_text(one.seeds)]
    theirs = [numbers.points(one.printed), seeds_text(one.printed_seeds)] if printed else []
    return [*ours, *theirs, one.comparison.short_verdict]


def _collapse(tracks: "Sequence[Track]") -> dict[str, Any]:
    """The table of channels that come to be one neuron."""
    from explorer.reports.collapse import table

    return table(tracks)


def _experiment(study: Study, tested: Tested) -> dict[str, Any]:
    """The table of an experiment: ours, and what the paper prints; and what the paper claims."""
    experiment = tested.experiment
    datasets = experiment.datasets
    headings = ["test error here (%)", "training error here (%)", "n", *(f"printed, {name}" for name in datasets)]
    lines = []
    for line in experiment.lines:
        ours = [_value(line.row.sample(name), COLUMNS[name]) for name in ("test_error", "train_error")]
        printed = [line.printed.get(name, numbers.DASH) for name in datasets]
        name = line.network + line.row.label.removeprefix(line.row.text)
        lines.append((line.name or name, name if line.name else "", [*ours, str(len(line.row.done)), *printed], False))
    file = experiment.file
    called = "Network, as the paper calls it" if any(line.name for line in experiment.lines) else "Network"
    return {
        "title": f"{file.name}: {file.title}",
        "about": file.about,
        "claims": tested.judged,
        "table": {"name": called, "headings": headings, "lines": lines},
        "note": _apart(study, datasets),
    }


def _apart(study: Study, datasets: Sequence[str]) -> str:
    """In what the papers' measurements differ from ours."""
    ways = [
        *(["on other data"] if study.data.name not in datasets else []),
        *(["after full training"] if study.budget != "full" else []),
    ]
    if not datasets or not ways:
        return ""
    return (
        f"What is printed was measured by the papers' authors {numbers.listed(ways)}, in percent; it cannot be "
        "compared in height with what was measured here."
    )


def _from_to(values: Sequence[Sample]) -> str:
    """Shares before and after training, with their spread over seeds."""
    spreads = ["" if value.std is None else f" ± {numbers.percent(value.std, 1)}" for value in values]
    shares = [f"{numbers.percent(value.mean, 1)}{spread}" for value, spread in zip(values, spreads, strict=True)]
    return " \N{RIGHTWARDS ARROW} ".join(shares)


def _value(value: Sample, column: Column) -> str:
    """A number with its spread over seeds."""
    if not column.error:
        return numbers.DASH if value.mean is None else f"{value.mean:,.4g}" if value.mean % 1 else f"{value.mean:,.0f}"
    spread = "" if value.std is None else f" ± {numbers.percent(value.std)}"
    return f"{numbers.percent(value.mean)}{spread}"


def _trial(text: str, trial: TrialRecord) -> list[str]:
    """One line of the list of all trials."""
    errors = [trial.test_error, trial.validation_error, trial.train_error]
    return [
        text,
        str(trial.seed),
        trial.status,
        *map(numbers.percent, errors),
        numbers.duration(trial.seconds),
    ]
