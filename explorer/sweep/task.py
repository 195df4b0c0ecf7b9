"""One trial, JSON in and JSON out: what a worker process does. torch is imported once, with this module."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

import explorer
from explorer.errors import UserError
from explorer.measure.environment import environment
from explorer.nn.fast.allocator import hand_back_freed_memory, keep_freed_memory
from explorer.sweep.records import now
from explorer.sweep.worker import memory_limit
from explorer.train.budget import parse_budget
from explorer.train.checkpoint import BadCheckpoint
from explorer.train.data import load
from explorer.train.execution import Execution
from explorer.train.files import set_aside
from explorer.train.loop import Host, train
from explorer.train.outcome import FAILED, Outcome
from explorer.train.recipes import recipe_from
from explorer.train.status import Progress

MESSAGE_CHARACTERS = 500
SHORT = "out of memory"
# what libraries say where a limit keeps them from memory: the system's linker, oneDNN, Python
LIMITED = ("failed to map segment", "could not create a primitive", "can't start new thread")


def run_trial(payload: dict[str, Any], progress: Progress | None = None) -> dict[str, Any]:
    """Train what `Trial.payload` describes; what `Trial.ended` reads. Whatever goes wrong is its outcome."""
    started, refused, broken, notice = now(), False, False, None
    if "keeps_memory" in payload:
        keep_freed_memory(payload["keeps_memory"])
    try:
        outcome, notice = _train_anyhow(payload, progress)
    except UserError as error:
        outcome, refused = Outcome(FAILED, str(error)[:MESSAGE_CHARACTERS]), True
    except Exception as error:  # out of memory, a shape torch refuses: recorded, and the sweep goes on
        outcome = Outcome(FAILED, _reason(error)[:MESSAGE_CHARACTERS])
        broken = isinstance(error, torch.AcceleratorError)
    hand_back_freed_memory()
    return {
        "outcome": asdict(_by_limit(outcome)),
        "environment": environment(payload["device"]) | payload["execution"],
        "started": started,
        "finished": now(),
        "refused": refused,  # bad input, such as an image that does not decode
        "last": broken,  # after an error of its own a GPU answers nothing more in this process
        "notice": notice,  # for people
    }


def _train_anyhow(payload: dict[str, Any], progress: Progress | None) -> tuple[Outcome, str | None]:
    """As `_train`; where the payload says so, a checkpoint that cannot be gone on from is set aside, which is told."""
    try:
        return _train(payload, progress), None
    except BadCheckpoint as error:
        if not payload.get("sets_aside"):
            raise
        why = str(error).rpartition(";")[0]
    kept = set_aside(Path(payload["checkpoint"]))  # only now: the error holds the network that was to go on
    return _train(payload, progress), f"{why}; it is now {kept.name}, and the trial has begun anew"


def _reason(error: Exception) -> str:
    """What went wrong, in one line; out of memory by that name, whoever says it."""
    first = str(error).strip().partition("\n")[0]
    memory = isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in first
    memory |= memory_limit() is not None and any(sign in first for sign in LIMITED)
    named = f"{type(error).__name__}: {first}" if first else type(error).__name__
    return f"{SHORT}: {first or named}" if memory else named


def _by_limit(outcome: Outcome) -> Outcome:
    """An outcome that names the limit that memory ran out by, where there is one."""
    limit, message = memory_limit(), outcome.message or ""
    if limit is None or not message.startswith(SHORT):
        return outcome
    return replace(outcome, message=message.replace(SHORT, f"{SHORT} (--memory-limit {limit / 2**30:g})", 1))


def _train(payload: dict[str, Any], progress: Progress | None) -> Outcome:
    """The training that a payload describes."""
    data = load(payload["data"], payload["data_dir"])
    if data.fingerprint != payload["fingerprint"]:
        raise UserError(f"--data: {payload['data']} has changed since the command was given")
    data = replace(data, name=payload["known_as"])  # a renamed folder's checkpoint is its own
    network = payload["network"]
    if explorer.expand(network, input=data.shape, classes=data.classes).digest != payload["digest"]:
        raise UserError("its text has changed since the command was given")
    host = Host(
        device=payload["device"],
        checkpoint=_path(payload.get("checkpoint")),
        weights=_path(payload.get("weights")),
        time_limit=payload.get("time_limit"),
        progress=progress or (lambda status: None),
    )
    budget, recipe = parse_budget(payload["budget"]), recipe_from(payload["recipe"])
    return train(network, data, budget, recipe, payload["seed"], Execution(**payload["execution"]), host)


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None
