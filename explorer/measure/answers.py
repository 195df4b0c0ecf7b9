"""What a measuring process is asked, and its answers: all of it about one network at a time."""

import gc
import re
from dataclasses import asdict
from typing import Any

import torch

from explorer.errors import UserError
from explorer.measure.available import available_bytes, is_out_of_memory, limit_to_available
from explorer.measure.environment import environment
from explorer.measure.memory import give_back_freed_memory, memory_of
from explorer.measure.network import DTYPES, Network
from explorer.measure.parts import parts_of
from explorer.measure.process import FAILED, OUT_OF_MEMORY
from explorer.measure.setting import Setting
from explorer.measure.timing import Clock
from explorer.nn.fast.allocator import keep_freed_memory
from explorer.nn.module import NetworkModule
from explorer.nn.tracing.failures import short

PREFIX = re.compile(
    r"^\[enforce fail[^]]*\] [^.]*\. |^CUDA out of memory\. "
)  # what torch says before it says something


class Answers:
    """A process's state between questions: the network it holds, if any."""

    def __init__(self) -> None:
        self.network: Network | None = None
        self.clock: Clock | None = None
        self.freed_memory_kept = False

    def __call__(self, ask: str, **arguments: Any) -> Any:
        """The answer to one of the questions below."""
        if "setting" in arguments:
            arguments["setting"] = Setting.of(arguments["setting"])
        return getattr(self, ask)(**arguments)

    def begin(self, setting: Setting) -> dict[str, Any]:
        """Whether this can be measured here (`refused`: why not), and how much memory there is."""
        refused = refusal(setting)
        if refused is not None:
            return {"refused": refused}
        if setting.kind == "cuda":
            torch.cuda.set_device(torch.device(setting.device).index or 0)  # which wants a number
            torch.backends.cudnn.benchmark = True  # as in our own training
        return {"refused": None, "available_bytes": available_bytes(setting)}

    def environment(self, setting: Setting) -> dict[str, Any]:
        """Of what was measured so far."""
        found = environment(setting.device)
        kept = {"freed_memory_kept": self.freed_memory_kept}
        return {**found, "threads": torch.get_num_threads(), "flags": {**found["flags"], **kept}}

    def memory(self, setting: Setting, text: str) -> dict[str, Any]:
        """Bytes of a step; nothing is left of the network afterwards."""
        limit_to_available(setting)
        found = memory_of(text, setting)
        self.drop()
        return found

    def fits(self, setting: Setting, text: str) -> None:
        """Whether its memory can be measured: that takes a little more than the steps alone."""
        self.memory(setting, text)

    def prepare(self, setting: Setting, text: str, keep: bool) -> dict[str, Any]:
        """Builds the network, to be timed turn by turn, and runs it until it is stable.

        `keep`: on the CPU freed memory is kept, which saves time and takes memory.
        """
        self._hold(setting, text, keep)
        assert self.network
        self.clock = Clock(setting.device)
        return asdict(self.clock.warm_up(self.network.run))

    def turn(self, count: int) -> dict[str, Any]:
        """Milliseconds of so many steps."""
        assert self.network and self.clock
        return asdict(self.clock.turn(self.network.run, count))

    def parts(self, depth: int) -> dict[str, Any] | None:
        """Where time and memory go; None where a network has no parts that are known."""
        assert self.network
        known = isinstance(self.network.module, NetworkModule) and not self.network.setting.compile
        return parts_of(self.network, depth) if known else None

    def _hold(self, setting: Setting, text: str, keep: bool) -> None:
        self.drop()
        if setting.kind == "cpu" and keep:
            self.freed_memory_kept = keep_freed_memory()
        elif setting.kind == "cpu":
            give_back_freed_memory()
        limit_to_available(setting)
        self.network = Network(text, setting)

    def drop(self) -> None:
        """Lets go of the network and of what was allocated for it."""
        if self.network is not None:
            self.network.close()
        self.network = None
        gc.collect()
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            torch.cuda.empty_cache()


def refusal(setting: Setting) -> str | None:
    """Why a setting cannot be measured in this process; None where it can."""
    there = devices()
    if setting.device not in there:
        return f"there is no device {setting.device} here to measure on; there is {', '.join(there)}"
    if setting.dtype == "fp32":
        return None
    dtype = DTYPES[setting.dtype]
    if setting.kind == "cuda" and setting.dtype == "bf16":
        with torch.cuda.device(setting.device):  # it looks at the current one
            supported = torch.cuda.is_bf16_supported(False)
        if not supported:
            return f"{torch.cuda.get_device_name(setting.device)} does not compute in bf16; fp16 and fp32 are supported"
    try:
        _compute_something(setting, dtype)
    except Exception as error:
        return f"{setting.device} does not compute in {setting.dtype} here: {short(error)}"
    return None


def _compute_something(setting: Setting, dtype: torch.dtype) -> None:
    """A convolution and a linear layer, in training with their gradients."""
    numbers = torch.float32 if setting.training else dtype
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.Linear(16, 2))
    net.to(setting.device, numbers)
    image = torch.ones(1, 3, 4, 4, device=setting.device, dtype=numbers)
    if not setting.training:
        with torch.inference_mode():
            net(image)
        return
    with torch.autocast(setting.kind, dtype):
        loss = net(image).sum()
    loss.float().backward()


def devices() -> list[str]:
    """What torch can compute on here."""
    found = ["cpu"]
    if torch.cuda.is_available():
        found += ["cuda", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        found.append("mps")
    return found


def explained(error: Exception) -> tuple[str, str]:
    """An error's outcome, and its reason in words."""
    if is_out_of_memory(error):
        return OUT_OF_MEMORY, PREFIX.sub("", str(error).strip().partition("\n")[0])[:200] or type(error).__name__
    if isinstance(error, UserError):
        return FAILED, str(error)
    if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
        return FAILED, f"torch.compile failed: {short(error)}"
    return FAILED, short(error)
