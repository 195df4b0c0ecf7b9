"""Initialisation as the papers say.

Convolutions: He et al. 2015, normal with variance 2 / (k k c_in) (GUNN section 6.2, SeqConv section 4.2, and the
ResNets and DenseNets that MS-SAR builds on), or zero where the text says so (SeqConv's second layer of a
residual block). Batch norm: scale 1, shift 0. Linear: Glorot and Bengio 2010 where `init = glorot` (SeqConv's
classifier), else torch's default.
"""

import torch
from torch import nn

from explorer.blocks.graph import Op


@torch.no_grad()
def initialise(layer: nn.Module, op: Op) -> None:
    """Draw the weights of one layer from torch's global generator."""
    if isinstance(layer, nn.Conv2d):
        if op.attrs["init"] == "zero":
            nn.init.zeros_(layer.weight)
        else:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    elif isinstance(layer, nn.Linear) and op.attrs["init"] == "glorot":
        nn.init.xavier_uniform_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
