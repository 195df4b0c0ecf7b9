"""Shake-Shake (Gastaldi 2017, figure 1)."""

import torch


def mixed(a, b, alpha, beta):
    """alpha [N] weights the images of a and 1 - alpha those of b; beta [N] does so for the gradient."""
    value, gradient = (w[:, None, None, None] * a + (1 - w)[:, None, None, None] * b for w in (alpha, beta))
    return gradient + (value - gradient).detach()


def shortcut(x, first, second, stride):
    """Two 1x1 projections side by side, before their batch norm: x [N, Cin, H, W] -> [N, C, H', W'].

    The first reads every stride-th position, the second the one above and to the left of each, zero outside the map.
    """
    outputs = []
    for weight, offset in ((first, 0), (second, 1)):
        rows = []
        for r in range(0, x.shape[2], stride):
            cells = []
            for c in range(0, x.shape[3], stride):
                inside = r >= offset and c >= offset
                read = x[:, :, r - offset, c - offset] if inside else torch.zeros_like(x[:, :, 0, 0])
                cells.append(read @ weight.T)
            rows.append(torch.stack(cells, dim=-1))
        outputs.append(torch.stack(rows, dim=-2))
    return torch.cat(outputs, dim=1)
