"""Additive PyramidNets of Han et al. 2017, sections 2 and 3: widths, and the parameter-free shortcut."""

import torch


def widths(blocks, alpha, first=16):
    """Width of each block: alpha / blocks more than that of the one before, rounded to the nearest (halves up)."""
    found = []
    for k in range(1, blocks + 1):
        doubled = 2 * first * blocks + 2 * alpha * k + blocks  # 2 * blocks times (width + 1/2), in integers
        found.append(doubled // (2 * blocks))
    return found


def pyramid_shortcut(x, channels, stride):
    """x [N, C, H, W] averaged over stride x stride cells, with zero channels behind: [N, channels, H', W']."""
    if stride > 1:
        rows, columns = x.shape[2] // stride, x.shape[3] // stride
        total = 0
        for dy in range(stride):
            for dx in range(stride):
                total = total + x[:, :, dy : rows * stride : stride, dx : columns * stride : stride]
        x = total / stride**2
    missing = torch.zeros(x.shape[0], channels - x.shape[1], *x.shape[2:], dtype=x.dtype)
    return torch.cat([x, missing], dim=1)
