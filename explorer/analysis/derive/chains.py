"""Chains of the grammar as graphs: `mssar(*K, width = d)` on D x H x W with values for K and d."""

from collections.abc import Mapping
from typing import Any

from explorer.analysis.derive.symbols import WORD
from explorer.blocks.graph import Graph
from explorer.catalog.load import load
from explorer.grammar.expand import expand


def graph_of_chain(
    text: str, input: tuple[Any, Any, Any], values: Mapping[str, Any] | None = None, modifier: str = ""
) -> Graph:
    """Expand a chain, with a modifier if one is given. `values`: its free names, as numbers, symbols or tuples."""
    given = {name: value for name, value in (values or {}).items() if name in WORD.findall(f"{text} {modifier}")}
    own = [name for name in given if name in WORD.findall(text)]
    definition = f"network layer({', '.join(own)}) {{ {text} }}"
    if modifier:
        passed = ", ".join(f"{name} = {name}" for name in own)
        definition += f"\nnetwork changed({', '.join(given)}) = layer({passed}) + {modifier}"
    expression, library = load(definition)
    return expand(expression, library, input=input, values=given)
