"""The text behind a name: canonical, with the definitions a network is derived from."""

from explorer.catalog.load import load
from explorer.errors import UserError, nearest
from explorer.grammar.library import Library, shipped
from explorer.grammar.printer import print_definition
from explorer.grammar.syntax import Block, Definition, Network, Rewrite


def source_of(text: str) -> str:
    """Canonical text of a network expression (and of the networks it derives from), or of a block by name.

    Raises UserError for an unknown name.
    """
    name = text.strip()
    if name in shipped() and shipped()[name].kind != "network":
        found = Library().find(name)
        assert found is not None
        return print_definition(found)
    expression, library = load(text)
    for modifier in expression.modifiers:
        _known(modifier.call.name, library, (Block, Rewrite))
    definitions = _derivation(expression.call.name, library)[::-1]  # what is named stands last, as in a file
    if expression.modifiers or expression.call.args:
        definitions.append(Network("shown", base=expression))
    return "\n\n".join(map(print_definition, definitions))


def _known(name: str, library: Library, kinds: tuple[type, ...]) -> Definition:
    found = library.find(name)
    if found is None or not isinstance(found, kinds):
        what = "network" if Network in kinds else "modifier"
        raise UserError(f"unknown {what} '{name}'; {nearest(name, library.names(*kinds))}")
    return found


def _derivation(name: str, library: Library) -> list[Definition]:
    found = _known(name, library, (Network,))
    if isinstance(found, Network) and found.base is not None:
        return [found, *_derivation(found.base.call.name, library)]
    return [found]
