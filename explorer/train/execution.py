"""How a training is computed, as plain data: what the network is built of, and in which numbers."""

from dataclasses import dataclass

from explorer.errors import UserError, nearest

LAYERS = ("balanced", "reference", "lean")
DTYPES = ("fp32", "bf16", "fp16")


@dataclass(frozen=True)
class Execution:
    """Every field is part of a trial's identity: each can change the last digits, and some the result."""

    layers: str = "balanced"  # which modules run: nn.fast
    dtype: str = "fp32"  # of convolutions and linear layers, by autocast; weights stay fp32
    compile: bool = False  # by torch.compile
    deterministic: bool = False  # only algorithms that give the same bits each time
    processes: int = 1  # that share each batch: batch norms see the shares

    @property
    def unusual(self) -> str:
        """What differs from the usual, in words: bf16, reference layers; empty where nothing does."""
        words = {
            self.dtype: self.dtype != "fp32",
            f"{self.layers} layers": self.layers != "balanced",
            "compiled": self.compile,
            "deterministic": self.deterministic,
            f"{self.processes} processes": self.processes > 1,
        }
        return ", ".join(word for word, differs in words.items() if differs)

    def check(self) -> "Execution":
        """Itself; UserError, naming the option, where a word is unknown."""
        for option, given, known in (("--layers", self.layers, LAYERS), ("--dtype", self.dtype, DTYPES)):
            if given not in known:
                raise UserError(f"{option}: there is no {given[:80]!r}; {nearest(given, known)}")
        return self


USUAL = Execution()
