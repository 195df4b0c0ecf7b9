"""Our counts of a printed network: by default the network as named, with the classes of the row's data set."""

from functools import cache, lru_cache
from importlib.resources import files

from explorer.analysis.cost import Cost, cost_of
from explorer.catalog.methods import methods
from explorer.grammar.expand import expand
from explorer.grammar.library import Library
from explorer.grammar.parser import parse_expression, parse_file
from explorer.grammar.resolve import resolve

READINGS = "readings.arch"


def cost(network: str, classes: int | None = None) -> Cost:
    """The cost of a network's text, which may use the constructions of `readings.arch`.

    `classes`: in place of the network's own number. Raises UserError where it cannot be.
    """
    expression = parse_expression(network)
    same = classes is None or resolve(expression, _library(), {}).names.get("classes") == classes
    return _cost(network, None if same else classes)


@lru_cache(maxsize=64)  # graphs are large, and a search makes hundreds
def _cost(network: str, classes: int | None) -> Cost:
    values = {} if classes is None else {"classes": classes}
    return cost_of(expand(parse_expression(network), _library(), values=values), network)


def copies_of(name: str) -> tuple[str, int]:
    """The network behind a row's name and how many of it: an ensemble's row names a way of training."""
    method = methods().get(name)
    return (name, 1) if method is None else (method.network, method.copies)


@cache
def _library() -> Library:
    text = files("explorer.analysis.audit").joinpath(READINGS).read_text(encoding="utf-8")
    return Library(parse_file(text, READINGS))
