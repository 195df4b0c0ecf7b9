"""explorer: what a convolutional architecture costs, and what that cost buys.

Everything is imported when it is first used, so that asking for a cost needs no torch.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from explorer.api import build, cost, expand, parse
    from explorer.errors import ArchError, UserError

__version__ = "0.1.0"
__all__ = ["ArchError", "UserError", "__version__", "build", "cost", "expand", "parse"]


def __getattr__(name: str) -> Any:
    if name in ("build", "cost", "expand", "parse"):
        from explorer import api

        return getattr(api, name)
    if name in ("ArchError", "UserError"):
        from explorer import errors

        return getattr(errors, name)
    raise AttributeError(f"module 'explorer' has no attribute '{name}'")
