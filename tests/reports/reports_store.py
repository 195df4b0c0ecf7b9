"""Stores with made-up trials, written through the store's own API: no training."""

import random
from dataclasses import replace

from explorer.sweep.candidates import Candidate, costed, scale_candidates
from explorer.sweep.records import DIVERGED, DONE, FAILED, DataRecord, EpochRecord, TrialRecord
from explorer.sweep.store import Store

SMALL = "cifar_resnet(n=1, widths=[8,16,32])"
LARGE = "cifar_resnet(n=2, widths=[8,16,32])"
DATA = DataRecord(
    "f" * 64,
    "digits",
    (3, 32, 32),
    10,
    300,
    200,
    1297,
    "Made-up images <of & nothing>",
    "Evidence of nothing.",
)
ENVIRONMENT = {
    "python": "3.11.7",
    "torch": "2.13.0",
    "numpy": "2.4.6",
    "explorer": "0.1.0",
    "revision": "abc123",
}
ENVIRONMENT |= {"machine": "Linux", "device": "cpu", "device_name": "A Processor", "threads": 1}


def trial(candidate, seed, error, *, status=DONE, budget="20epochs", data=DATA, recipe="nesterov", message=None):
    """A trial that ended: test error `error`, the others near it; nothing measured where it failed."""
    done = status == DONE
    failed = status == FAILED
    return TrialRecord(
        id=f"{candidate.network.digest[:20]}-{data.fingerprint[:4]}-{recipe}-{seed}-{budget}",
        network=candidate.network.digest,
        data=data.fingerprint,
        recipe={"name": recipe, "lr": 0.1},
        seed=seed,
        budget=budget,
        status=status,
        message=message,
        epochs=None if failed else 20,
        steps=None if failed else 100,
        train_error=error / 2 if done else None,
        train_loss=1.5 * error if done else None,
        validation_error=error + 0.01 if done else None,
        best_validation_error=error if done else None,
        best_epoch=19 if done else None,
        test_error=error if done else None,
        test_loss=2 * error if done else None,
        seconds=None if failed else 4.25,
        environment={} if failed else ENVIRONMENT,
        started=f"2024-05-01T10:{seed:02d}:00.000+00:00",
        finished=f"2024-05-01T10:{seed:02d}:30.000+00:00",
    )


def history(error, epochs=20):
    """Epochs that come down to `error`."""
    levels = [error + (0.9 - error) * 0.7**epoch for epoch in range(epochs)]
    return [
        EpochRecord(epoch, 0.2 * epoch, 0.1, 2.4 * level, level, 2.2 * level, min(1.0, level + 0.01))
        for epoch, level in enumerate(levels, start=1)
    ]


def write_sweep(workspace, errors, *, bases=(SMALL,), scales=(1, 2), seeds=3, budget="20epochs", data=DATA,
                recipe="nesterov", execution=None):  # fmt: skip
    """Store a sweep. `errors(base, scales, seed)`: a test error, (status, message), or None: not run."""
    candidates = [costed(c, data.shape, data.classes) for c in scale_candidates(bases, scales)]
    ended = []
    for seed in range(seeds):
        for candidate in candidates:
            outcome = errors(candidate.base, candidate.scales, seed)
            if isinstance(outcome, tuple):
                status, message = outcome
                ended.append(trial(candidate, seed, 0.5, status=status, budget=budget, data=data, message=message))
            elif outcome is not None:
                ended.append(trial(candidate, seed, outcome, budget=budget, data=data, recipe=recipe))
    mark = "".join(map(str, (execution or {}).values()))
    ended = [replace(record, id=record.id + mark) for record in ended]
    planned = [f"{c.network.digest[:20]}-{data.fingerprint[:4]}-{recipe}-{seed}-{budget}{mark}" for c in candidates
               for seed in range(seeds)]  # fmt: skip
    config = {"bases": list(bases), "scales": scales and list(scales), "budget": budget, "seeds": seeds}
    config |= {"data": data.name, "recipe": None if recipe == "nesterov" else recipe}
    config |= {"execution": execution} if execution else {}
    with Store.open(workspace) as store:
        run = store.begin_run("sweep", config, candidates, data, planned)
        for record in ended:
            epochs = history(record.test_error) if record.status == DONE else []
            store.record(record, epochs)
    return run


def write_single(workspace, network, error, *, seed=0, budget="20epochs", data=DATA):
    """Store what `explorer train` stores."""
    candidate = costed(Candidate(network, network, None), data.shape, data.classes)
    record = trial(candidate, seed, error, budget=budget, data=data)
    config = {"network": network, "budget": budget, "seed": seed, "data": data.name, "recipe": None}
    with Store.open(workspace) as store:
        run = store.begin_run("train", config, [candidate], data, [record.id])
        store.record(record, history(error))
    return run


def noisy(base, scales, seed):
    """Errors in which scale 2 helps for sure and nothing else is beyond the noise."""
    draw = random.Random(f"{base}{scales}{seed}")
    level = 0.30 if base == SMALL else 0.20
    common = random.Random(seed).gauss(0, 0.01)
    if scales in ((), (2,)):
        return level - 0.08 * bool(scales) + common + draw.gauss(0, 0.0005)
    return level + common + draw.gauss(0, 0.02)


def troubled(base, scales, seed):
    """As noisy, with a failed trial, a diverged one and one that was not run."""
    if (base, scales, seed) == (SMALL, (1,), 1):
        return FAILED, "RuntimeError: out of memory <at once>"
    if (base, scales, seed) == (SMALL, (1, 2), 0):
        return DIVERGED, "training loss is not finite in epoch 3"
    if (base, scales, seed) == (SMALL, (1, 2), 2):
        return None
    return noisy(base, scales, seed)


OTHER = replace(DATA, fingerprint="a" * 64, name="letters")
