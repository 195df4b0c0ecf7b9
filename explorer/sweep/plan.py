"""Which trials a sweep consists of, and what makes two trials the same."""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from explorer.errors import UserError
from explorer.sweep.records import CandidateRecord, DataRecord, TrialRecord, now
from explorer.train.budget import Budget
from explorer.train.data import Dataset
from explorer.train.execution import USUAL, Execution
from explorer.train.outcome import FAILED, EpochRecord, Observation, Outcome
from explorer.train.recipes import Recipe, epochs_of

MAX_SEEDS = 1000
MAX_WORKERS = 1024
Ending = tuple[TrialRecord, tuple[EpochRecord, ...], tuple[Observation, ...]]  # of a trial, for `Store.record`


@dataclass(frozen=True)
class Trial:
    """One network to be trained once."""

    candidate: CandidateRecord
    data: str  # its name
    fingerprint: str  # of the data
    recipe: Recipe
    seed: int
    budget: Budget
    origin: tuple[str, str | None] | None = None  # what `load` finds the data by; None: its name
    execution: Execution = USUAL

    @property
    def id(self) -> str:
        """sha256 of graph, data, recipe, seed, budget and execution: what can change the result, and nothing else."""
        identity = {
            "graph": self.candidate.network.digest,
            "data": [self.data, self.fingerprint],
            "recipe": asdict(self.recipe),
            "seed": self.seed,
            "budget": str(self.budget),
            "execution": self.execution.as_json(),
        }
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()

    def payload(self, device: str) -> dict[str, Any]:
        """What a worker needs to run it, as JSON."""
        data, data_dir = self.origin or (self.data, None)
        return {
            "network": self.candidate.text,
            "digest": self.candidate.network.digest,
            "data": data,
            "data_dir": data_dir,
            "known_as": self.data,
            "fingerprint": self.fingerprint,
            "recipe": asdict(self.recipe),
            "seed": self.seed,
            "budget": str(self.budget),
            "execution": self.execution.as_json(),
            "device": device,
        }

    def ended(self, answer: dict[str, Any]) -> Ending:
        """What to store, from the answer of `task.run_trial`."""
        outcome = dict(answer["outcome"])
        history = tuple(EpochRecord(**epoch) for epoch in outcome.pop("history"))
        observations = tuple(Observation(**observation) for observation in outcome.pop("observations"))
        best = Outcome(**outcome, history=history).best
        record = TrialRecord(
            id=self.id,
            network=self.candidate.network.digest,
            data=self.fingerprint,
            recipe=asdict(self.recipe),
            seed=self.seed,
            budget=str(self.budget),
            epochs=len(history),
            best_validation_error=best.validation_error if best else None,
            best_epoch=best.epoch if best else None,
            environment=answer["environment"],
            started=answer["started"],
            finished=answer["finished"],
            **outcome,
        )
        return record, history, observations


def no_answer(started: str, reason: str) -> dict[str, Any]:
    """The answer in place of a worker's that died, for `Trial.ended`."""
    outcome = asdict(Outcome(FAILED, reason))
    return {"outcome": outcome, "environment": {}, "started": started, "finished": now()}


def plan_trials(
    candidates: Sequence[CandidateRecord],
    data: Dataset,
    recipes: Sequence[Recipe],
    seeds: int,
    budget: Budget,
    execution: Execution = USUAL,
) -> list[Trial]:
    """Every candidate with its recipe under every seed; all of one seed first, so that a part is balanced."""
    trials = [
        planned(candidate, data, recipe, seed, budget, execution)
        for seed in range(seeds)
        for candidate, recipe in zip(candidates, recipes, strict=True)
    ]
    return list({trial.id: trial for trial in trials}.values())


def planned(
    candidate: CandidateRecord, data: Dataset, recipe: Recipe, seed: int, budget: Budget, execution: Execution
) -> Trial:
    """One trial; a full budget is that of the recipe's paper."""
    length = budget.of(epochs_of(recipe))
    return Trial(candidate, data.name, data.fingerprint, recipe, seed, length, data.origin, execution)


def check_budgets(trials: Sequence[Trial], data: Dataset) -> None:
    """UserError, naming the network, where a budget in FLOPs does not pay for one step."""
    from explorer.analysis.training import training_macs
    from explorer.api import expand

    networks = {
        (trial.candidate.network.digest, trial.recipe): trial for trial in trials if trial.budget.unit == "flops"
    }
    for trial in networks.values():
        graph = expand(trial.candidate.text, input=data.shape, classes=data.classes)
        try:
            trial.budget.steps(len(data.train), trial.recipe.batch, training_macs(graph).total)
        except UserError as error:
            raise UserError(f"{trial.candidate.text[:200]}: {error}") from error


def check_seeds(seeds: int) -> int:
    """The number of seeds, 0 to seeds - 1, if it is a sensible one; else UserError naming --seeds."""
    if not 1 <= seeds <= MAX_SEEDS:
        raise UserError(f"--seeds: {seeds} is not a number of seeds from 1 to {MAX_SEEDS}")
    return seeds


def check_seed(seed: int) -> int:
    """A seed that every generator takes, or UserError naming --seed."""
    if not 0 <= seed < 2**32:
        raise UserError(f"--seed: {seed} is not an integer from 0 to {2**32 - 1}")
    return seed


def check_workers(workers: int) -> int:
    """A number of worker processes, or UserError naming --workers."""
    if not 1 <= workers <= MAX_WORKERS:
        raise UserError(f"--workers: {workers} is not a number of processes from 1 to {MAX_WORKERS}")
    return workers


def check_memory(candidates: Sequence[CandidateRecord], batch: int) -> None:
    """UserError for a network that cannot be trained in this machine's memory, however it is done."""
    have = physical_memory_bytes()
    for candidate in candidates:
        # weights, gradients and momentum, and the outputs of convolutions that the backward pass reads
        need = 4 * (3 * candidate.network.params + batch * candidate.network.activations)
        if have is not None and need > have:
            raise UserError(
                f"{candidate.text[:200]} needs at least {need / 2**30:,.0f} GiB to train in batches "
                f"of {batch}; this machine has {have / 2**30:,.0f} GiB"
            )


def physical_memory_bytes() -> int | None:
    """The machine's memory; None where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def data_record(data: Dataset) -> DataRecord:
    """A data set as the store keeps it."""
    return DataRecord(
        data.fingerprint,
        data.name,
        data.shape,
        data.classes,
        len(data.train),
        len(data.validation),
        len(data.test),
        data.description,
        data.evidence,
    )
