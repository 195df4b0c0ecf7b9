"""Convolutions that read pieces of several maps where they lie, without putting the pieces side by side.

A convolution is linear in the channels it reads: each piece is convolved with its share of the weights and added to
the result. Where it is a matrix product (1x1, stride 1) that takes no copy of the piece either.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from explorer.nn.fast.plan import Window
from explorer.nn.fast.wiring import Piece, Pieces

Maps = list[Any]  # the fold's tensors [N, C, H, W], its ports and then its outputs; None where there is none
Pairs = list[tuple[Piece, Tensor]]  # what is read, and the weights [O, width of the piece, k, k] for it
POINT = Window(1, 1, 0)


def gather(maps: Maps, pieces: Pieces) -> Tensor:
    """The pieces side by side: [N, C, H, W]."""
    return stacked([maps[tensor][:, start:stop] for tensor, start, stop in pieces], 1)


def scatter(maps: Maps, pieces: Pieces, values: Tensor) -> None:
    """Add values [N, C, H, W] to the pieces, where there is a map."""
    offset = 0
    for piece in pieces:
        if maps[piece.tensor] is not None:
            gather(maps, (piece,)).add_(values[:, offset : offset + piece.width])
        offset += piece.width


def stacked(tensors: Sequence[Tensor], dim: int) -> Tensor:
    """Put together along a dimension; a single one as it is."""
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors), dim)


def read(maps: Maps, pairs: Pairs, window: Window, dtype: torch.dtype, onto: Tensor | None = None) -> Tensor:
    """The convolution of all pieces together, [N, O, H, W]; `onto` is something to add it to, left as it is."""
    made = onto
    for piece, weight in pairs:
        x, weight = gather(maps, (piece,)).to(dtype), weight.to(dtype)
        if _is_product(maps[piece.tensor], window):
            made = _product(x, weight, made)
        else:
            more = F.conv2d(x, weight, None, window.stride, window.pad)
            made = more if made is None else more.add_(made)
    assert made is not None
    return made


def read_back(maps: Maps, gradients: Maps, pairs: Pairs, window: Window, gradient: Tensor) -> list[Tensor]:
    """Gradients of the weights; those of the maps are added to `gradients`, where there is one."""
    found: list[Tensor] = []
    for piece, weight in pairs:
        x, weight = gather(maps, (piece,)).to(gradient.dtype), weight.to(gradient.dtype)
        onto = None if gradients[piece.tensor] is None else gather(gradients, (piece,))
        back = _product_back if _is_product(maps[piece.tensor], window) else _convolved_back
        found.append(back(x, weight, window, gradient, onto))
    return found


def _is_product(x: Tensor, window: Window) -> bool:
    return window == POINT and x.is_contiguous()


def _product(x: Tensor, weight: Tensor, onto: Tensor | None) -> Tensor:
    """[N, C, H, W] and [O, C, 1, 1] -> [N, O, H, W]"""
    if _is_small(x, weight):
        made = _image_by_image(weight.flatten(1) @ _in_a_row(x), x)
        return made.contiguous() if onto is None else onto + made
    matrix, columns = _matrix(weight, len(x)), x.flatten(2)
    made = torch.bmm(matrix, columns) if onto is None else torch.baddbmm(onto.flatten(2), matrix, columns)
    return made.view(len(x), -1, *x.shape[2:])


def _product_back(x: Tensor, weight: Tensor, window: Window, gradient: Tensor, onto: Tensor | None) -> Tensor:
    if _is_small(x, weight):
        row = _in_a_row(gradient)
        if onto is not None:
            onto.add_(_image_by_image(weight.flatten(1).t() @ row, x))
        return (row @ _in_a_row(x).t())[:, :, None, None]
    columns, matrix = gradient.flatten(2), _matrix(weight, len(x)).transpose(1, 2)
    if onto is not None:
        onto = onto.flatten(2)
        if onto.dtype == gradient.dtype:
            torch.baddbmm(onto, matrix, columns, out=onto)
        else:
            onto.add_(torch.bmm(matrix, columns))
    return torch.bmm(columns, x.flatten(2).transpose(1, 2)).sum(0)[:, :, None, None]


def _is_small(x: Tensor, weight: Tensor) -> bool:
    """Whether an image of the maps read and made is smaller than the weights, which a product by images repeats."""
    outputs, inputs = weight.shape[:2]
    return x.shape[2] * x.shape[3] * (outputs + inputs) < outputs * inputs


def _in_a_row(x: Tensor) -> Tensor:
    """[N, C, H, W] -> [C, N H W], a copy."""
    return x.transpose(0, 1).flatten(1)


def _image_by_image(rows: Tensor, like: Tensor) -> Tensor:
    """[C, N H W] -> [N, C, H, W], a view."""
    return rows.view(len(rows), len(like), *like.shape[2:]).transpose(0, 1)


def _matrix(weight: Tensor, n: int) -> Tensor:
    """[O, C, 1, 1] -> [N, O, C], nothing copied."""
    return weight[:, :, 0, 0].expand(n, -1, -1)


def _convolved_back(x: Tensor, weight: Tensor, window: Window, gradient: Tensor, onto: Tensor | None) -> Tensor:
    stride, pad, wanted = [window.stride] * 2, [window.pad] * 2, (onto is not None, True, False)
    of_x, of_weight, _ = torch.ops.aten.convolution_backward(
        gradient, x, weight, None, stride, pad, [1, 1], False, [0, 0], 1, wanted
    )
    if onto is not None:
        onto.add_(of_x)
    return of_weight  # type: ignore[no-any-return]
