"""Sweeping and training: cost everything, run what the store does not hold, keep each trial as it ends."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from explorer.errors import UserError
from explorer.sweep.candidates import (
    DEFAULT_BASES,
    DEFAULT_SCALES,
    DIGEST,
    Candidate,
    Selection,
    check_inputs,
    check_scales,
    costed,
)
from explorer.sweep.claims import Claims
from explorer.sweep.drive import Drive
from explorer.sweep.engine import Engine
from explorer.sweep.listing import Listing, candidates_of, measures_of
from explorer.sweep.opening import check_usable
from explorer.sweep.placing import Placement, check_device
from explorer.sweep.plan import (
    Trial,
    check_budgets,
    check_memory,
    check_seed,
    check_seeds,
    data_record,
    plan_trials,
    planned,
)
from explorer.sweep.progress import Progress
from explorer.sweep.records import FINISHED, CandidateRecord, EpochRecord, TrialRecord
from explorer.sweep.store import DEFAULT_WORKSPACE, Store
from explorer.train.budget import parse_budget
from explorer.train.data import SOURCES, Dataset, Source, load, source
from explorer.train.execution import USUAL, Execution
from explorer.train.files import checkpoint_of, discard, weights_of
from explorer.train.launcher import check_alone, rank
from explorer.train.recipes import kind_of, recipe_of
from explorer.train.status import Status

DEFAULT_BUDGET = "20epochs"
DEFAULT_DATA = "digits"
DEFAULT_SEEDS = 3
TASK = "explorer.sweep.task:run_trial"


@dataclass(frozen=True)
class SweepResult:
    """All candidates with their costs and, unless only costs were asked for, their stored trials."""

    candidates: tuple[CandidateRecord, ...]
    run: int | None = None  # its number in the store
    trials: tuple[TrialRecord, ...] = ()
    found: int = 0  # trials that were in the store already


@dataclass(frozen=True)
class TrainResult:
    """One network's cost, its trial and its epochs; `found` if they were in the store already."""

    candidate: CandidateRecord
    run: int
    trial: TrialRecord
    history: tuple[EpochRecord, ...]
    found: bool


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a sweep: workers are gone, ended trials are stored. The message says how to go on."""


def sweep(
    bases: Sequence[str] | Selection = DEFAULT_BASES,
    scales: Sequence[int] | None = DEFAULT_SCALES,
    *,
    axes: Sequence[str] = (),
    where: str | None = None,
    experiment: str | None = None,
    budget: str = DEFAULT_BUDGET,
    seeds: int = DEFAULT_SEEDS,
    data: str | None = None,
    data_dir: str | Path | None = None,
    recipe: str | None = None,
    execution: Execution = USUAL,
    workspace: str | Path = DEFAULT_WORKSPACE,
    train: bool = True,
    device: str = "cpu",
    engine: str = "local",
    workers: int | None = None,
    per_device: int = 1,
    time_limit: float | None = None,
    memory_limit: float | None = None,
    announce: Callable[[tuple[CandidateRecord, ...], list[Listing]], None] | None = None,
    watch: Callable[[int, int], None] | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> SweepResult:
    """Compare every base plain and with MS-SAR at every subset of `scales` (None: the bases alone).

    Bases may hold ranges, and parameters be given values by `axes`: then what fits `where` is compared. A Selection in
    place of the bases says all of this and more; `experiment` is its name in the catalog. `budget` per trial, such as
    20epochs, 60s, 2e15flops or full; `seeds` trials of each; `data` None: digits, else a name or a folder of images;
    `data_dir` that of archives; `recipe` None: that of each base's paper; `execution`: in which numbers; `train` False:
    costs only, nothing is stored, and `data` None is the networks' own input; `engine` local, ray or ray:ADDRESS.
    `workers` None: one local process per core or GPU; `per_device` trials share a GPU. `time_limit` in seconds and
    `memory_limit` in GiB are each trial's. The same sweep again only runs what is missing, and two at once share the
    work. UserError for bad input, before training; Interrupted on Ctrl-C. `announce` is given the candidates before
    training, `watch` how many of how many have been costed one by one, `progress` every trial.
    """
    data = data or (DEFAULT_DATA if train else None)
    length, described = parse_budget(budget), source(data) if data else None
    check_seeds(seeds)
    placement = Placement(engine, device, workers, per_device, time_limit, memory_limit).check()
    if train:
        _check_place(workspace)
    selection = bases if isinstance(bases, Selection) else _selection(bases, scales, axes, where)
    chosen, candidates, found_by = _costed(selection, described, seeds, train, watch, execution.dtype)
    kind = kind_of(described.name, described.shape) if described else "other"
    recipes = [recipe_of(candidate.base, recipe, kind) for candidate in chosen]
    if not train or data is None:
        return SweepResult(candidates)
    (announce or (lambda *_: None))(candidates, found_by)
    check_memory(candidates, max(recipe.batch for recipe in recipes))
    placement.check_device()
    loaded = load(data, data_dir)
    trials = plan_trials(candidates, loaded, recipes, seeds, length, execution.check())
    check_budgets(trials, loaded)
    config = _config(selection, chosen, candidates, experiment)
    config |= {"budget": str(length), "seeds": seeds, "recipe": recipe} | _images(data, loaded) | _unusual(execution)
    with closing(placement.open(TASK)) as opened, Store.open(workspace) as store:
        run = store.begin_run("sweep", config, candidates, data_record(loaded), [trial.id for trial in trials])
        found = _run_missing(store, opened, placement, trials, progress or (lambda _: None))
        return SweepResult(candidates, run, tuple(store.trials([run])), found)


def _check_place(workspace: str | Path) -> None:
    """UserError where this process is one of several that torchrun began, or the workspace cannot be used."""
    check_alone()
    check_usable(Path(workspace))


def _run_missing(
    store: Store, opened: Engine, placement: Placement, trials: Sequence[Trial], tell: Callable[[Progress], None]
) -> int:
    """Run the trials that the store does not hold; the number of those it holds."""
    found, workspace = store.finished([trial.id for trial in trials]), store.path.parent
    missing = [trial for trial in trials if trial.id not in found]
    keeps = workspace if placement.engine == "local" else None  # a cluster's machines may not have that folder
    with Claims(workspace) as claims:
        drive = Drive(store, opened, claims, placement.device, missing, len(found), tell, keeps, placement.time_limit)
        _drive(drive)
    return len(found)


def _selection(bases: Sequence[str], scales: Sequence[int] | None, axes: Sequence[str], where: str | None) -> Selection:
    return Selection(tuple(bases), None if scales is None else check_scales(scales), (), tuple(axes), where)


def _costed(
    selection: Selection,
    data: Source | None,
    seeds: int,
    train: bool,
    watch: Callable[[int, int], None] | None,
    dtype: str,
) -> tuple[list[Candidate], tuple[CandidateRecord, ...], list[Listing]]:
    """The candidates on images of the data (None: the networks' own input), their costs, and how they were found."""
    shape, classes = (data.shape, data.classes) if data else (None, None)
    if train:
        check_inputs(selection.inputs, shape)
    chosen, found = candidates_of(selection, shape, classes, seeds, watch, measures_of(selection, dtype))
    return chosen, tuple(costed(candidate, shape, classes) for candidate in chosen), found


def _config(
    selection: Selection, chosen: Sequence[Candidate], records: Sequence[CandidateRecord], experiment: str | None
) -> dict[str, Any]:
    """What was compared, as the store keeps it; `spaces` are the digests of what was found in each."""
    config = selection.as_config() | ({"experiment": experiment} if experiment else {})
    spaces: dict[str, list[str]] = {}
    for candidate, record in zip(chosen, records, strict=True):
        if candidate.space is not None:
            spaces.setdefault(candidate.space, []).append(record.network.digest[:DIGEST])
    return config | ({"spaces": spaces} if spaces else {})


def train_one(
    network: str,
    *,
    budget: str = DEFAULT_BUDGET,
    seed: int = 0,
    data: str = "digits",
    data_dir: str | Path | None = None,
    recipe: str | None = None,
    execution: Execution = USUAL,
    workspace: str | Path = DEFAULT_WORKSPACE,
    device: str = "cpu",
    time_limit: float | None = None,
    progress: Callable[[Status], None] | None = None,
) -> TrainResult:
    """Train one network in this process and store the trial, unless it is there already; its weights are kept.

    Stopped before, it goes on from its checkpoint. `progress` is called twice a second. UserError for bad input.
    """
    length, described = parse_budget(budget), source(data)
    candidate = costed(Candidate(network, network, None), described.shape, described.classes)
    chosen = recipe_of(network, recipe, kind_of(described.name, described.shape))
    check_memory([candidate], chosen.batch)
    check_device(device)
    loaded = load(data, data_dir)
    trial = planned(candidate, loaded, chosen, check_seed(seed), length, execution.check())
    check_budgets([trial], loaded)
    config = {"network": network, "budget": str(length), "seed": seed, "recipe": recipe}
    config |= _images(data, loaded) | _unusual(execution)
    with Store.open(workspace) as store:
        run = store.begin_run("train", config, [candidate], data_record(loaded), [trial.id])
        found = bool(store.finished([trial.id]))
        if not found:
            trained = _train_here(store, trial, device, time_limit, progress)
            if rank():  # the first process stores it
                return TrainResult(candidate, run, *trained, found)
        history = store.history([run]).get(trial.id, [])
        return TrainResult(candidate, run, store.trials([run])[0], tuple(history), found)


def _train_here(
    store: Store,
    trial: Trial,
    device: str,
    time_limit: float | None,
    progress: Callable[[Status], None] | None,
) -> tuple[TrialRecord, tuple[EpochRecord, ...]]:
    """Train and store one trial in this process. UserError where another is at it."""
    from explorer.sweep.task import run_trial  # imports torch

    workspace = store.path.parent
    checkpoint, weights = checkpoint_of(workspace, trial.id), weights_of(workspace, trial.id)
    payload = trial.payload(device) | {"time_limit": time_limit}
    payload |= {"checkpoint": str(checkpoint), "weights": str(weights)}
    with Claims(workspace) as claims:
        if not rank() and not claims.take(trial.id):
            raise UserError("another process is training this very trial; wait for it, or stop it")
        answer = run_trial(payload, progress)
        record, history, observations = trial.ended(answer)
        if not rank():
            store.record(record, history, observations)
            if record.status in FINISHED:
                discard(checkpoint)
        if answer.get("refused"):
            raise UserError(record.message or "")
    return record, history


def _images(data: str, loaded: Dataset) -> dict[str, Any]:
    """What a run's configuration says of its data: of a folder also what was in it, which may change."""
    return {"data": data} | ({} if data in SOURCES else {"images": loaded.fingerprint[:DIGEST]})


def _unusual(execution: Execution) -> dict[str, Any]:
    """What a run's configuration says of an execution: nothing of the usual one."""
    return {} if execution == USUAL else {"execution": execution.as_json()}


def _drive(drive: Drive) -> None:
    """Run what is missing; on Ctrl-C say how to go on."""
    try:
        drive.run()
    except KeyboardInterrupt as error:
        raise Interrupted(
            f"interrupted: {drive.done} of {drive.total} trials have ended and are kept in {drive.store.path}; "
            "the same command again runs the rest"
        ) from error
