"""One torch layer for each kind of primitive op. Every value is [N, C, H, W]; a vector is [N, C, 1, 1].

Where torch has the layer it is torch's own class, so that other counters know it. ScopeModule flattens what a
linear layer reads.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from explorer.blocks.graph import Op
from explorer.nn.stochastic import DropPath, FractalJoin, Shake


class Regional(nn.Module):
    """[N, C, H, W] -> [N, C, K, K]: mean over each region; row r belongs to region floor(r K / H).

    A true partition also where K does not divide H (adaptive pooling would overlap there).
    """

    def __init__(self, scale: int, height: int, width: int) -> None:
        super().__init__()
        self.scale = scale
        self.rows = [-(-i * height // scale) for i in range(scale + 1)]
        self.columns = [-(-i * width // scale) for i in range(scale + 1)]

    def forward(self, x: Tensor) -> Tensor:
        """Means over bands of rows, then over bands of columns: regions are rectangles."""
        height, width = x.shape[2:]
        if height % self.scale == 0 and width % self.scale == 0:
            return F.avg_pool2d(x, (height // self.scale, width // self.scale))
        bands = [x[:, :, a:b].mean(2, keepdim=True) for a, b in zip(self.rows, self.rows[1:], strict=False)]
        y = torch.cat(bands, 2)
        parts = [y[..., a:b].mean(3, keepdim=True) for a, b in zip(self.columns, self.columns[1:], strict=False)]
        return torch.cat(parts, 3)

    def extra_repr(self) -> str:
        """Shown by print."""
        return f"{self.scale}"


class SlidingSquare(nn.Module):
    """Mean over the square of side 2 radius + 1 around each position, clipped to the map."""

    def __init__(self, radius: int, height: int, width: int) -> None:
        super().__init__()
        self.radii = (min(radius, height - 1), min(radius, width - 1))

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C, H, W]; the clipped square is a rectangle, so rows and columns separate."""
        down, across = self.radii
        x = F.avg_pool2d(x, (2 * down + 1, 1), 1, (down, 0), count_include_pad=False)
        return F.avg_pool2d(x, (1, 2 * across + 1), 1, (0, across), count_include_pad=False)

    def extra_repr(self) -> str:
        """Shown by print."""
        return f"radii={self.radii}"


class SlidingDiamond(nn.Module):
    """Mean over positions within L1 distance `radius`, clipped to the map."""

    def __init__(self, radius: int) -> None:
        super().__init__()
        self.radius = radius

    def _sums(self, x: Tensor) -> Tensor:
        height = x.shape[2]
        total = torch.zeros_like(x)
        for offset in range(-min(self.radius, height - 1), min(self.radius, height - 1) + 1):
            half = min(self.radius - abs(offset), x.shape[3] - 1)
            rows = F.avg_pool2d(x, (1, 2 * half + 1), 1, (0, half), divisor_override=1)
            shifted = rows[:, :, max(0, offset) : height + min(0, offset)]
            total = total + F.pad(shifted, (0, 0, max(0, -offset), max(0, offset)))
        return total

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C, H, W]"""
        return self._sums(x) / self._sums(torch.ones_like(x[:1, :1]))

    def extra_repr(self) -> str:
        """Shown by print."""
        return f"radius={self.radius}"


class Upsample(nn.Module):
    """[N, C, K, K] -> [N, C, H, W]: position r takes the value of region floor(r K / H)."""

    def __init__(self, source: tuple[int, int], target: tuple[int, int]) -> None:
        super().__init__()
        self.source, self.target = source, target
        for name, small, large in zip(("rows", "columns"), source, target, strict=True):
            index = torch.tensor([i * small // large for i in range(large)])
            self.register_buffer(name, index, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Every region's value at each of its positions."""
        if self.source == (1, 1):
            return x.expand(-1, -1, *self.target)
        (rows, columns), (height, width) = self.source, self.target
        if height % rows == 0 and width % columns == 0:
            x = x[:, :, :, None, :, None].expand(-1, -1, -1, height // rows, -1, width // columns)
            return x.reshape(x.shape[0], x.shape[1], height, width)
        return x.index_select(2, self.rows).index_select(3, self.columns)  # type: ignore[arg-type]

    def extra_repr(self) -> str:
        """Shown by print."""
        return f"{self.source} -> {self.target}"


class Flatten(nn.Module):
    """[N, C, H, W] -> [N, C H W, 1, 1]"""

    def forward(self, x: Tensor) -> Tensor:
        """A map as one vector."""
        return x.flatten(1)[:, :, None, None]


class Slice(nn.Module):
    """Channels [start, stop)."""

    def __init__(self, start: int, stop: int) -> None:
        super().__init__()
        self.start, self.stop = start, stop

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, stop - start, H, W]"""
        return x[:, self.start : self.stop]

    def extra_repr(self) -> str:
        """Shown by print."""
        return f"{self.start}:{self.stop}"


class PadChannels(nn.Module):
    """Zero channels appended (shortcut A)."""

    def __init__(self, added: int) -> None:
        super().__init__()
        self.added = added

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C + added, H, W]"""
        return F.pad(x, (0, 0, 0, 0, 0, self.added))

    def extra_repr(self) -> str:
        """Shown by print."""
        return f"+{self.added}"


class Affine(nn.Module):
    """scale x + shift, with two constants."""

    def __init__(self, scale: float, shift: float) -> None:
        super().__init__()
        self.scale, self.shift = scale, shift

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C, H, W]"""
        return self.scale * x + self.shift

    def extra_repr(self) -> str:
        """Shown by print."""
        return f"{self.scale:g} x + {self.shift:g}"


class Shuffle(nn.Module):
    """Channels, seen as groups x members, transposed to members x groups."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C, H, W]: channel g (C / groups) + m goes to m groups + g."""
        n, channels, height, width = x.shape
        grouped = x.view(n, self.groups, channels // self.groups, height, width)
        return grouped.transpose(1, 2).reshape(n, channels, height, width)

    def extra_repr(self) -> str:
        """Shown by print."""
        return f"{self.groups}"


class Shift(nn.Module):
    """The map moved down and to the right; zeros come in, what leaves is lost."""

    def __init__(self, by: int) -> None:
        super().__init__()
        self.by = by

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C, H, W]"""
        return F.pad(x, (self.by, -self.by, self.by, -self.by))

    def extra_repr(self) -> str:
        """Shown by print."""
        return f"{self.by}"


class Update(nn.Module):
    """The channels from `start` on replaced by a part (GUNN, equation 3)."""

    def __init__(self, start: int, width: int) -> None:
        super().__init__()
        self.start, self.stop = start, start + width

    def forward(self, whole: Tensor, part: Tensor) -> Tensor:
        """[N, C, H, W], [N, width, H, W] -> [N, C, H, W]"""
        return torch.cat((whole[:, : self.start], part, whole[:, self.stop :]), 1)

    def extra_repr(self) -> str:
        """Shown by print."""
        return f"{self.start}:{self.stop}"


class Add(nn.Module):
    """Element-wise sum."""

    def forward(self, first: Tensor, *others: Tensor) -> Tensor:
        """All [N, C, H, W]."""
        for other in others:
            first = first + other
        return first


class Multiply(nn.Module):
    """Element-wise product; [N, C, 1, 1] factors are broadcast."""

    def forward(self, first: Tensor, *others: Tensor) -> Tensor:
        """[N, C, H, W]"""
        for other in others:
            first = first * other
        return first


class Mean(nn.Module):
    """Element-wise mean."""

    def forward(self, *values: Tensor) -> Tensor:
        """All [N, C, H, W]."""
        total = values[0]
        for value in values[1:]:
            total = total + value
        return total / len(values)


class Concat(nn.Module):
    """Channels side by side."""

    def forward(self, *values: Tensor) -> Tensor:
        """[N, Ci, H, W] each -> [N, sum of Ci, H, W]"""
        return torch.cat(values, 1)


def _conv(op: Op) -> nn.Module:
    a = op.attrs
    conv = nn.Conv2d(op.ins[0][0], a["width"], a["kernel"], a["stride"], a["pad"], groups=a["groups"], bias=a["bias"])
    return conv


def _pool(make: type[nn.MaxPool2d] | type[nn.AvgPool2d]) -> Callable[[Op], nn.Module]:
    return lambda op: make(op.attrs["kernel"], op.attrs["stride"], op.attrs["pad"])


def _sliding(op: Op) -> nn.Module:
    _, height, width = op.ins[0]
    radius = op.attrs["radius"]
    return SlidingSquare(radius, height, width) if op.attrs["shape"] == "square" else SlidingDiamond(radius)


def _fractaljoin(op: Op) -> nn.Module:
    a = op.attrs
    return FractalJoin(float(a["rate"]), a["columns"], float(a["share"]), a["draw"])


LAYERS: dict[str, Callable[[Op], nn.Module]] = {
    "conv": _conv,
    "linear": lambda op: nn.Linear(op.ins[0][0], op.attrs["width"], op.attrs["bias"]),
    "bn": lambda op: nn.BatchNorm2d(op.ins[0][0]),
    "relu": lambda op: nn.ReLU(),
    "sigmoid": lambda op: nn.Sigmoid(),
    "maxpool": _pool(nn.MaxPool2d),
    "avgpool": _pool(nn.AvgPool2d),
    "gap": lambda op: nn.AdaptiveAvgPool2d(1),
    "regional": lambda op: Regional(op.attrs["scale"], *op.ins[0][1:]),
    "sliding": _sliding,
    "upsample": lambda op: Upsample(op.ins[0][1:], op.out[1:]),
    "flatten": lambda op: Flatten(),
    "dropout": lambda op: nn.Dropout(float(op.attrs["rate"])),
    "droppath": lambda op: DropPath(float(op.attrs["rate"])),
    "affine": lambda op: Affine(float(op.attrs["scale"]), float(op.attrs["shift"])),
    "shuffle": lambda op: Shuffle(op.attrs["groups"]),
    "shift": lambda op: Shift(op.attrs["by"]),
    "slice": lambda op: Slice(op.attrs["start"], op.attrs["stop"]),
    "pad": lambda op: PadChannels(op.out[0] - op.ins[0][0]),
    "add": lambda op: Add(),
    "multiply": lambda op: Multiply(),
    "mean": lambda op: Mean(),
    "shake": lambda op: Shake(op.attrs["backward"]),
    "fractaljoin": _fractaljoin,
    "concat": lambda op: Concat(),
    "update": lambda op: Update(op.attrs["start"], op.ins[1][0]),
}
