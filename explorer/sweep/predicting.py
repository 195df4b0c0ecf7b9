"""Limits on latencies that are predicted for a device: `--on`, which in a sweep is never measured on."""

from collections.abc import Sequence

from explorer.analysis.device import Device, find_device
from explorer.analysis.limits import QUANTITIES
from explorer.analysis.times import LATENCIES, latency_of
from explorer.errors import UserError
from explorer.measure.setting import DEVICE
from explorer.sweep.search import Measures
from explorer.sweep.where import parse_where

OPTION = "--on"
NAMED = (*QUANTITIES, *LATENCIES)  # what limits can name where there is a device


def device_of(on: str) -> Device:
    """A described device, by its name or from its file. UserError naming --on for what is no such device."""
    if DEVICE.fullmatch(on.strip()):
        raise UserError(
            f"{OPTION}: a sweep predicts, it does not measure on {on.strip()}; name a described device "
            "(explorer list), or a file, which `explorer cost --on cpu --calibrate FILE.toml` writes for this one"
        )
    try:
        return find_device(on.strip())
    except UserError as error:
        raise UserError(f"{OPTION}: {error}") from error


def measures_on(on: str | None, limits: Sequence[str | None], dtype: str = "fp32") -> Measures:
    """The quantities that limits can name: with a device also the latencies predicted for it.

    `limits` are all there are: UserError where there is a device, and none of them is about a latency.
    """
    if on is None:
        return QUANTITIES
    device = device_of(on)
    if not any(parse_where(limit, NAMED).names & {*LATENCIES} for limit in limits if limit is not None):
        raise UserError(f"{OPTION}: no limit is about a latency; write one such as --where 'infer_latency <= 5ms'")
    try:
        device.peak_of(dtype, convolution=True)
    except UserError as error:
        raise UserError(f"{OPTION}: {error}") from error
    return dict(QUANTITIES) | {name: latency_of(name, device, dtype) for name in LATENCIES}
