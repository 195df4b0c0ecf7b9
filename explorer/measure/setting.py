"""How a network is measured: plain data that travels to the process that does it."""

import re
from dataclasses import asdict, dataclass
from typing import Any

from explorer.errors import UserError, nearest

MODES = ("train", "infer")
DTYPES = ("fp32", "bf16", "fp16")
LAYERS = ("balanced", "reference", "lean")
DEVICE = re.compile(r"cpu|mps|cuda(:\d{1,3})?")


@dataclass(frozen=True)
class Setting:
    """A device and how to run on it. Raises UserError for words that it does not know.

    `mode`: `train` is a step of SGD with momentum, `infer` a forward pass in evaluation.
    `dtype`: in training, halves mean autocast over parameters in single precision (fp16 with a gradient scaler); in
    inference the parameters are halves too.
    `layers`: of networks in the grammar; a torch module of others is run as it is.
    """

    device: str = "cpu"
    batch: int = 1
    mode: str = "train"
    dtype: str = "fp32"
    compile: bool = False
    channels_last: bool = False
    layers: str = "balanced"
    input: tuple[int, int, int] | None = None  # None: the network's own
    classes: int | None = None

    def __post_init__(self) -> None:
        if DEVICE.fullmatch(self.device) is None:
            raise UserError(f"measured on cpu, cuda, cuda:1 or mps, not on '{self.device[:100]}'")
        if type(self.batch) is not int or self.batch < 1:
            raise UserError("batch is a whole number of at least 1")
        for what, known in (("mode", MODES), ("dtype", DTYPES), ("layers", LAYERS)):
            given = getattr(self, what)
            if given not in known:
                raise UserError(f"unknown {what} '{str(given)[:100]}'; {nearest(str(given), known)}")

    @property
    def kind(self) -> str:
        """Of the device: cpu, cuda or mps."""
        return self.device.partition(":")[0]

    @property
    def training(self) -> bool:
        """Whether a whole step is measured."""
        return self.mode == "train"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @staticmethod
    def of(found: dict[str, Any]) -> "Setting":
        """From JSON."""
        size = found["input"]
        return Setting(**{**found, "input": None if size is None else tuple(size)})
