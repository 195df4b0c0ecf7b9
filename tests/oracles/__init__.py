"""Reference implementations of the mechanisms of the three papers, and the operations they share.

Everything is written for legibility rather than speed, in plain differentiable torch functions. Feature maps
are [N, C, H, W] (images, channels, rows, columns); values carry no physical unit, positions and distances are
counted in lattice cells of the feature map. Weights are dicts of tensors; a batch norm with prefix ``bn`` has
the keys ``bn_weight``, ``bn_bias`` and, for evaluation mode, ``bn_running_mean`` and ``bn_running_var``, each
of shape [C].
"""

import torch

EPS = 1e-5


def conv2d(x, weight, stride=1, padding=0, groups=1):
    """Convolution without bias, as a sum over kernel taps.

    x [N, Cin, H, W], weight [Cout, Cin/groups, kh, kw] -> [N, Cout, H', W'] with
    H' = floor((H + 2*padding - kh) / stride) + 1, W' likewise. Padding (in cells) is with zeros on all four
    sides. Output channel block g reads input channel block g only.
    """
    n, cin, h, w = x.shape
    cout, cin_group, kh, kw = weight.shape
    if cin != cin_group * groups or cout % groups:
        raise ValueError(f"{cin} -> {cout} channels in {groups} groups does not fit weight {tuple(weight.shape)}")
    padded = torch.zeros(n, cin, h + 2 * padding, w + 2 * padding, dtype=x.dtype, device=x.device)
    padded[:, :, padding : padding + h, padding : padding + w] = x
    out_h = (h + 2 * padding - kh) // stride + 1
    out_w = (w + 2 * padding - kw) // stride + 1
    cout_group = cout // groups
    blocks = []
    for g in range(groups):
        block_in = padded[:, g * cin_group : (g + 1) * cin_group]
        block_weight = weight[g * cout_group : (g + 1) * cout_group]
        total = torch.zeros(n, cout_group, out_h, out_w, dtype=x.dtype, device=x.device)
        for dy in range(kh):
            for dx in range(kw):
                rows = slice(dy, dy + (out_h - 1) * stride + 1, stride)
                cols = slice(dx, dx + (out_w - 1) * stride + 1, stride)
                tap = block_in[:, :, rows, cols]
                total = total + torch.einsum("nihw,oi->nohw", tap, block_weight[:, :, dy, dx])
        blocks.append(total)
    return torch.cat(blocks, dim=1)


def batch_norm_vectors(vectors, weights, prefix="bn", training=True):
    """Batch norm of vectors [M, C] over exactly these M entries, per channel.

    Training: mean and biased variance of the M entries. Evaluation: the running mean and variance in
    ``weights``.
    """
    if training:
        mean = vectors.sum(dim=0) / vectors.shape[0]
        var = ((vectors - mean) ** 2).sum(dim=0) / vectors.shape[0]
    else:
        mean = weights[f"{prefix}_running_mean"]
        var = weights[f"{prefix}_running_var"]
    normal = (vectors - mean) / torch.sqrt(var + EPS)
    return normal * weights[f"{prefix}_weight"] + weights[f"{prefix}_bias"]


def batch_norm(x, weights, prefix="bn", training=True):
    """Batch norm of a feature map [N, C, H, W]: the entries of a channel are its N*H*W values."""
    n, c, h, w = x.shape
    vectors = x.permute(0, 2, 3, 1).reshape(n * h * w, c)
    out = batch_norm_vectors(vectors, weights, prefix, training)
    return out.reshape(n, h, w, c).permute(0, 3, 1, 2)
