"""Gradually updated neural networks (GUNN), sections 3, 4.1 and 5.1 of that paper.

Feature maps are [N, C, H, W], where C is the N of the paper's {N, P, K, M}.
"""

import torch

from . import batch_norm, conv2d


def segments(N, P):
    """Cut points of the even partition of N channels into P segments (section 5.1, "Channel Partitions").

    floor(i*N/P) for i = 0..P; segment i (from 0) is the channels from cut i up to but excluding cut i + 1.
    """
    return [(i * N) // P for i in range(P + 1)]


def triple(x, weights, training=True):
    """One bottleneck of section 5.1: [N, n_in, H, W] -> [N, n_out, H, W], no biases.

    ``conv1_weight`` [K*n_out, n_in, 1, 1], ``bn1``, ReLU, ``conv2_weight`` [K*n_out, K*n_out, 3, 3] (stride
    1, padding 1), ``bn2``, ReLU, ``conv3_weight`` [n_out, K*n_out, 1, 1], ``bn3``.
    """
    hidden = torch.relu(batch_norm(conv2d(x, weights["conv1_weight"]), weights, "bn1", training))
    hidden = conv2d(hidden, weights["conv2_weight"], padding=1)
    hidden = torch.relu(batch_norm(hidden, weights, "bn2", training))
    return batch_norm(conv2d(hidden, weights["conv3_weight"]), weights, "bn3", training)


def update_unit(view, weights, training=True):
    """G_c of equation (5): the M stacked bottlenecks ``triples``, [N, n_in, H, W] -> [N, n_out, H, W].

    Every triple after the first reads the n_out channels of the one before it, with no ReLU between.
    """
    out = view
    for triple_weights in weights["triples"]:
        out = triple(out, triple_weights, training)
    return out


def updated_segment(view, start, stop, weights, shortcut, training=True):
    """F_c of equation (5) on channels start..stop-1 of view [N, C, H, W] -> [N, stop - start, H, W].

    shortcut "identity": the segment's own value is added; "identity+projection": also the batch norm
    ``proj_bn`` of the 1x1 convolution ``proj_weight`` [stop - start, C, 1, 1] of the whole view; "none":
    neither (GUNN-15-NoRes).
    """
    out = update_unit(view, weights, training)
    if shortcut not in ("identity", "identity+projection", "none"):
        raise ValueError(shortcut)
    if shortcut != "none":
        out = out + view[:, start:stop]
    if shortcut == "identity+projection":
        out = out + batch_norm(conv2d(view, weights["proj_weight"]), weights, "proj_bn", training)
    return out


def write_segment(state, start, stop, value):
    """U_c of equation (3): the state with channels start..stop-1 replaced and all others kept."""
    return torch.cat([state[:, :start], value, state[:, stop:]], dim=1)


def gunn_layer(x, P, unit, shortcut="identity", training=True):
    """GUNN layer, equations (3) to (5): the segments are updated in order, each from the current state.

    x [N, C, H, W] -> [N, C, H, W]. ``unit`` has one dict for each of the P segments: ``triples``, the list of
    its M bottlenecks, and for shortcut "identity+projection" ``proj_weight`` and ``proj_bn``.
    """
    cuts = segments(x.shape[1], P)
    state = x
    for i in range(P):
        value = updated_segment(state, cuts[i], cuts[i + 1], unit[i], shortcut, training)
        state = write_segment(state, cuts[i], cuts[i + 1], value)
    return state


def sunn_layer(x, P, unit, shortcut="identity", training=True):
    """SUNN layer (section 5.1): the same units, every one reading the layer's original input."""
    cuts = segments(x.shape[1], P)
    values = []
    for i in range(P):
        values.append(updated_segment(x, cuts[i], cuts[i + 1], unit[i], shortcut, training))
    return torch.cat(values, dim=1)


def gunn_conv(x, P, weights, residual=True, training=True):
    """A plain 3x3 convolution turned into GUNN, equations (3) to (5): [N, C, H, W] -> [N, C, H, W].

    Segment i becomes its own value (``residual``) plus what its filters of ``weight`` [C, C, 3, 3] make of
    the current state. If there are ``bn_*`` keys [C], the segment's part of that batch norm follows its
    convolution.
    """
    cuts = segments(x.shape[1], P)
    state = x
    for i in range(P):
        start, stop = cuts[i], cuts[i + 1]
        value = conv2d(state, weights["weight"][start:stop], padding=1)
        own_bn = {key: tensor[start:stop] for key, tensor in weights.items() if key.startswith("bn_")}
        if own_bn:
            value = batch_norm(value, own_bn, "bn", training)
        if residual:
            value = value + state[:, start:stop]
        state = write_segment(state, start, stop, value)
    return state


def gunn_linear(x, omega):
    """Equation (9): y_i = x_i + sum_{j<i} omega_ij y_j + sum_{j>=i} omega_ij x_j, with omega [C, C].

    x [N, C, ...] -> the same shape; the transformation is along the channels, at every position alike.
    """
    n = x.shape[1]
    y = []
    for i in range(n):
        total = x[:, i]
        for j in range(i):
            total = total + omega[i, j] * y[j]
        for j in range(i, n):
            total = total + omega[i, j] * x[:, j]
        y.append(total)
    return torch.stack(y, dim=1)
