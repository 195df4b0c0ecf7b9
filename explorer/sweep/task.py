"""One trial, JSON in and JSON out: what a worker process does. torch is imported once, with this module."""

from dataclasses import asdict
from typing import Any

import explorer
from explorer.errors import UserError
from explorer.sweep.records import now
from explorer.train.budget import parse_budget
from explorer.train.data import load
from explorer.train.environment import environment
from explorer.train.loop import Progress, train
from explorer.train.outcome import FAILED, Outcome
from explorer.train.recipes import Recipe

MESSAGE_CHARACTERS = 500


def run_trial(payload: dict[str, Any], progress: Progress | None = None) -> dict[str, Any]:
    """Train what `Trial.payload` describes; what `Trial.ended` reads. Whatever goes wrong is its outcome."""
    started = now()
    try:
        outcome = _train(payload, progress)
    except Exception as error:  # out of memory, a shape torch refuses: recorded, and the sweep goes on
        outcome = Outcome(FAILED, f"{type(error).__name__}: {error}"[:MESSAGE_CHARACTERS])
    return {
        "outcome": asdict(outcome),
        "environment": environment(payload["device"]),
        "started": started,
        "finished": now(),
    }


def _train(payload: dict[str, Any], progress: Progress | None) -> Outcome:
    """The training that a payload describes."""
    recipe = dict(payload["recipe"])
    recipe["milestones"] = tuple(recipe["milestones"])
    data = load(payload["data"])
    network = payload["network"]
    if explorer.expand(network, input=data.shape, classes=data.classes).digest != payload["digest"]:
        raise UserError("its text has changed since the command was given")
    return train(
        network,
        data,
        parse_budget(payload["budget"]),
        Recipe(**recipe),
        payload["seed"],
        device=payload["device"],
        progress=progress,
    )
