"""Ray's engine (`pip install 'explorer[ray]'`): Ray places jobs on the machines of a cluster, and nothing else.

On the machine that Ray chose a job runs on a seat, as it would here. Answers come back to this process, which
writes the store: what a trial is, what has ended and what is to be done again is never Ray's to know. A machine
that is lost costs its running jobs a new start elsewhere (Ray's `max_retries`).
"""

import os
import socket
from collections.abc import Mapping
from typing import Any

from explorer.errors import UserError
from explorer.sweep.engine import Ended, Job, run_on
from explorer.sweep.seat import Limits, Seat

NODE_LOSSES = 5  # that one job may meet
PROBE_SECONDS = 5.0
LOCAL_STORE_BYTES = 100 * 2**20  # of a Ray started here for this sweep alone: jobs and answers are small


class RayEngine:
    """As many places as the cluster has now; a job takes one core, or a core and a part of a GPU."""

    def __init__(
        self, task: str, address: str | None, gpus: float, environment: Mapping[str, str], limits: Limits
    ) -> None:
        self._ray = _connected(address)
        self.gpus = gpus
        self._keys: dict[Any, str] = {}  # by reference to the answer
        self._remote = self._ray.remote(_run_here).options(
            num_cpus=1, num_gpus=gpus, memory=limits.memory_bytes, max_retries=NODE_LOSSES
        )
        self._arguments = task, dict(environment), limits
        if not self.places:
            offered, need = self._resources(), f" and {gpus:g} GPU" if gpus else ""
            self.close()
            raise UserError(
                f"--engine: the Ray cluster has no place for a trial: that needs 1 core{need}, "
                f"the cluster has {offered.get('CPU', 0):g} cores and {offered.get('GPU', 0):g} GPUs"
            )

    @property
    def places(self) -> int:
        """How many jobs fit the cluster as it is now."""
        resources = self._resources()
        by_gpu = [resources.get("GPU", 0) / self.gpus] if self.gpus else []
        return int(min([resources.get("CPU", 0), *by_gpu]))

    def _resources(self) -> dict[str, float]:
        return dict(self._ray.cluster_resources())

    def start(self, job: Job) -> None:
        """Hand a job to Ray, which starts it when there is a place."""
        self._keys[self._remote.remote(job, *self._arguments)] = job.key

    def wait(self, seconds: float) -> Ended | None:
        """The next job that is over; None: none within the time."""
        ready, _ = self._ray.wait(list(self._keys), num_returns=1, timeout=seconds)
        if not ready:
            return None
        key = self._keys.pop(ready[0])
        try:
            over: Ended = self._ray.get(ready[0])
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, UserError):  # as of the local engine: nothing can run there
                raise error.cause from None
            return Ended(key, None, f"Ray could not run it: {error.cause}")
        except self._ray.exceptions.RayError as error:
            return Ended(key, None, f"Ray gave it up: {str(error).splitlines()[0][:300]}")
        return over

    def close(self) -> None:
        """Leave the cluster; it ends what this process had placed there."""
        self._ray.shutdown()


_SEATS: dict[tuple[Any, ...], Seat] = {}  # of this Ray worker, which runs one job at a time: at most one


def _run_here(job: Job, task: str, environment: dict[str, str], limits: Limits) -> Ended:
    """Run a job where Ray has placed it, in the child process of the job before if that saw the same GPU."""
    where = (task, limits, os.environ.get("CUDA_VISIBLE_DEVICES"), *sorted(environment.items()))
    if where not in _SEATS:
        while _SEATS:
            _SEATS.popitem()[1].leave()
        _SEATS[where] = Seat(task, environment, limits)
    return run_on(_SEATS[where], job)


def _connected(address: str | None) -> Any:
    """The ray module, connected: to `address`, else to the cluster this machine is in, else to a Ray of our own."""
    try:
        import ray
    except ImportError as error:
        raise UserError(f"--engine ray needs Ray: pip install 'explorer[ray]' ({error})") from error
    address = address or os.environ.get("RAY_ADDRESS")
    if address:
        _probe(address)
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": "error", "configure_logging": False}
    try:
        ray.init(address or "auto", **settings)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        if address is None and isinstance(error, ConnectionError):
            ray.init(include_dashboard=False, object_store_memory=LOCAL_STORE_BYTES, **settings)
            return ray
        raise _unreachable(address or "this machine", str(error).strip().partition("\n")[0]) from error
    return ray


def _probe(address: str) -> None:
    """UserError at once where nothing listens; Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        raise UserError(f"--engine: {address[:80]!r} is no address; write ray:HOST:PORT, such as ray:10.0.0.1:6379")
    try:
        socket.create_connection((host, int(port)), PROBE_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(address, str(error)) from error


def _unreachable(where: str, reason: str) -> UserError:
    return UserError(
        f"--engine: no Ray cluster answers at {where[:80]} ({reason[:300]}); "
        "`ray start --head` starts one and prints its address"
    )
