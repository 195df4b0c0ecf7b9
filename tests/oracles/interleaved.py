"""Interleaved group convolutions (Zhang et al. 2017, section 3.1), by channel indices instead of permutations."""

import torch

from . import conv2d


def igc(x, primary, secondary, L, stride=1):
    """x [N, L Min, H, W] -> [N, L M, H', W'], before batch norm. Channel i M + m is member m of primary partition i.

    primary [L M, Min, 3, 3]: a spatial convolution within each of L partitions. secondary [L M, L, 1, 1]: rows m L to
    (m + 1) L are the 1x1 convolution of secondary partition m, which holds member m of every primary partition.
    """
    hidden = conv2d(x, primary, stride, padding=1, groups=L)
    M = hidden.shape[1] // L
    made = {}
    for m in range(M):
        members = torch.stack([hidden[:, i * M + m] for i in range(L)], dim=1)
        for i in range(L):
            made[i, m] = torch.einsum("nlhw,l->nhw", members, secondary[m * L + i, :, 0, 0])
    return torch.stack([made[i, m] for i in range(L) for m in range(M)], dim=1)
