"""How to train, as data: each paper's settings for each kind of data (recipes.toml), scaled to the budget.

All three papers use SGD with momentum 0.9, weight decay 1e-4 and a learning rate that is divided by 10 in steps: at
half and at three quarters of the training on CIFAR. MS-SAR and SeqConv use Nesterov's momentum, GUNN plain momentum
without dampening. There is no warm-up: none of the papers has one, and of the 100 steps of a short trial on `digits`
ten spent on warming up did not help.
"""

import math
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from explorer.errors import UserError, nearest

FINAL, BEST, SNAPSHOTS = "final", "best", "snapshots"  # the weights whose errors are reported
IMAGENET_SIDE = 128  # pixels; larger images are trained on as ImageNet's


@dataclass(frozen=True)
class Recipe:
    """Stochastic gradient descent with a schedule. Every field is part of a trial's identity."""

    name: str
    nesterov: bool
    momentum: float = 0.9
    dampening: float = 0.0
    weight_decay: float = 1e-4  # of every parameter
    batch: int = 64  # images
    lr: float = 0.1
    milestones: tuple[float, ...] = (0.5, 0.75)  # fractions of the budget
    decay: float = 0.1  # of the learning rate at each milestone
    cycles: int = 0  # half cosines from `lr` to zero, in place of milestones
    mixup: float = 0.0  # alpha of the Beta distribution that pairs of images are mixed by; 0: they are not
    reports: str = FINAL  # BEST: of the lowest validation error; SNAPSHOTS: the vote of all cycles' last weights
    within: float = 1.0  # BEST: of this first part of the budget

    def lr_at(self, fraction: float) -> float:
        """The learning rate when `fraction` in [0, 1] of the budget is spent."""
        if self.cycles:
            return self.lr / 2 * (1 + math.cos(math.pi * (fraction * self.cycles - self.cycle_at(fraction))))
        return self.lr * self.decay ** sum(fraction >= milestone for milestone in self.milestones)

    def cycle_at(self, fraction: float) -> int:
        """How many cycles are complete when `fraction` of the budget is spent."""
        return int(fraction * self.cycles + 1e-9)  # 3 of 6 steps are half of two cycles, whatever 3 / 6 rounds to


@dataclass(frozen=True)
class Setting:
    """A recipe, and what its paper says beside it."""

    recipe: Recipe
    epochs: int  # of the full training
    runs: int  # that the printed errors are means or medians of
    source: str  # paper and section
    data: str  # cifar, imagenet or other; empty: only on request
    networks: tuple[str, ...]  # patterns of names

    def fits(self, network: str, data: str) -> bool:
        """Whether the paper trains networks of this name so, on this kind of data."""
        return self.data == data and any(fnmatchcase(network, pattern) for pattern in self.networks)


def _setting(name: str, table: dict[str, Any]) -> Setting:
    """A table of recipes.toml: the paper's epochs become fractions of the budget."""
    epochs: int = table["epochs"]
    own = {key: table[key] for key in Recipe.__dataclass_fields__ if key in table}
    own["milestones"] = tuple(milestone / epochs for milestone in table.get("milestones", ()))
    own["within"] = table.get("within", epochs) / epochs
    recipe = Recipe(name, **own)
    return Setting(
        recipe, epochs, table.get("runs", 1), table["source"], table.get("data", ""), tuple(table.get("networks", ()))
    )


_TABLES = tomllib.loads(Path(__file__).with_name("recipes.toml").read_text(encoding="utf-8"))
SETTINGS = {name: _setting(name, table) for name, table in _TABLES.items()}
RECIPES = {name: setting.recipe for name, setting in SETTINGS.items()}

_NAME = re.compile(r"(?:.*\.arch:)?([A-Za-z_][\w-]*)", re.ASCII)


def kind_of(data: str, shape: Sequence[int]) -> str:
    """How recipes know a data set of this name and image size [C, H, W]: cifar, imagenet or other."""
    if data.startswith("cifar"):
        return "cifar"
    return "imagenet" if min(shape[1:]) >= IMAGENET_SIDE else "other"


def recipe_for(network: str, data: str = "other") -> Recipe:
    """The recipe of a network's paper for a kind of data, by the first name in its text."""
    found = _NAME.match(network.strip())
    name = found[1] if found else ""
    return next(setting.recipe for setting in SETTINGS.values() if setting.fits(name, data))


def recipe_of(network: str, name: str | None, data: str = "other") -> Recipe:
    """The recipe `name`; None: that of the network's paper for this kind of data."""
    return recipe_for(network, data) if name is None else recipe_named(name)


def recipe_named(name: str) -> Recipe:
    """The recipe `name`; UserError (with the nearest name) where there is none."""
    if name in RECIPES:
        return RECIPES[name]
    raise UserError(f"--recipe: there is no recipe {name[:80]!r}; {nearest(name, RECIPES)}")


def recipe_from(fields: dict[str, Any]) -> Recipe:
    """A recipe from its fields as JSON keeps them."""
    return Recipe(**fields | {"milestones": tuple(fields["milestones"])})


def epochs_of(recipe: Recipe) -> int:
    """The epochs of the paper's own training, for the budget `full`."""
    return SETTINGS[recipe.name].epochs
