"""How to train, as data: the papers' settings for CIFAR, their step schedule in proportion to the budget.

All three papers use SGD with momentum 0.9, weight decay 1e-4 and a learning rate of 0.1, divided by 10
twice: at half and at three quarters of the training (GUNN and SeqConv: epochs 150 and 225 of 300; MS-SAR's
ResNets: 80 and 120 of 160). MS-SAR and SeqConv use Nesterov's momentum, GUNN plain momentum without
dampening. Batches of 64 are GUNN's and SeqConv's. There is no warm-up: none of the papers has one, and of
the 100 steps of a short trial on `digits` ten spent on warming up did not help.
"""

import re
from dataclasses import dataclass

from explorer.errors import UserError, nearest


@dataclass(frozen=True)
class Recipe:
    """Stochastic gradient descent with a step schedule. Every field is part of a trial's identity."""

    name: str
    nesterov: bool
    momentum: float = 0.9
    dampening: float = 0.0
    weight_decay: float = 1e-4  # of every parameter
    batch: int = 64  # images
    lr: float = 0.1
    milestones: tuple[float, ...] = (0.5, 0.75)  # fractions of the budget
    decay: float = 0.1  # of the learning rate at each milestone

    def lr_at(self, fraction: float) -> float:
        """The learning rate when `fraction` in [0, 1] of the budget is spent."""
        return self.lr * self.decay ** sum(fraction >= milestone for milestone in self.milestones)


RECIPES = {
    "nesterov": Recipe("nesterov", nesterov=True),  # MS-SAR section 4.1, SeqConv section 4
    "momentum": Recipe("momentum", nesterov=False),  # GUNN section 5.3
}
_GUNN = re.compile(r"\s*(wide-)?[gs]unn", re.ASCII)


def recipe_for(network: str) -> Recipe:
    """The recipe of a network's paper, by its text: plain momentum for gunn and sunn, else Nesterov."""
    return RECIPES["momentum" if _GUNN.match(network) else "nesterov"]


def recipe_of(network: str, name: str | None) -> Recipe:
    """The recipe `name`; None: that of the network's paper."""
    return recipe_for(network) if name is None else recipe_named(name)


def recipe_named(name: str) -> Recipe:
    """The recipe `name`; UserError (with the nearest name) where there is none."""
    if name in RECIPES:
        return RECIPES[name]
    raise UserError(f"--recipe: there is no recipe {name[:80]!r}; {nearest(name, RECIPES)}")
