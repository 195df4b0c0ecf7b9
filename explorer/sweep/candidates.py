"""What a sweep compares: networks, plain and with MS-SAR at every subset of the scales, modifiers on and off, sizes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

import explorer
from explorer.catalog.load import load
from explorer.errors import UserError
from explorer.sweep.classes import check_classes
from explorer.sweep.ranges import Family, Ranges, has_ranges
from explorer.sweep.records import CandidateRecord, NetworkRecord
from explorer.sweep.sampling import DesignSpace

DEFAULT_BASES = ("cifar_resnet(n=1, widths=[8,16,32])", "cifar_resnet(n=2, widths=[8,16,32])")
DEFAULT_SCALES = (1, 2, 4)
MAX_SCALES = 8  # 255 subsets of each base
MAX_SCALE = 1024  # no map of a network is that high
MAX_MODIFIERS = 8  # 256 ways to put them on and off
MAX_SIDE = 10**6
DIGEST = 16  # digits of a network's digest where a run's configuration lists many
MAX_BATCH = 10**6
Shape = tuple[int, int, int]
_SIZE = re.compile(r"\s*(\d{1,7})\s*x\s*(\d{1,7})\s*x\s*(\d{1,7})\s*", re.ASCII)


@dataclass(frozen=True)
class Candidate:
    """One network to compare: `base` with MS-SAR at `scales` (none: plain, None: not a sweep of scales)."""

    text: str
    base: str
    scales: tuple[int, ...] | None
    input: Shape | None = None  # channels, height, width; None: that of the data, or the network's own
    space: str | None = None  # which it was found in: a design space's name, or a text with ranges


@dataclass(frozen=True)
class Selection:
    """Which networks a sweep compares: each combination of what is given, as far as it fits the limits."""

    networks: tuple[str, ...] = ()
    scales: tuple[int, ...] | None = None  # every subset is compared; None: as they are
    modifiers: tuple[str, ...] = ()  # each of them off and on
    axes: tuple[str, ...] = ()  # such as k=8,16
    where: str | None = None
    inputs: tuple[Shape, ...] = ()  # none: one, that of the data or the networks' own
    batch: int = 1  # images, of costs in limits
    spaces: tuple[DesignSpace, ...] = ()
    on: str | None = None  # the device that limits on latencies are predicted for: a name or a file

    @property
    def is_search(self) -> bool:
        """Whether the candidates have to be found first; else they are written down one by one."""
        ranged = any(has_ranges(text) for text in (*self.networks, *self.modifiers))
        limited = self.where is not None or self.on is not None
        return bool(self.axes or self.modifiers or self.spaces) or limited or ranged

    @property
    def texts(self) -> list[str]:
        """The networks, each with every subset of the modifiers, which act in the order given."""
        bases = distinct(self.networks, may_be_none=bool(self.spaces))
        return [" + ".join([base, *chosen]) for base in bases for chosen in subsets(self.modifiers)]

    def as_config(self) -> dict[str, Any]:
        """What is not the default of it, as JSON."""
        found: dict[str, Any] = {"bases": list(self.networks), "scales": self.scales and sorted(self.scales)}
        found |= {"axes": list(self.axes), "where": self.where} if self.is_search else {}
        found |= {"modifiers": list(self.modifiers)} if self.modifiers else {}
        found |= {"inputs": [list(shape) for shape in self.inputs]} if self.inputs else {}
        found |= {"batch": self.batch} if self.batch != 1 else {}
        found |= {"on": self.on} if self.on is not None else {}
        return found | ({"draws": [space.as_config() for space in self.spaces]} if self.spaces else {})


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


def check_modifiers(modifiers: Sequence[str]) -> tuple[str, ...]:
    """The modifiers as they are, if they can be put on and off; else UserError naming --modifier."""
    found = [modifier.strip().removeprefix("+").strip() for modifier in modifiers]
    for index, modifier in enumerate(found):
        if not modifier:
            raise UserError("--modifier: it is empty; write for example --modifier se --modifier 'wseqconv(k=4)'")
        if modifier in found[:index]:
            raise UserError(f"--modifier: {modifier[:80]!r} is given twice")
    if len(found) > MAX_MODIFIERS:
        raise UserError(f"--modifier: {len(found)} modifiers have 2^{len(found)} subsets; at most {MAX_MODIFIERS}")
    return tuple(found)


def parse_inputs(text: str) -> tuple[Shape, ...]:
    """Read `3x32x32,3x64x64`; UserError naming --input for anything but distinct sizes, channels first."""
    found: list[Shape] = []
    for part in text.split(","):
        size = _SIZE.fullmatch(part)
        if size is None:
            raise UserError(f"--input: {part[:60]!r} is not channels x height x width, such as 3x224x224")
        shape = (int(size[1]), int(size[2]), int(size[3]))
        if not all(1 <= side <= MAX_SIDE for side in shape):
            raise UserError(f"--input: every side of {part[:60]!r} must be from 1 to {MAX_SIDE:,}")
        if shape in found:
            raise UserError(f"--input: {part.strip()} is given twice")
        found.append(shape)
    return tuple(found)


def check_batch(batch: int) -> int:
    """A number of images, or UserError naming --batch."""
    if not 1 <= batch <= MAX_BATCH:
        raise UserError(f"--batch: {batch} is not a number of images from 1 to {MAX_BATCH:,}")
    return batch


def check_inputs(inputs: Sequence[Shape], shape: Shape | None) -> None:
    """UserError naming --input for a size that the data do not have: training is on the images there are."""
    for size in inputs:
        if size != shape:
            sides = ["x".join(map(str, sides or ())) for sides in (size, shape)]
            raise UserError(f"--input: the data have images of {sides[1]}; {sides[0]} is for costs only (--no-train)")


def scale_candidates(
    bases: Sequence[str], scales: Sequence[int] | None, inputs: Sequence[Shape] = ()
) -> list[Candidate]:
    """Each base plain, then with each non-empty subset of the scales, small ones first; None: bases alone."""
    sizes: Sequence[Shape | None] = inputs or [None]
    every = product(sizes, distinct(bases), scale_subsets(scales))
    return [Candidate(_with_scales(base, chosen), base, chosen, shape) for shape, base, chosen in every]


def distinct(bases: Sequence[str], may_be_none: bool = False) -> list[str]:
    """The networks to sweep, each once. Raises UserError where there is none."""
    found = list(dict.fromkeys(base.strip() for base in bases))
    if not found and not may_be_none:
        raise UserError("there is no network to sweep; name at least one")
    return found


def scale_subsets(scales: Sequence[int] | None) -> list[tuple[int, ...] | None]:
    """All subsets of the scales, small ones first; of no scales (None) nothing but None."""
    return [None] if scales is None else list(subsets(sorted(scales)))


def subsets(items: Sequence[Any]) -> list[tuple[Any, ...]]:
    """All subsets, small ones first."""
    return [chosen for size in range(len(items) + 1) for chosen in combinations(items, size)]


def _with_scales(base: str, scales: tuple[int, ...] | None) -> str:
    """The text of a base network recalibrated at some scales."""
    return f"{base} + mssar({','.join(map(str, scales))})" if scales else base


def costed(candidate: Candidate, shape: Shape | None, classes: int | None) -> CandidateRecord:
    """A candidate with its exact cost, on images [C, H, W] of so many classes (None: its own). Raises UserError."""
    cost = explorer.cost(candidate.text, input=candidate.input or shape, classes=classes)
    check_classes(Family(*load(candidate.text), {}, Ranges()), classes)
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
