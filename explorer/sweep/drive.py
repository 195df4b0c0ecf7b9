"""The one loop behind every sweep: claim a trial, place it, store how it ended, tell how far it is."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from explorer.sweep.claims import Claims
from explorer.sweep.engine import Ended, Engine, Job
from explorer.sweep.plan import Trial, no_answer
from explorer.sweep.progress import Forecast, Progress
from explorer.sweep.records import FAILED, FINISHED, TrialRecord, now
from explorer.sweep.room import Room
from explorer.sweep.store import Store
from explorer.train.files import checkpoint_of, discard

ANYWHERE = Room(None)
TICK_SECONDS = 1.0  # how often those who look on hear, and trials that others run are looked at


class Drive:
    """The trials of one sweep on their way through an engine into the store.

    Placed trials are kept in the order of their start: the first `engine.places` of them are taken to run.
    A few more than that are placed, so that no place waits for this process.
    """

    def __init__(
        self,
        store: Store,
        engine: Engine,
        claims: Claims,
        device: str,
        trials: Sequence[Trial],
        found: int,
        tell: Callable[[Progress], None],
        keeps: Path | None = None,
        time_limit: float | None = None,
        room: Room = ANYWHERE,
    ) -> None:
        """`keeps`: the workspace that running trials keep their checkpoints in; None: they keep none.

        `time_limit`: seconds after which a trial ends by itself, saying how far it came. `room`: for those that run.
        """
        self.keeps, self.time_limit, self.room = keeps, time_limit, room
        self.warned: set[str] = set()
        self.store, self.engine, self.claims, self.device, self.tell = store, engine, claims, device, tell
        self.waiting = deque(trials)
        self.placed: dict[str, Trial] = {}
        self.elsewhere: list[Trial] = []  # claimed by other processes
        self.done, self.failed, self.total = found, 0, found + len(trials)
        self.abreast = max(1, min(engine.places, len(trials)))  # trials, where memory does not matter
        self.forecast = Forecast(trials, self.abreast)
        self.began = now()
        self.looked = time.monotonic()  # at what others run

    def run(self) -> None:
        """Until every trial has ended, here or elsewhere."""
        while self.waiting or self.placed or self.elsewhere:
            self.place()
            if not (self.placed or self.waiting or self.elsewhere):
                return
            if event := self.wait():
                self.keep(event)
            else:
                self.report()
            if time.monotonic() - self.looked >= TICK_SECONDS:
                self.waiting.extend(self.elsewhere)
                self.elsewhere.clear()
                self.looked = time.monotonic()

    def wait(self) -> Ended | None:
        """The next trial that is over; None: nothing happened for a while."""
        if self.placed:
            return self.engine.wait(TICK_SECONDS)
        time.sleep(TICK_SECONDS)  # all that is left runs elsewhere
        return None

    def place(self) -> None:
        """Hand trials to the engine until it has enough of them."""
        enough = self.engine.places + max(1, self.engine.places // 4)
        while self.waiting and len(self.placed) < enough and self.room.fits(self.waiting[0], self.placed.values()):
            trial = self.waiting.popleft()
            if not self.claims.take(trial.id):
                self.elsewhere.append(trial)
            elif self.ended_elsewhere(trial):
                self.claims.release(trial.id)
            else:
                self.placed[trial.id] = trial
                self.engine.start(Job(trial.id, self.payload(trial)))
                self.warn(trial, self.room.warning(trial))
        short = self.waiting and 0 < len(self.placed) < self.engine.places
        self.forecast.workers = len(self.placed) if short else self.abreast
        if short:
            self.warn(None, "memory is short: fewer trials run at once than there are workers")
        self.mark_started()

    def warn(self, trial: Trial | None, warning: str | None) -> None:
        """Say something once."""
        if warning and warning not in self.warned:
            self.warned.add(warning)
            self.report(trial, notice=warning)

    def payload(self, trial: Trial) -> dict[str, Any]:
        """What a worker is told of a trial."""
        kept = {"checkpoint": str(checkpoint_of(self.keeps, trial.id)), "sets_aside": True} if self.keeps else {}
        memory = {"keeps_memory": not self.room.large(trial)} if self.device == "cpu" else {}
        return trial.payload(self.device) | {"time_limit": self.time_limit} | kept | memory

    def ended_elsewhere(self, trial: Trial) -> bool:
        """Whether another process has run a trial since this sweep began; then it is counted."""
        record = self.store.trial(trial.id)
        if record is None or not (record.status in FINISHED or record.finished > self.began):
            return False
        self.forecast.found(trial)
        self.count(trial, record)
        return True

    def mark_started(self) -> None:
        """Note the beginning of those that a place has become free for."""
        for trial in islice(self.placed.values(), self.engine.places):
            if trial.id not in self.forecast.starts:
                self.forecast.started(trial)
                self.report(trial)

    def keep(self, event: Ended) -> None:
        """Store how a trial ended, and only then let others see it as nobody's."""
        trial = self.placed[event.key]
        answer = event.answer or no_answer(now(), event.reason or "no answer")
        record, history, observations = trial.ended(answer)
        self.store.record(record, history, observations)
        if self.keeps and record.status in FINISHED:
            discard(checkpoint_of(self.keeps, trial.id))
        self.claims.release(trial.id)
        del self.placed[event.key]
        if trial.id not in self.forecast.starts:  # a place was free before we thought so
            self.forecast.started(trial)
        self.forecast.ended(trial)
        self.count(trial, record, answer.get("notice"))

    def count(self, trial: Trial, record: TrialRecord, notice: str | None = None) -> None:
        """One more is done."""
        self.done += 1
        self.failed += record.status == FAILED
        self.report(trial, record, notice)

    def report(self, trial: Trial | None = None, ended: TrialRecord | None = None, notice: str | None = None) -> None:
        """Tell how far it is."""
        about = trial or next(iter(self.placed.values()), None)
        self.tell(
            Progress(
                about.candidate.text if about else "",
                about.seed if about else 0,
                self.done,
                self.total,
                ended,
                self.forecast.seconds_left(),
                running=len(self.forecast.starts),
                failed=self.failed,
                elsewhere=len(self.elsewhere),
                per_minute=self.forecast.per_minute(),
                notice=notice,
            )
        )
