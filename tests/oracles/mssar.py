"""Multi-scale spatially-asymmetric recalibration (MS-SAR), sections 3.2 to 3.4 of that paper.

Feature maps are [N, D, H, W]; positions are (row, column) pairs, distances are in lattice cells.
"""

import torch

from . import batch_norm, batch_norm_vectors, conv2d


def coordinate_sets_regional(H, W, K):
    """Coordinate sets of the regional strategy (MS-SAR, section 3.2): a partition into K x K regions.

    Row r is in region floor(r*K/H), column c in floor(c*K/W), also where K does not divide H or W. Returns
    the regions in row-major order, each a list of (row, column). A region without positions (K > H or K > W)
    is the coordinate set of no position and is left out.
    """
    regions = []
    for region_row in range(K):
        for region_col in range(K):
            region = []
            for r in range(H):
                for c in range(W):
                    if (r * K) // H == region_row and (c * K) // W == region_col:
                        region.append((r, c))
            if region:
                regions.append(region)
    return regions


def sliding_radius(H, W, K):
    """T = floor(sqrt(W*H) / K) in lattice cells (MS-SAR, section 3.2), in integers only."""
    radius = 0
    # (T + 1) * K <= sqrt(W*H), squared: a floating-point root would be off by one near perfect squares
    while ((radius + 1) * K) ** 2 <= W * H:
        radius += 1
    return radius


def distance(a, b, shape):
    """Distance of two positions in lattice cells: the max norm ("square") or the L1 norm ("diamond")."""
    rows, cols = abs(a[0] - b[0]), abs(a[1] - b[1])
    if shape == "square":
        return max(rows, cols)
    if shape == "diamond":
        return rows + cols
    raise ValueError(shape)


def coordinate_sets_sliding(H, W, K, shape="square"):
    """Coordinate sets of the sliding strategy (MS-SAR, section 3.2): the neighbourhood of every position.

    All positions within T = floor(sqrt(W*H)/K) cells, clipped to the lattice. Returns H*W lists of (row,
    column), that of position (r, c) at index r*W + c.
    """
    radius = sliding_radius(H, W, K)
    positions = [(r, c) for r in range(H) for c in range(W)]
    return [[other for other in positions if distance(here, other, shape) <= radius] for here in positions]


def _sets_and_owners(H, W, K, pool, shape):
    """The coordinate sets of one scale, and for every position the index of its own set."""
    if pool == "sliding":
        return coordinate_sets_sliding(H, W, K, shape), {(r, c): r * W + c for r in range(H) for c in range(W)}
    if pool == "regional":
        sets = coordinate_sets_regional(H, W, K)
        return sets, {position: i for i, members in enumerate(sets) for position in members}
    raise ValueError(pool)


def set_means(source, sets):
    """y of section 3.2: mean of source [N, D, H, W] over each of S coordinate sets -> [N, S, D]."""
    means = []
    for members in sets:
        total = 0
        for r, c in members:
            total = total + source[:, :, r, c]
        means.append(total / len(members))
    return torch.stack(means, dim=1)


def recalibration_function(means, weights, training=True):
    """Equation (1) on the pooled vectors: means [N, S, D_source] -> [N, S, D].

    Linear, batch norm, ReLU, linear, batch norm, sigmoid, no biases in the linear maps. Both batch norms
    count every coordinate set of every image once (N*S entries), however many positions share it.
    """
    n, s, d_source = means.shape
    hidden = means.reshape(n * s, d_source) @ weights["w1"].T
    hidden = torch.relu(batch_norm_vectors(hidden, weights, "bn1", training))
    z = torch.sigmoid(batch_norm_vectors(hidden @ weights["w2"].T, weights, "bn2", training))
    return z.reshape(n, s, -1)


def scale_weighting(source, K, weights, pool="regional", shape="square", training=True):
    """Z of one scale (equation 1): source [N, D_source, H, W] -> [N, D, H, W].

    Every position has the value of its own coordinate set.
    """
    H, W = source.shape[2:]
    sets, owner = _sets_and_owners(H, W, K, pool, shape)
    z = recalibration_function(set_means(source, sets), weights, training)
    rows = [torch.stack([z[:, owner[r, c], :] for c in range(W)], dim=-1) for r in range(H)]
    return torch.stack(rows, dim=-2)


def mssar(x, source, scales, weights, pool="regional", shape="square", training=True):
    """MS-SAR, equation (2): x [N, D, H, W] times the mean over the scales of equation (1) on ``source``.

    source [N, D_source, H, W] is x itself for self recalibration, and the raw main vector for multi-stage
    recalibration (section 3.4). ``scales`` are the K of the paper; ``weights`` has one dict per scale: ``w1``
    [D', D_source], ``w2`` [D, D'] and the batch norms ``bn1`` [D'] and ``bn2`` [D].
    """
    total = 0
    for K, scale_weights in zip(scales, weights, strict=True):
        total = total + scale_weighting(source, K, scale_weights, pool, shape, training)
    return x * (total / len(scales))


def se(x, weights):
    """Squeeze-and-excitation, the original form (MS-SAR, reference [6]): [N, D, H, W] -> the same shape.

    Global mean, biased linear, ReLU, biased linear, sigmoid, multiplied with x; no batch norm. Weights:
    ``fc1_weight`` [D', D], ``fc1_bias`` [D'], ``fc2_weight`` [D, D'], ``fc2_bias`` [D].
    """
    squeezed = x.sum(dim=(2, 3)) / (x.shape[2] * x.shape[3])
    hidden = torch.relu(squeezed @ weights["fc1_weight"].T + weights["fc1_bias"])
    z = torch.sigmoid(hidden @ weights["fc2_weight"].T + weights["fc2_bias"])
    return x * z[:, :, None, None]


def dense_layer(main, weights, training=True):
    """The k new channels of a DenseNet-BC step (MS-SAR, table 1): [N, D, H, W] -> [N, k, H, W].

    BN-ReLU-conv1x1(4k)-BN-ReLU-conv3x3(k). Weights: ``bn1`` [D], ``conv1_weight`` [4k, D, 1, 1], ``bn2``
    [4k], ``conv2_weight`` [k, 4k, 3, 3].
    """
    hidden = conv2d(torch.relu(batch_norm(main, weights, "bn1", training)), weights["conv1_weight"])
    return conv2d(torch.relu(batch_norm(hidden, weights, "bn2", training)), weights["conv2_weight"], padding=1)


def dense_layer_recalibrated(main, layer_weights, scales, gate_weights, multi_stage=True, training=True):
    """One step of a densely-connected block with MS-SAR (section 3.4): main [N, D, H, W] -> [N, D + k, H, W].

    The k new channels are recalibrated before they are appended. The recalibration function reads the main
    vector as it stands before the step's first batch norm (``multi_stage``) or the k new channels themselves.
    Regional coordinate sets.
    """
    new = dense_layer(main, layer_weights, training)
    source = main if multi_stage else new
    return torch.cat([main, mssar(new, source, scales, gate_weights, training=training)], dim=1)
