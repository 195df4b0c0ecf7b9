"""What a training is between two batches: enough to go on from there to the same weights, bit for bit."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from explorer.nn.module import NetworkModule
from explorer.train.chance import set_chance, state_of_chance
from explorer.train.checkpoint import BadCheckpoint, Tensors, load_into, prefixed, under
from explorer.train.evaluate import Weights, copied
from explorer.train.outcome import EpochRecord, Observation

MOMENTUM = "momentum_buffer"
COUNTS = ("steps", "position", "seen", "cycle")


@dataclass
class State:
    """All that changes while a network learns. The order of images needs no more than seed and epoch."""

    model: NetworkModule
    optimiser: torch.optim.SGD
    scaler: torch.amp.GradScaler
    device: str
    sums: Tensor  # [2]: of losses and of errors, in the running epoch
    steps: int = 0
    position: int = 0  # batches of the running epoch that are done
    seen: int = 0  # their images
    cycle: int = 0  # of the learning rate
    seconds: float = 0.0  # in processes that were stopped
    history: list[EpochRecord] = field(default_factory=list)
    observations: list[Observation] = field(default_factory=list)
    kept: list[Weights] = field(default_factory=list)  # of the best epoch, or of the ends of cycles

    @property
    def lr(self) -> float:
        """The learning rate of the last step."""
        return float(self.optimiser.param_groups[0]["lr"])

    @lr.setter
    def lr(self, rate: float) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = rate

    def packed(self, seconds: float) -> tuple[Tensors, dict[str, Any]]:
        """The tensors of a checkpoint and what goes into its header; `seconds` have been spent so far."""
        own = {name: self.optimiser.state[parameter] for name, parameter in self.model.named_parameters()}
        generators, chance = state_of_chance(self.device)
        parts = {
            "weight": self.model.state_dict(),
            "momentum": {name: one[MOMENTUM] for name, one in own.items() if one.get(MOMENTUM) is not None},
            "chance": generators,
            "running": {"sums": self.sums},
        } | {f"kept{number}": weights for number, weights in enumerate(self.kept)}
        tensors = {name: tensor for part, own in parts.items() for name, tensor in prefixed(part, own).items()}
        facts = {name: getattr(self, name) for name in COUNTS} | {
            "seconds": seconds,
            "lr": self.lr,
            "history": [asdict(epoch) for epoch in self.history],
            "observations": [asdict(observation) for observation in self.observations],
            "kept": len(self.kept),
            "scaler": self.scaler.state_dict(),
            "chance": chance,
        }
        return tensors, facts

    def unpack(self, path: Path, tensors: Tensors, facts: dict[str, Any]) -> None:
        """Become what was packed into the file `path`. BadCheckpoint where that was another network, or is damaged."""
        try:
            self._set_tensors(path, tensors, facts["kept"])
            self.history = [EpochRecord(**epoch) for epoch in facts["history"]]
            seen = facts.get("observations", [])  # none in a checkpoint from before there were any
            self.observations = [Observation(**observation) for observation in seen]
            for name in (*COUNTS, "seconds", "lr"):
                setattr(self, name, facts[name])
            self.scaler.load_state_dict(facts["scaler"])
            set_chance(self.device, under("chance", tensors), facts["chance"])
        except (KeyError, TypeError, ValueError) as error:
            raise BadCheckpoint(f"{path} is damaged: {error!r}; delete it to begin anew") from error

    def _set_tensors(self, path: Path, tensors: Tensors, kept: int) -> None:
        """Weights, momentum (parameters that no gradient has reached have none), kept weights and sums."""
        load_into(path, "weight", self.model.state_dict(), under("weight", tensors))
        parameters, momentum = dict(self.model.named_parameters()), under("momentum", tensors)
        buffers = {name: torch.empty_like(parameters[name]) for name in momentum if name in parameters}
        load_into(path, "momentum of", buffers, momentum)
        for name, buffer in buffers.items():
            self.optimiser.state[parameters[name]][MOMENTUM] = buffer
        for number in range(kept):
            self.kept.append(copied(self.model))
            load_into(path, "weight", self.kept[-1], under(f"kept{number}", tensors))
        load_into(path, "running", {"sums": self.sums}, under("running", tensors))
