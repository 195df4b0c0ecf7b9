"""Sweeping and training: cost everything, run what the store does not hold, keep each trial as it ends."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
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
from explorer.sweep.drive import ANYWHERE, Drive
from explorer.sweep.engine import Engine
from explorer.sweep.listing import Listing, candidates_of, measures_of
from explorer.sweep.opening import check_usable, is_there
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
from explorer.sweep.records import DONE, FINISHED, CandidateRecord, EpochRecord, TrialRecord
from explorer.sweep.room import Room, free_memory
from explorer.sweep.schema import FILE
from explorer.sweep.store import DEFAULT_WORKSPACE, Store
from explorer.train.budget import parse_budget
from explorer.train.data import SOURCES, Dataset, Source, load, source
from explorer.train.data.intact import check_images
from explorer.train.execution import USUAL, Execution
from explorer.train.files import checkpoint_of, discard, weights_of
from explorer.train.launcher import check_alone, rank, size
from explorer.train.recipes import Recipe, kind_of, recipe_of
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
    repeated: tuple[str, ...] = ()  # networks left out, being one of the candidates by another name


@dataclass(frozen=True)
class TrainResult:
    """One network's cost, its trial and its epochs; `found` if they were in the store already."""

    candidate: CandidateRecord
    run: int
    trial: TrialRecord
    history: tuple[EpochRecord, ...]
    found: bool
    weights: Path | None = None  # the file, where there is one
    again: TrialRecord | None = None  # a trial that was found without its weights, trained for these; not stored


@dataclass(frozen=True)
class _Compared:
    """The networks of a sweep, each once, with their costs and recipes, and how they were found."""

    chosen: tuple[Candidate, ...]
    records: tuple[CandidateRecord, ...]
    recipes: tuple[Recipe, ...]
    listings: list[Listing]
    repeated: tuple[str, ...]


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
    announce: Callable[[tuple[CandidateRecord, ...], list[Listing], tuple[str, ...]], None] | None = None,
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
    compared = _compared(selection, described, recipe, seeds, train, watch, execution.dtype)
    if not train or data is None:
        return SweepResult(compared.records, repeated=compared.repeated)
    check_memory(compared.records, max(recipe.batch for recipe in compared.recipes))
    placement.check_device()
    loaded = _as_known(load(data, data_dir), workspace)
    trials = plan_trials(compared.records, loaded, compared.recipes, seeds, length, execution.check())
    check_budgets(trials, loaded)
    _check_images(loaded, trials, workspace)
    config = _config(selection, compared, experiment)
    config |= {"budget": str(length), "seeds": seeds, "recipe": recipe} | _images(data, loaded) | _unusual(execution)
    with closing(placement.open(TASK)) as opened, Store.open(workspace) as store:
        (announce or (lambda *_: None))(compared.records, compared.listings, compared.repeated)
        run = store.begin_run("sweep", config, compared.records, data_record(loaded), [trial.id for trial in trials])
        found = _run_missing(store, opened, placement, trials, progress or (lambda _: None))
        return SweepResult(compared.records, run, tuple(store.trials([run])), found, compared.repeated)


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
    here = placement.engine == "local" and placement.device == "cpu"
    settings = (placement.device, missing, len(found), tell, keeps, placement.time_limit)
    with Claims(workspace) as claims:
        room = Room(free_memory(), min(opened.places, max(1, len(missing)))) if here else ANYWHERE
        _drive(Drive(store, opened, claims, *settings, room))
    return len(found)


def _selection(bases: Sequence[str], scales: Sequence[int] | None, axes: Sequence[str], where: str | None) -> Selection:
    return Selection(tuple(bases), None if scales is None else check_scales(scales), (), tuple(axes), where)


def _compared(
    selection: Selection,
    data: Source | None,
    recipe: str | None,
    seeds: int,
    train: bool,
    watch: Callable[[int, int], None] | None,
    dtype: str,
) -> _Compared:
    """What a selection compares on images of the data (None: the networks' own input); equal networks are one."""
    shape, classes = (data.shape, data.classes) if data else (None, None)
    kind = kind_of(data.name, data.shape) if data else "other"
    if train:
        check_inputs(selection.inputs, shape)
    chosen, found = candidates_of(selection, shape, classes, seeds, watch, measures_of(selection, dtype))
    first: dict[Any, tuple[Candidate, CandidateRecord, Recipe]] = {}
    repeated = []
    for candidate in chosen:
        own = candidate, costed(candidate, shape, classes), recipe_of(candidate.base, recipe, kind)
        if first.setdefault((candidate.space, own[1].network.digest, own[2]), own) is not own:
            repeated.append(candidate.text)
    kept, records, recipes = zip(*first.values(), strict=True)
    shown = set(kept)
    return _Compared(kept, records, recipes, [one.only(shown) for one in found], tuple(repeated))


def _config(selection: Selection, compared: _Compared, experiment: str | None) -> dict[str, Any]:
    """What was compared, as the store keeps it; `spaces` are the digests of what was found in each."""
    config = selection.as_config() | ({"experiment": experiment} if experiment else {})
    spaces: dict[str, list[str]] = {}
    for candidate, record in zip(compared.chosen, compared.records, strict=True):
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
    tell: Callable[[str], None] | None = None,
) -> TrainResult:
    """Train one network in this process and store the trial, unless it is there already; its weights are kept.

    A trial that is there without them, as a sweep leaves it, is trained for them. Stopped before, it goes on from its
    checkpoint. `progress` is called twice a second, `tell` where a person should know before. UserError for bad input.
    """
    length, described = parse_budget(budget), source(data)
    check_usable(Path(workspace))
    candidate = costed(Candidate(network, network, None), described.shape, described.classes)
    chosen = recipe_of(network, recipe, kind_of(described.name, described.shape))
    check_memory([candidate], chosen.batch)
    check_device(device)
    loaded = _as_known(load(data, data_dir), workspace)
    trial = planned(candidate, loaded, chosen, check_seed(seed), length, execution.check())
    check_budgets([trial], loaded)
    _check_images(loaded, [trial], workspace)
    config = {"network": network, "budget": str(length), "seed": seed, "recipe": recipe}
    config |= _images(data, loaded) | _unusual(execution)
    with Store.open(workspace) as store:
        run = store.begin_run("train", config, [candidate], data_record(loaded), [trial.id])
        before = store.trial(trial.id)
        found = before is not None and before.status in FINISHED
        missing = _is_missing(store, trial)
        if missing and found and tell and not rank():
            tell("this trial is in the store without its weights: it is trained again for them")
        trained = _train_here(store, trial, device, time_limit, progress) if missing else None
        found |= trained is None  # by another process, just now
        if trained and rank():  # the first process stores it
            return TrainResult(candidate, run, *trained, found)
        history, weights = store.history([run]).get(trial.id, []), weights_of(store.path.parent, trial.id)
        kept = weights if weights.is_file() else None
        again = trained[0] if trained and found else None
        return TrainResult(candidate, run, store.trials([run])[0], tuple(history), found, kept, again)


def _is_missing(store: Store, trial: Trial) -> bool:
    """Whether a trial has to be trained: for its results, or for the weights of one that is done."""
    record = store.trial(trial.id)
    if record is None or record.status not in FINISHED:
        return True
    return record.status == DONE and not weights_of(store.path.parent, trial.id).is_file()


def _train_here(
    store: Store,
    trial: Trial,
    device: str,
    time_limit: float | None,
    progress: Callable[[Status], None] | None,
) -> tuple[TrialRecord, tuple[EpochRecord, ...]] | None:
    """Train one trial in this process, and store it; None: another has just done so. UserError where one is at it."""
    from explorer.sweep.task import run_trial  # imports torch

    workspace = store.path.parent
    checkpoint, weights = checkpoint_of(workspace, trial.id), weights_of(workspace, trial.id)
    payload = trial.payload(device) | {"time_limit": time_limit}
    payload |= {"checkpoint": str(checkpoint), "weights": str(weights)}
    if device == "cpu" and Room(free_memory()).large(trial):
        payload["keeps_memory"] = False
    with Claims(workspace) as claims:
        if not rank() and not claims.take(trial.id):
            raise UserError("another process is training this very trial; wait for it, or stop it")
        if size() == 1 and not _is_missing(store, trial):
            return None
        answer = run_trial(payload, progress)
        record, history, observations = trial.ended(answer)
        if not rank():
            store.record(record, history, observations)
            if record.status in FINISHED:
                discard(checkpoint)
        if answer.get("refused"):
            raise UserError(record.message or "")
    return record, history


def _as_known(data: Dataset, workspace: str | Path) -> Dataset:
    """A folder's images by the name that the store has for them: renamed or copied, they are the same data."""
    if data.name in SOURCES or not is_there(Path(workspace) / FILE):
        return data
    with Store.read(workspace) as store:
        known = store.data().get(data.fingerprint)
    return replace(data, name=known.name) if known else data


def _check_images(data: Dataset, trials: Sequence[Trial], workspace: str | Path) -> None:
    """UserError for image files that cannot be read, where there is something to train on them."""
    if data.name in SOURCES or rank():
        return
    if is_there(Path(workspace) / FILE):
        with Store.read(workspace) as store:
            if len(store.finished([trial.id for trial in trials])) == len(trials):
                return
    check_images(data)


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
