"""Sequentially aggregated convolution (SeqConv), sections 3.1 and 3.2 of that paper.

Feature maps are [N, C, H, W]; k is the number of channels of a group, c the number of subgroups of a group.
"""

import torch

from . import batch_norm, conv2d


def group_raw(view, weights, bottleneck=False, c=1, training=True):
    """F_i of equation (1) up to its last convolution: view [N, V, H, W] -> [N, k, H, W].

    Basic: ``weight`` [k, V/c, 3, 3]. Bottleneck: ``reduce_weight`` [k, V, 1, 1], batch norm ``reduce_bn``
    [k], ReLU, ``weight`` [k, k/c, 3, 3]. The c subgroups split only the 3x3.
    """
    if bottleneck:
        view = conv2d(view, weights["reduce_weight"])
        view = torch.relu(batch_norm(view, weights, "reduce_bn", training))
    return conv2d(view, weights["weight"], padding=1, groups=c)


def group_activation(raw, weights, training=True):
    """The end of F_i: batch norm ``bn`` [k] and ReLU, [N, k, H, W] -> [N, k, H, W]."""
    return torch.relu(batch_norm(raw, weights, "bn", training))


def _check_width(group, k):
    if group.shape[1] != k:
        raise ValueError(f"a group of {group.shape[1]} channels where k = {k}")


def seqconv(x, k, group_weights, bottleneck=False, c=1, training=True):
    """SeqConv, equation (1): x_i = F_i([x_0, x_1, ..., x_{i-1}]); x [N, Cin, H, W] -> [N, G*k, H, W].

    ``group_weights`` has one dict for each of the G groups; group i (from 1) reads Cin + (i-1)*k channels.
    The output is [x_1, ..., x_G], without the input.
    """
    aggregated = [x]
    for weights in group_weights:
        view = torch.cat(aggregated, dim=1)
        out = group_activation(group_raw(view, weights, bottleneck, c, training), weights, training)
        _check_width(out, k)
        aggregated.append(out)
    return torch.cat(aggregated[1:], dim=1)


def slide(view, new, k):
    """The window of equation (2) one group later: the k oldest channels leave, the k newest enter."""
    return torch.cat([view, new], dim=1)[:, k:]


def wseqconv(x, k, group_weights, bottleneck=False, c=1, training=True):
    """WSeqConv, equation (2): x_i = F_i([x_{i-g'}, ..., x_{i-1}]); x [N, Cin, H, W] -> [N, G*k, H, W].

    The window is Cin channels wide: the first group reads the whole input, every later one the newest Cin
    channels, oldest first.
    """
    view = x
    outputs = []
    for weights in group_weights:
        out = group_activation(group_raw(view, weights, bottleneck, c, training), weights, training)
        _check_width(out, k)
        outputs.append(out)
        view = slide(view, out, k)
    return torch.cat(outputs, dim=1)


def residual_block(raw, activated, k, layer1, layer2, bottleneck=False, c=1, training=True):
    """Residual block of two WSeqConv layers, section 3.2 and figure 2: -> (raw, activated), [N, C, H, W].

    raw and activated [N, C, H, W] are the two streams of the pre-activation network. Layer 1 reads the
    activated stream. In layer 2 (on layer 1's output) group i's last convolution gets raw slice i added
    before its own batch norm and ReLU, so that the later groups of the layer read the sum.
    """
    view = wseqconv(activated, k, layer1, bottleneck, c, training)
    raw_out, activated_out = [], []
    for i, weights in enumerate(layer2):
        group = group_raw(view, weights, bottleneck, c, training)
        _check_width(group, k)
        total = group + raw[:, i * k : (i + 1) * k]
        out = group_activation(total, weights, training)
        raw_out.append(total)
        activated_out.append(out)
        view = slide(view, out, k)
    return torch.cat(raw_out, dim=1), torch.cat(activated_out, dim=1)


def downsampling_block(
    activated, C2, k_old, k_new, extension, downsize, bottleneck=False, c=1, downsize_c=1, training=True
):
    """Down-sampling block, section 3.2 and figure 3: [N, C1, H, W] -> (raw, activated).

    Both outputs are [N, C2, ceil(H/2), ceil(W/2)].

    ``extension`` holds the (C2 - C1)/k_old groups of a WSeqConv with k_old (empty where C2 = C1); its output
    follows the input's channels. ``downsize`` is a grouped 3x3 convolution of stride 2 with ``weight`` [C2,
    k_new/downsize_c, 3, 3] and batch norm ``bn`` [C2]. It has C2/k_new groups, one for each group of the next
    stage; with subgroups in the next stage (downsize_c > 1), C2/k_new * downsize_c as in table 2.
    """
    extended = activated
    if extension:
        new = wseqconv(activated, k_old, extension, bottleneck, c, training)
        extended = torch.cat([activated, new], dim=1)
    if extended.shape[1] != C2:
        raise ValueError(f"extended to {extended.shape[1]} channels where C2 = {C2}")
    raw = conv2d(extended, downsize["weight"], stride=2, padding=1, groups=C2 // k_new * downsize_c)
    return raw, group_activation(raw, downsize, training)
