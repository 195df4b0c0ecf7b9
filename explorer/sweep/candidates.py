"""What a sweep compares: base networks, plain and with MS-SAR at every subset of the scales, each costed."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import explorer
from explorer.errors import UserError
from explorer.sweep.records import CandidateRecord, NetworkRecord

DEFAULT_BASES = ("cifar_resnet(n=1, widths=[8,16,32])", "cifar_resnet(n=2, widths=[8,16,32])")
DEFAULT_SCALES = (1, 2, 4)
MAX_SCALES = 8  # 255 subsets of each base
MAX_SCALE = 1024  # no map of a network is that high
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Candidate:
    """One network to compare: `base` with MS-SAR at `scales` (none: plain, None: not a sweep of scales)."""

    text: str
    base: str
    scales: tuple[int, ...] | None


def parse_scales(text: str) -> tuple[int, ...]:
    """Read `1,2,4`; UserError naming --scales for anything but distinct positive integers."""
    parts = [part.strip() for part in text.split(",")]
    if not all(re.fullmatch(r"[+-]?\d{1,9}", part, re.ASCII) for part in parts):
        raise UserError(f"--scales: {text[:80]!r} is not a list of integers; write for example 1,2,4")
    return check_scales([int(part) for part in parts])


def check_scales(scales: Sequence[int]) -> tuple[int, ...]:
    """The scales as they are, if a sweep can use them; else UserError naming --scales."""
    if not scales:
        raise UserError("--scales: no scale is given; write for example 1,2,4")
    wrong = [scale for scale in scales if not 1 <= scale <= MAX_SCALE]
    if wrong:
        raise UserError(f"--scales: {wrong[0]} is not a scale; scales are integers from 1 to {MAX_SCALE}")
    twice = [scale for index, scale in enumerate(scales) if scale in scales[:index]]
    if twice:
        raise UserError(f"--scales: {twice[0]} is given twice")
    if len(scales) > MAX_SCALES:
        raise UserError(f"--scales: {len(scales)} scales have 2^{len(scales)} subsets; at most {MAX_SCALES}")
    return tuple(scales)


def scale_candidates(bases: Sequence[str], scales: Sequence[int] | None) -> list[Candidate]:
    """Each base plain, then with each non-empty subset of the scales, small ones first; None: bases alone."""
    subsets = scale_subsets(scales)
    return [Candidate(_with_scales(base, chosen), base, chosen) for base in distinct(bases) for chosen in subsets]


def distinct(bases: Sequence[str]) -> list[str]:
    """The networks to sweep, each once. Raises UserError where there is none."""
    found = list(dict.fromkeys(base.strip() for base in bases))
    if not found:
        raise UserError("there is no network to sweep; name at least one")
    return found


def scale_subsets(scales: Sequence[int] | None) -> list[tuple[int, ...] | None]:
    """All subsets of the scales, small ones first; of no scales (None) nothing but None."""
    if scales is None:
        return [None]
    return [chosen for size in range(len(scales) + 1) for chosen in combinations(sorted(scales), size)]


def _with_scales(base: str, scales: tuple[int, ...] | None) -> str:
    """The text of a base network recalibrated at some scales."""
    return f"{base} + mssar({','.join(map(str, scales))})" if scales else base


def costed(candidate: Candidate, shape: Shape | None, classes: int | None) -> CandidateRecord:
    """A candidate with its exact cost, on images [C, H, W] of so many classes (None: its own). Raises UserError."""
    cost = explorer.cost(candidate.text, input=shape, classes=classes)
    network = NetworkRecord(
        cost.graph.digest,
        cost.canonical,
        candidate.text,
        cost.input,
        cost.params,
        cost.macs,
        cost.activations,
        cost.depth,
        cost.chain,
    )
    return CandidateRecord(candidate.text, candidate.base, candidate.scales, network)
