"""Which catalog networks belong together: those of one family, and the families of one catalog file."""

from functools import cache

from explorer.grammar.library import Library
from explorer.grammar.parser import parse_expression
from explorer.grammar.printer import print_modifier
from explorer.grammar.syntax import Network


@cache
def family_of(network: str) -> str:
    """The network with a body that a text derives from: `cifar_resnet` of `resnet56+mssar(4)`."""
    library = Library()
    name = parse_expression(network).call.name
    while isinstance(found := library.find(name), Network) and found.base is not None:
        name = found.base.call.name
    return name


@cache
def file_of(network: str) -> str:
    """The catalog file that the network's family stands in: `densenet.arch` has DenseNets and SparseNets."""
    found = Library().find(family_of(network))
    return found.source.name if found is not None and found.source is not None else ""


@cache
def named_networks(family: str) -> tuple[str, ...]:
    """The catalog's named networks of a family, in the catalog's order."""
    library = Library()
    derived = [name for name in library.names(Network) if _is_named(library, name)]
    return tuple(name for name in derived if family_of(name) == family)


@cache
def siblings(network: str) -> tuple[str, ...]:
    """Other named networks that a row may have been confused with: same family and same kinds of modifiers."""
    text = "".join(f" + {print_modifier(modifier)}" for modifier in parse_expression(network).modifiers)
    named = named_networks(family_of(network))
    same = [name + text for name in named] + [name for name in named if text]
    return tuple(n for n in same if _modifiers(n) == _modifiers(network))


def _modifiers(network: str) -> list[str]:
    """The names of all modifiers of a network, those of what it derives from included."""
    library = Library()
    expression = parse_expression(network)
    names = [modifier.call.name for modifier in expression.modifiers]
    while isinstance(found := library.find(expression.call.name), Network) and found.base is not None:
        expression = found.base
        names += [modifier.call.name for modifier in expression.modifiers]
    return sorted(names)


def _is_named(library: Library, name: str) -> bool:
    """A network that needs no arguments: not a family itself."""
    found = library.find(name)
    return isinstance(found, Network) and all(p.default is not None or p.star for p in found.params)
