"""Highway layers (Srivastava et al. 2015, equation 3)."""

import torch
import torch.nn.functional as F


def layer(x, gate_weight, gate_bias, weight, bias, closed):
    """y = T H + (1 - T) x, both 3x3; `closed` is added to the bias of the transform gate T."""
    gate = torch.sigmoid(F.conv2d(x, gate_weight, gate_bias + closed, padding=1))
    hidden = torch.relu(F.conv2d(x, weight, bias, padding=1))
    return gate * hidden + (1 - gate) * x
