"""Sparse aggregation of Zhu et al. 2018: a layer reads the outputs of the layers 1, 2, 4, 8, ... before it.

Outputs are numbered from 0, which is what enters the block; layer l makes output l. What follows n layers reads as
layer n + 1 would. Feature maps are [N, C, H, W].
"""

import torch


def sources(layer):
    """Numbers of the outputs that a layer (from 1) reads, the oldest first."""
    found = []
    distance = 1
    while distance <= layer:
        found.insert(0, layer - distance)
        distance *= 2
    return found


def sparse_block(x, layers):
    """Layers (functions of a feature map) aggregated sparsely: what a transition or classifier behind them reads."""
    outputs = [x]
    for number, layer in enumerate(layers, start=1):
        outputs.append(layer(torch.cat([outputs[i] for i in sources(number)], dim=1)))
    return torch.cat([outputs[i] for i in sources(len(outputs))], dim=1)


def sparse_view(Cin, n, k):
    """bool [n + 1, Cin + n*k]: what each of n layers of k channels reads directly, and what the block hands on (last).

    The columns are the Cin input channels, then the k channels of layer 1, of layer 2, and so on.
    """
    view = torch.zeros(n + 1, Cin + n * k, dtype=torch.bool)
    for layer in range(1, n + 2):
        for source in sources(layer):
            start, stop = (0, Cin) if source == 0 else (Cin + (source - 1) * k, Cin + source * k)
            view[layer - 1, start:stop] = True
    return view
