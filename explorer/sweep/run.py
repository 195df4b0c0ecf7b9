"""Sweeping and training: cost everything, run what the store does not hold, keep each trial as it ends."""

import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from explorer.sweep.candidates import (
    DEFAULT_BASES,
    DEFAULT_SCALES,
    Candidate,
    check_scales,
    costed,
    scale_candidates,
)
from explorer.sweep.engine import Ended, Job, run_jobs, usable_cores
from explorer.sweep.listing import fitting, is_search
from explorer.sweep.plan import (
    Trial,
    check_memory,
    check_seed,
    check_seeds,
    check_workers,
    data_record,
    no_answer,
    plan_trials,
)
from explorer.sweep.progress import Forecast, Progress
from explorer.sweep.records import CandidateRecord, EpochRecord, TrialRecord, now
from explorer.sweep.store import DEFAULT_WORKSPACE, Store
from explorer.train.budget import parse_budget
from explorer.train.data import load, source
from explorer.train.recipes import recipe_of

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
    bases: Sequence[str] = DEFAULT_BASES,
    scales: Sequence[int] | None = DEFAULT_SCALES,
    *,
    axes: Sequence[str] = (),
    where: str | None = None,
    budget: str = DEFAULT_BUDGET,
    seeds: int = DEFAULT_SEEDS,
    data: str | None = None,
    recipe: str | None = None,
    workspace: str | Path = DEFAULT_WORKSPACE,
    train: bool = True,
    device: str = "cpu",
    workers: int | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> SweepResult:
    """Compare every base plain and with MS-SAR at every subset of `scales` (None: the bases alone).

    Bases may hold ranges, and parameters be given values by `axes`: then what fits `where` is compared.
    `budget` per trial, such as 20epochs or 60s; `seeds` trials of each; `data` None: digits; `recipe` None: that of
    each base's paper; `train` False: costs only, nothing is stored, and `data` None is the networks' own input;
    `workers` None: one process per core. The same sweep again only runs what is missing. UserError for bad input,
    before training; Interrupted on Ctrl-C.
    """
    data = data or (DEFAULT_DATA if train else None)
    length, described = parse_budget(budget), source(data) if data else None
    check_seeds(seeds)
    crew = check_workers(_cores(device) if workers is None else workers)
    given = None if scales is None else check_scales(scales)
    shape, classes = (described.shape, described.classes) if described else (None, None)
    chosen = (
        fitting(bases, given, axes, where, shape, classes, seeds)
        if is_search(bases, axes, where)
        else scale_candidates(bases, given)
    )
    recipes = [recipe_of(candidate.base, recipe) for candidate in chosen]
    candidates = tuple(costed(candidate, shape, classes) for candidate in chosen)
    if not train or data is None:
        return SweepResult(candidates)
    check_memory(candidates, max(recipe.batch for recipe in recipes))
    _check_device(device)
    trials = plan_trials(candidates, load(data), recipes, seeds, length)
    config = {"bases": list(bases), "scales": scales and sorted(scales), "budget": str(length), "seeds": seeds}
    config |= {"data": data, "recipe": recipe}
    config |= {"axes": list(axes), "where": where} if is_search(bases, axes, where) else {}
    with Store.open(workspace) as store:
        ids = [trial.id for trial in trials]
        run = store.begin_run("sweep", config, candidates, data_record(load(data)), ids)
        found = store.finished(ids)
        missing = [trial for trial in trials if trial.id not in found]
        _run_missing(store, missing, len(found), device, crew, progress or (lambda _: None))
        return SweepResult(candidates, run, tuple(store.trials([run])), len(found))


def train_one(
    network: str,
    *,
    budget: str = DEFAULT_BUDGET,
    seed: int = 0,
    data: str = "digits",
    recipe: str | None = None,
    workspace: str | Path = DEFAULT_WORKSPACE,
    device: str = "cpu",
    progress: Callable[[float, EpochRecord | None], None] | None = None,
) -> TrainResult:
    """Train one network in this process and store the trial, unless it is there already.

    `progress(fraction of the budget, latest epoch)` is called after every step. UserError for bad input.
    """
    length, described = parse_budget(budget), source(data)
    candidate = costed(Candidate(network, network, None), described.shape, described.classes)
    chosen = recipe_of(network, recipe)
    check_memory([candidate], chosen.batch)
    _check_device(device)
    trial = Trial(candidate, data, load(data).fingerprint, chosen, check_seed(seed), length)
    config = {"network": network, "budget": str(length), "seed": seed, "data": data, "recipe": recipe}
    with Store.open(workspace) as store:
        run = store.begin_run("train", config, [candidate], data_record(load(data)), [trial.id])
        found = bool(store.finished([trial.id]))
        if not found:
            from explorer.sweep.task import run_trial  # imports torch

            store.record(*trial.ended(run_trial(trial.payload(device), progress)))
        history = store.history([run]).get(trial.id, [])
        return TrainResult(candidate, run, store.trials([run])[0], tuple(history), found)


def _cores(device: str) -> int:
    """As many workers as a device can use: one per core, or one."""
    return usable_cores() if device == "cpu" else 1


def _check_device(device: str) -> None:
    """UserError for a device torch cannot use; the processor needs no torch to know."""
    if device != "cpu":
        from explorer.train.loop import check_device

        check_device(device)


def _run_missing(
    store: Store,
    trials: Sequence[Trial],
    found: int,
    device: str,
    crew: int,
    progress: Callable[[Progress], None],
) -> None:
    """Run the trials on a crew of workers and store each as it ends; `found` others are done already."""
    by_id = {trial.id: trial for trial in trials}
    jobs = [Job(trial.id, trial.payload(device)) for trial in trials]
    forecast = Forecast(trials, min(crew, max(1, len(jobs))))
    done, total = found, found + len(trials)
    try:
        with closing(run_jobs(TASK, jobs, crew, worker_environment(device))) as events:
            for event in events:
                trial = by_id[event.key]
                record = _store(store, trial, event) if isinstance(event, Ended) else None
                (forecast.ended if record else forecast.started)(trial)
                done += record is not None
                left = forecast.seconds_left()
                progress(Progress(trial.candidate.text, trial.seed, done, total, record, left))
    except KeyboardInterrupt as error:
        raise Interrupted(
            f"interrupted: {done} of {total} trials have ended and are kept in {store.path}; "
            "the same command again runs the rest"
        ) from error


def _store(store: Store, trial: Trial, event: Ended) -> TrialRecord:
    """Keep an ended trial; its record."""
    answer = event.answer or no_answer(now(), event.reason or "no answer")
    record, history = trial.ended(answer)
    store.record(record, history)
    return record


def worker_environment(device: str) -> dict[str, str]:
    """What workers on CPU need before torch is loaded: one thread each, and freed memory is kept.

    The allocator settings (glibc only) save page faults: 5 to 10% of the time of a small network.
    """
    if device != "cpu":
        return {}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    if sys.platform != "linux":
        return threads
    return threads | {
        "MALLOC_MMAP_MAX_": "0",
        "MALLOC_TRIM_THRESHOLD_": str(2**40),
        "MALLOC_TOP_PAD_": str(2**26),
    }
