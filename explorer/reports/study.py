"""What the store holds, arranged for reading: studies, and in them networks with their trials.

A study is what may be compared: trials on the same images within the same budget, computed in the same way.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from explorer.errors import UserError
from explorer.reports.names import short_name, short_names, under_recipe
from explorer.reports.quantities import LABELS, quantity
from explorer.reports.statistics import Sample, sample
from explorer.sweep.records import (
    DIVERGED,
    DONE,
    FAILED,
    CandidateRecord,
    DataRecord,
    EpochRecord,
    NetworkRecord,
    Observation,
    RunRecord,
    TrialRecord,
)
from explorer.sweep.store import Store, collector_paused
from explorer.train.execution import Execution


@dataclass(frozen=True)
class Row:
    """One network under one recipe, with all its trials in the study."""

    text: str
    base: str
    scales: tuple[int, ...] | None  # none: plain; None: not from a sweep of scales
    network: NetworkRecord
    recipe: str | None  # its name; None: no trial has ended yet
    trials: tuple[TrialRecord, ...]
    classes: int = 0  # of the data
    several: bool = False  # the study has rows of this network under other recipes

    @property
    def label(self) -> str:
        """The text; with the recipe where only this tells two rows apart."""
        return under_recipe(self.text, self.recipe if self.several else None)

    @cached_property
    def done(self) -> list[TrialRecord]:
        """The trials that ended as they should."""
        return self.ended(DONE)

    def ended(self, status: str) -> list[TrialRecord]:
        """The trials that ended with this status."""
        return [trial for trial in self.trials if trial.status == status]

    def by_seed(self, column: str) -> dict[int, float]:
        """A measured column of the trials that are done, by seed."""
        return {t.seed: value for t in self.done if (value := getattr(t, column)) is not None}

    def sample(self, column: str) -> Sample:
        """Mean and spread over seeds of a trial's column, or the exact count of a network's, kept or computed again."""
        if column in NetworkRecord.__dataclass_fields__:
            return Sample(getattr(self.network, column), None, 1)
        if column in LABELS:
            return Sample(quantity(self.network, self.classes, column), None, 1)
        return self.measured(column)

    def measured(self, column: str) -> Sample:
        """Mean and spread over seeds of what was measured on the trials that are done."""
        return sample(list(self.by_seed(column).values()))


@dataclass(frozen=True)
class Group:
    """A base network under one recipe: plain and with each scale set. Or (no base) networks on their own."""

    base: str | None
    recipe: str | None
    rows: tuple[Row, ...]
    several: bool = False  # the study has groups of this base under other recipes

    @cached_property
    def plain(self) -> Row | None:
        """The plain network's row."""
        return next((row for row in self.rows if row.scales == ()), None)

    @property
    def variants(self) -> list[Row]:
        """The rows with MS-SAR."""
        return [row for row in self.rows if row.scales]

    @property
    def scales(self) -> list[int]:
        """Every scale that a row uses."""
        return sorted({scale for row in self.variants for scale in row.scales or ()})

    @property
    def title(self) -> str:
        """What to call it in headings."""
        if self.base is None:
            return "networks on their own"
        return under_recipe(self.base, self.recipe if self.several else None)


@dataclass(frozen=True)
class Missing:
    """A planned trial that has not ended."""

    text: str
    seed: int


@dataclass(frozen=True)
class Study:
    """All that was run on one data set within one budget, in one way of computing."""

    data: DataRecord
    budget: str
    groups: tuple[Group, ...]
    missing: tuple[Missing, ...]
    runs: tuple[RunRecord, ...]
    execution: str = ""  # in words, where it is not as usual

    @property
    def rows(self) -> list[Row]:
        """Every network."""
        return [row for group in self.groups for row in group.rows]

    @cached_property
    def trials(self) -> list[TrialRecord]:
        """Every ended trial once."""
        return list({trial.id: trial for row in self.rows for trial in row.trials}.values())

    def short(self, label: str) -> str:
        """The least that tells a network or base from all others of the study; a recipe behind it is kept."""
        return short_name(label, self._names)

    @cached_property
    def _names(self) -> dict[str, str]:
        return short_names(text for row in self.rows for text in (row.text, row.base))

    @cached_property
    def missing_by_text(self) -> Counter[str]:
        """How many trials of each network have not ended."""
        return Counter(missing.text for missing in self.missing)

    @property
    def seeds(self) -> list[int]:
        """Every seed that was tried."""
        return sorted({trial.seed for trial in self.trials})

    def count(self, status: str) -> int:
        """The number of trials that ended so."""
        return sum(trial.status == status for trial in self.trials)

    def lost(self) -> list[tuple[Row, TrialRecord]]:
        """The trials that failed or diverged, with their networks."""
        return [(row, trial) for row in self.rows for trial in row.trials if trial.status in (FAILED, DIVERGED)]


@dataclass
class _Draft:
    """A study while its runs are read."""

    data: DataRecord
    budget: str
    execution: str
    candidates: list[CandidateRecord] = field(default_factory=list)
    trials: list[TrialRecord] = field(default_factory=list)  # those of two runs twice
    missing: dict[Missing, None] = field(default_factory=dict)
    runs: list[RunRecord] = field(default_factory=list)


@dataclass(frozen=True)
class Findings:
    """Everything a report needs from a store."""

    studies: tuple[Study, ...]
    workspace: str | Path
    runs: tuple[int, ...]

    def history(self, rows: Iterable[Row]) -> dict[str, list[EpochRecord]]:
        """The epochs of the rows' trials, by trial: most of what a store holds, read only for the curves drawn."""
        with Store.read(self.workspace) as store:
            return store.epochs(dict.fromkeys(trial.id for row in rows for trial in row.done))

    @cached_property
    def observations(self) -> dict[str, list[Observation]]:
        """What was observed in training, by trial."""
        with Store.read(self.workspace) as store:
            return store.observations(self.runs)


@collector_paused()
def read(workspace: str | Path, runs: Sequence[int] | None = None, brief: bool = False) -> Findings:
    """The studies of the given runs (none given: of all). UserError where there is no store, run or trial.

    `brief`: for the tables of errors alone, see `Store.trials`.
    """
    with Store.read(workspace) as store:
        chosen = _chosen(store.runs(), runs)
        drafts: dict[tuple[str, str, str], _Draft] = {}
        for run in chosen:
            _add_run(drafts, store, run, brief)
        path = store.path
    studies = tuple(_study(draft) for draft in drafts.values())
    if not any(row.trials for study in studies for row in study.rows):
        raise UserError(f"no trial has ended in the store {path}: run `explorer sweep` or `explorer train` first")
    return Findings(studies, workspace, tuple(run.id for run in chosen))


def _chosen(known: list[RunRecord], wanted: Sequence[int] | None) -> list[RunRecord]:
    """The runs asked for; UserError for one that is not there."""
    if not wanted:
        return known
    numbers = {run.id for run in known}
    for number in wanted:
        if number not in numbers:
            have = ", ".join(map(str, sorted(numbers))) or "none"
            raise UserError(f"RUN: there is no run {number}; the store has: {have}")
    return [run for run in known if run.id in set(wanted)]


def _add_run(drafts: dict[tuple[str, str, str], _Draft], store: Store, run: RunRecord, brief: bool) -> None:
    """Read one run into the draft of its study."""
    trials = store.trials([run.id], brief)
    data = _data_of(run, trials, store.data())
    budget = str(run.config.get("budget") or (trials[0].budget if trials else ""))
    if data is None:
        return
    execution = Execution(**run.config.get("execution", {})).unusual
    draft = drafts.setdefault((data.fingerprint, budget, execution), _Draft(data, budget, execution))
    candidates = store.candidates([run.id])
    draft.runs.append(run)
    draft.candidates += candidates
    draft.trials += trials
    draft.missing.update(dict.fromkeys(_missing(run, candidates, trials)))


def _data_of(run: RunRecord, trials: Sequence[TrialRecord], known: dict[str, DataRecord]) -> DataRecord | None:
    """The data set of a run: that of its trials, or the latest of the name it was given."""
    if trials:
        return known[trials[0].data]
    name, images = run.config.get("data"), run.config.get("images")
    named = [data for data in known.values() if (data.fingerprint.startswith(images) if images else data.name == name)]
    return named[-1] if named else None


def _missing(run: RunRecord, candidates: Sequence[CandidateRecord], trials: Sequence[TrialRecord]) -> list[Missing]:
    """The planned trials of a run that have not ended."""
    if len(trials) == run.planned:
        return []
    seeds = range(run.config["seeds"]) if "seeds" in run.config else [run.config.get("seed", 0)]
    networks: dict[str, str] = {}
    for candidate in candidates:
        networks.setdefault(candidate.network.digest, candidate.text)
    there: dict[str, set[int]] = {digest: set() for digest in networks}
    for trial in trials:
        there.setdefault(trial.network, set()).add(trial.seed)
    return [Missing(text, seed) for digest, text in networks.items() for seed in seeds if seed not in there[digest]]


def _study(draft: _Draft) -> Study:
    """A study from all that was read into it."""
    once = draft.trials if len(draft.runs) == 1 else {trial.id: trial for trial in draft.trials}.values()
    trials: dict[str, list[TrialRecord]] = {}  # by network
    for trial in once:
        trials.setdefault(trial.network, []).append(trial)
    recipes = _recipe_names(once)
    rows = [
        row
        for candidate in _distinct(draft.candidates)
        for row in _rows(candidate, trials.get(candidate.network.digest, []), recipes, draft.data.classes)
    ]
    missing = tuple(draft.missing)
    return Study(draft.data, draft.budget, _groups(rows), missing, tuple(draft.runs), draft.execution)


def _distinct(candidates: Sequence[CandidateRecord]) -> list[CandidateRecord]:
    """Candidates without repetition; of a network met in a sweep of scales and alone, the former."""
    swept = {candidate.network.digest for candidate in candidates if candidate.scales is not None}
    kept: dict[Any, CandidateRecord] = {}
    for candidate in candidates:
        alone = candidate.scales is None
        if not (alone and candidate.network.digest in swept):
            key = (None if alone else candidate.base, candidate.scales, candidate.network.digest)
            kept.setdefault(key, candidate)
    return list(kept.values())


def _recipe_names(trials: Iterable[TrialRecord]) -> dict[int, str]:
    """The names of the trials' recipes by their id(); with what differs where two of one name do."""
    recipes = {id(trial.recipe): trial.recipe for trial in trials}  # the store gives equal ones as one object, mostly
    texts = {key: json.dumps(recipe, sort_keys=True) for key, recipe in recipes.items()}
    versions: dict[str, dict[str, dict[str, Any]]] = {}  # by name, by text
    for key, text in texts.items():
        versions.setdefault(str(recipes[key].get("name", "unnamed recipe")), {})[text] = recipes[key]
    names = {text: _version(name, text, same) for name, same in versions.items() for text in same}
    return {key: names[text] for key, text in texts.items()}


def _version(name: str, text: str, same: Mapping[str, dict[str, Any]]) -> str:
    """A recipe's name, and what tells it from others of that name: an older release's, say."""
    settings = dict.fromkeys(setting for recipe in same.values() for setting in recipe)
    apart = [key for key in settings if len({json.dumps(recipe.get(key)) for recipe in same.values()}) > 1]
    told = [f"{key}={json.dumps(same[text].get(key))}" for key in apart]
    return f"{name}, {', '.join(told)}" if told else name


def _rows(
    candidate: CandidateRecord, trials: Sequence[TrialRecord], recipes: Mapping[int, str], classes: int
) -> list[Row]:
    """A candidate's rows: one for each recipe it was trained with, or one without trials."""
    own = (candidate.text, candidate.base, candidate.scales, candidate.network)
    by_recipe: dict[str, list[TrialRecord]] = {}
    for trial in trials:
        by_recipe.setdefault(recipes[id(trial.recipe)], []).append(trial)
    several = len(by_recipe) > 1
    rows = [Row(*own, recipe, tuple(trained), classes, several) for recipe, trained in by_recipe.items()]
    return rows or [Row(*own, None, (), classes)]


def _groups(rows: Sequence[Row]) -> tuple[Group, ...]:
    """Rows by base network and recipe, small scale sets first; networks on their own come last."""
    recipes = {row.base: row.recipe for row in reversed(rows) if row.recipe}  # of bases not all of which ran
    grouped: dict[tuple[str | None, str | None], list[Row]] = {}
    for row in rows:
        base = None if row.scales is None else row.base
        grouped.setdefault((base, row.recipe or recipes.get(row.base) if base else None), []).append(row)
    ordered = sorted(grouped.items(), key=lambda item: item[0][0] is None)
    times = Counter(base for base, _ in grouped)
    return tuple(
        Group(
            base, recipe, tuple(sorted(own, key=lambda row: (len(row.scales or ()), row.scales or ()))), times[base] > 1
        )
        for (base, recipe), own in ordered
    )
