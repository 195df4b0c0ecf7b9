"""Stochastic depth (Huang et al. 2016, section 3)."""

from fractions import Fraction

import torch


def survival(block, blocks, last):
    """Probability that block 1, ..., blocks takes part in a mini-batch, falling linearly to `last`."""
    return 1 - Fraction(block, blocks) * (1 - Fraction(last))


def residual(branch, shortcut, gate):
    """ReLU of gate x branch + shortcut; the gate is 0 or 1 in training, the survival probability in evaluation."""
    return torch.relu(gate * branch + shortcut)
