"""How a training is computed, and what is looked at meanwhile, as plain data."""

from dataclasses import asdict, dataclass
from typing import Any

from explorer.errors import UserError, nearest

LAYERS = ("balanced", "reference", "lean")
DTYPES = ("fp32", "bf16", "fp16")
OBSERVABLE = ("channel-pairs", "group-weights")  # what train.observe can look at; known here without torch


@dataclass(frozen=True)
class Execution:
    """Every field is part of a trial's identity: each can change the last digits, some the result, or what is kept."""

    layers: str = "balanced"  # which modules run: nn.fast
    dtype: str = "fp32"  # of convolutions and linear layers, by autocast; weights stay fp32
    compile: bool = False  # by torch.compile
    deterministic: bool = False  # only algorithms that give the same bits each time
    processes: int = 1  # that share each batch: batch norms see the shares
    observe: tuple[str, ...] = ()  # what is looked at after each epoch: train.observe

    def __post_init__(self) -> None:
        """Names once and in order, so that equal executions are equal however they were written, as JSON too."""
        object.__setattr__(self, "observe", tuple(sorted(set(self.observe))))

    @property
    def unusual(self) -> str:
        """What differs from the usual, in words: bf16, reference layers; empty where nothing does."""
        words = {
            self.dtype: self.dtype != "fp32",
            f"{self.layers} layers": self.layers != "balanced",
            "compiled": self.compile,
            "deterministic": self.deterministic,
            f"{self.processes} processes": self.processes > 1,
        } | {f"{name} observed": True for name in self.observe}
        return ", ".join(word for word, differs in words.items() if differs)

    def check(self) -> "Execution":
        """Itself; UserError, naming the option, where a word is unknown."""
        for option, given, known in (("--layers", self.layers, LAYERS), ("--dtype", self.dtype, DTYPES)):
            if given not in known:
                raise UserError(f"{option}: there is no {given[:80]!r}; {nearest(given, known)}")
        check_observe(self.observe)
        return self

    def as_json(self) -> dict[str, Any]:
        """Its fields; `observe` only where something is: what observes nothing is what it was before there was that."""
        fields = asdict(self) | {"observe": list(self.observe)}
        return {name: value for name, value in fields.items() if name != "observe" or value}


def check_observe(names: tuple[str, ...]) -> None:
    """UserError for the name of something that cannot be observed."""
    for name in names:
        if name not in OBSERVABLE:
            raise UserError(f"observe: there is no {name[:80]!r}; {nearest(name, OBSERVABLE)}")


USUAL = Execution()
