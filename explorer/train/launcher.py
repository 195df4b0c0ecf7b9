"""Whether torch's launcher (torchrun) has started this process, and as which of how many. No torch here."""

import os

from explorer.errors import UserError


def size() -> int:
    """How many processes train together; 1 without the launcher (others set WORLD_SIZE too)."""
    return int(os.environ.get("WORLD_SIZE", 1)) if "TORCHELASTIC_RUN_ID" in os.environ else 1


def check_alone() -> None:
    """UserError under the launcher: for what runs processes of its own, and would be run once by each."""
    if size() > 1:
        raise UserError(
            f"torchrun has started {size()} processes, and each would run the whole sweep: start it without torchrun, "
            "it runs a process for each trial itself (--workers, --per-device); torchrun is for `explorer train`, "
            "one network over several GPUs"
        )


def rank() -> int:
    """This process's number among them; the first, 0, is the one that writes and prints."""
    return int(os.environ.get("RANK", 0)) if size() > 1 else 0
