"""`expect` lines of a network: facts about its cost, for the tests to verify."""

from collections.abc import Callable
from typing import Any

from explorer.analysis.cost import Cost
from explorer.errors import ArchError
from explorer.grammar.evaluate import evaluate
from explorer.grammar.printer import print_expr
from explorer.grammar.syntax import Expect, Function, Network

QUANTITIES = ("params", "macs", "activations", "depth", "chain")


class _Facts:
    """What an expect line can see: quantities of the network, plain or with parameters changed."""

    def __init__(self, cost: Callable[[dict[str, Any]], Cost]) -> None:
        self.cost = cost

    def lookup(self, name: str) -> Any:
        if name in QUANTITIES:
            return getattr(self.cost({}), name)
        raise KeyError(name)

    def known(self) -> list[str]:
        return list(QUANTITIES)

    def call(self, function: Function) -> Any:
        if function.name not in QUANTITIES:
            raise KeyError(function.name)
        if any(arg.name is None for arg in function.args):
            raise ArchError(f"{function.name} takes parameters by name: params(classes = 100)", at=function.at)
        values = {arg.name: evaluate(arg.value, self) for arg in function.args if arg.name is not None}
        return getattr(self.cost(values), function.name)

    def field(self, value: Any, name: str) -> Any:
        raise ArchError("a fact has no fields")


def check_facts(network: Network, cost: Callable[[dict[str, Any]], Cost]) -> list[tuple[str, bool]]:
    """Each fact as text and whether it holds. `cost` gives the network's cost with parameters changed."""
    facts = [item for item in network.body or () if isinstance(item, Expect)]
    return [(print_expr(item.fact), evaluate(item.fact, _Facts(cost)) is True) for item in facts]
