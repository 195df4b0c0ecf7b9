"""What `explorer cost --on` measures, as the store keeps it."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from explorer.analysis.cost import Cost, cost_of
from explorer.measure.process import OK, OUT_OF_MEMORY
from explorer.measure.result import Measurement, MemoryUse
from explorer.sweep.records import MeasurementRecord, NetworkRecord, now
from explorer.sweep.store import Store

RESULTS = (OK, OUT_OF_MEMORY)  # outcomes that say something about the network; what failed or was stopped does not


def keep(workspace: str | Path, costs: Sequence[Cost], measurements: Sequence[Measurement]) -> int:
    """Store what was measured of networks, the first of which is what ratios are to; how many had a result.

    UserError where the workspace cannot be written.
    """
    first = network_record(costs[0]).digest
    kept = [(cost, one) for cost, one in zip(costs, measurements, strict=True) if one.outcome in RESULTS]
    with Store.open(workspace) as store:
        for cost, measurement in kept:
            network = network_record(cost)
            numbers = numbers_of(measurement) | ({"ratio_to": first} if measurement.ratio else {})
            setting, environment = measurement.setting.as_dict(), measurement.environment
            store.record_measurement(network, MeasurementRecord(network.digest, setting, numbers, environment, now()))
    return len(kept)


def network_record(cost: Cost) -> NetworkRecord:
    """A network as the store knows it, its cost that of one image."""
    one = cost_of(cost.graph, cost.network)
    return NetworkRecord(
        cost.graph.digest,
        one.canonical,
        one.network,
        one.input,
        one.params,
        one.macs,
        one.activations,
        one.depth,
        one.chain,
    )


def numbers_of(measurement: Measurement) -> dict[str, Any]:
    """The numbers of a measurement by names with units; those that were not measured are left out."""
    found: dict[str, Any] = {"outcome": measurement.outcome, "reason": measurement.reason}
    if measurement.latency is not None:
        times = asdict(measurement.latency)
        found |= {"latency_ms": times.pop("median_ms"), **times}
    if measurement.memory is not None:
        found |= _in_bytes(measurement.memory)
    if measurement.ratio is not None:
        ratio = measurement.ratio
        found |= {"ratio": ratio.median, "ratio_q1": ratio.q1, "ratio_q3": ratio.q3, "ratio_of": ratio.of}
    found |= {"parts": measurement.parts, "notes": list(measurement.notes) or None}
    return {name: value for name, value in found.items() if value is not None}


def _in_bytes(use: MemoryUse) -> dict[str, int | None]:
    return {name if name.endswith("_bytes") else f"{name}_bytes": value for name, value in asdict(use).items()}
