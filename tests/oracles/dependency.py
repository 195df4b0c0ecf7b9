"""What the equations of the three papers let an output read, as boolean tensors, without running a network.

Positions are numbered r*W + c on an H x W lattice. Batch norm in training mode makes everything depend on
everything and is left out: the statements are about evaluation mode. A dependency may be absent for
particular weights; it is never present where a table says False.
"""

import torch

from .gunn import segments
from .mssar import coordinate_sets_regional, coordinate_sets_sliding


def dense_seqconv_channels(Cin, G, k):
    """SeqConv, equation (1): bool [G*k, Cin], which input channels an output channel depends on.

    All of them: every group reads x_0 directly.
    """
    return torch.ones(G * k, Cin, dtype=torch.bool)


def direct_view(Cin, G, k, windowed):
    """What each group reads directly: bool [G, Cin + G*k]; SeqConv, equation (1), or (2) if ``windowed``.

    Row i is group i + 1 of the paper. The columns are the Cin input channels, then the k output channels of
    group 1, of group 2, and so on.
    """
    direct = torch.zeros(G, Cin + G * k, dtype=torch.bool)
    view = list(range(Cin))
    for i in range(G):
        for channel in view:
            direct[i, channel] = True
        view = view + list(range(Cin + i * k, Cin + (i + 1) * k))
        if windowed:
            view = view[k:]
    return direct


def windowed_seqconv_channels(Cin, G, k):
    """WSeqConv, equation (2): bool [G*k, Cin], dependence on the input directly or through earlier groups."""
    direct = direct_view(Cin, G, k, windowed=True)
    depends = torch.zeros(G * k, Cin, dtype=torch.bool)
    for i in range(G):
        row = direct[i, :Cin].clone()
        for channel in range(i * k):
            if direct[i, Cin + channel]:
                row |= depends[channel]
        depends[i * k : (i + 1) * k] = row
    return depends


def grouped_channels(channels, groups):
    """A grouped convolution of equal widths (SeqConv, section 3.2): bool [channels, channels]."""
    width = channels // groups
    depends = torch.zeros(channels, channels, dtype=torch.bool)
    for out in range(channels):
        for channel in range(channels):
            depends[out, channel] = out // width == channel // width
    return depends


def gunn_view(N, P, gradual=True):
    """GUNN, equation (4): bool [P, 2N], what the unit of each segment reads.

    The columns are the N channels as they enter the layer, then the N updated channels. Unit i reads the
    updated channels of the segments before it and the original ones of the rest; if not ``gradual`` (SUNN),
    only originals.
    """
    cuts = segments(N, P)
    view = torch.zeros(P, 2 * N, dtype=torch.bool)
    for i in range(P):
        for channel in range(N):
            updated = gradual and channel < cuts[i]
            view[i, channel + N if updated else channel] = True
    return view


def _mark_sets(depends, sets, owners, W):
    for owner, members in zip(owners, sets, strict=True):
        for here in owner:
            for there in members:
                depends[here[0] * W + here[1], there[0] * W + there[1]] = True


def regional_dependency(H, W, scales):
    """MS-SAR, equation (2), regional strategy: bool [H*W, H*W], which positions an output depends on.

    The union over the scales of the position's own region; the multiplication makes it depend on itself.
    """
    depends = torch.eye(H * W, dtype=torch.bool)
    for K in scales:
        sets = coordinate_sets_regional(H, W, K)
        _mark_sets(depends, sets, sets, W)
    return depends


def sliding_dependency(H, W, scales, shape="square"):
    """MS-SAR, equation (2), sliding strategy: bool [H*W, H*W], which positions an output depends on."""
    depends = torch.eye(H * W, dtype=torch.bool)
    owners = [[(r, c)] for r in range(H) for c in range(W)]
    for K in scales:
        _mark_sets(depends, coordinate_sets_sliding(H, W, K, shape), owners, W)
    return depends


def conv_reach(H, W, steps):
    """Positions that ``steps`` chained 3x3 convolutions of stride 1 can reach: bool [H*W, H*W].

    True within max-norm distance ``steps``, in lattice cells.
    """
    reach = torch.zeros(H * W, H * W, dtype=torch.bool)
    for here in range(H * W):
        for there in range(H * W):
            rows = abs(here // W - there // W)
            cols = abs(here % W - there % W)
            reach[here, there] = max(rows, cols) <= steps
    return reach


def _longest(state, P):
    """One 3x3 more than the longest chain in the view, for every input segment; -1 means no chain."""
    lengths = []
    for j in range(P):
        longest = max(state[s][j] for s in range(P))
        lengths.append(longest + 1 if longest >= 0 else -1)
    return lengths


def gunn_reach(P):
    """Longest chain of 3x3 convolutions from input segment j to output segment i, one 3x3 in a unit.

    Follows equation (4) segment by segment. Returns (gunn, sunn), two int64 tensors [P, P] indexed [i, j], in
    numbers of 3x3 convolutions, which is also the reach in lattice cells.
    """
    original = [[0 if i == j else -1 for j in range(P)] for i in range(P)]
    state = [list(row) for row in original]
    sunn = []
    for i in range(P):
        state[i] = _longest(state, P)
        sunn.append(_longest(original, P))
    return torch.tensor(state), torch.tensor(sunn)
