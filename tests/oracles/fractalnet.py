"""FractalNet (Larsson et al. 2017, section 3): the expansion rule with joins of columns that end together made one."""


def columns(z, number, layer, join):
    """What the columns of a block carry at its end, the deepest first; number 1: one layer.

    Of C columns all but the shallowest are two fractals of C - 1 columns in a row, joined in between; the shallowest
    is one layer that reads the block's input. Layers are asked for in this order.
    """
    if number == 1:
        return [layer(z)]
    deeper = columns(join(columns(z, number - 1, layer, join)), number - 1, layer, join)
    return [*deeper, layer(z)]


def mean(values, kept=None):
    """A join: the mean of the values, or of those that drop-path keeps."""
    kept = kept or [True] * len(values)
    total = 0
    for value, keep in zip(values, kept, strict=True):
        total = total + value * keep
    return total / sum(kept)
