"""Dual path networks of Chen et al. 2017, section 3: two paths of feature maps [N, C, H, W] through shared units."""

import torch


def dual_path_stage(x, project, units, width):
    """A stage of dual path units; returns both paths side by side.

    ``project`` makes both paths from x: ``width`` residual channels, the rest dense. The first unit reads x, the
    others both paths. A unit makes ``width`` channels, which are added to the residual path, and further ones, which
    join the dense path.
    """
    begun = project(x)
    residual, dense = begun[:, :width], begun[:, width:]
    read = x
    for unit in units:
        made = unit(read)
        residual = residual + made[:, :width]
        dense = torch.cat([dense, made[:, width:]], dim=1)
        read = torch.cat([residual, dense], dim=1)
    return read
