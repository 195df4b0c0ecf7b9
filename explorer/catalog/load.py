"""What a user names, to an expression and the definitions it can see.

A name or expression (`resnet50 + se`), a file (`my.arch`, `my.arch:net + se`), or text with definitions.
"""

import re
from pathlib import Path

from explorer.errors import ArchError, Source, UserError, nearest
from explorer.grammar.library import Library
from explorer.grammar.parser import parse_expression, parse_file
from explorer.grammar.syntax import Expression, File, Network

_FILE = re.compile(
    r"^\s*(?P<path>[^\n+(){}]*?\.arch)(?::(?P<name>[A-Za-z_][\w-]*))?(?P<rest>\s*[(+].*)?\s*$", re.DOTALL
)
_RANGE = re.compile(r"(?<![\w.])\d+\s*\.\.\s*\d+")
_DEFINITION = re.compile(r"^\s*(#[^\n]*\n\s*)*(network|block|unit|rewrite)\s")


def load(text: str) -> tuple[Expression, Library]:
    """The expression that `text` means and its library. Raises UserError for bad text or files."""
    if not text.strip():
        raise UserError("NET is empty; name a network, for example: explorer cost gunn18")
    if _DEFINITION.match(text):
        file = parse_file(text)
        return last_network(file, None, ""), Library(file)
    if found := _FILE.match(text):
        file = parse_file(read_text(found["path"]), found["path"])
        return last_network(file, found["name"], found["rest"] or ""), Library(file)
    return _no_method(_expression(text)), Library()


def _expression(text: str) -> Expression:
    """One expression. A range in it, legal in sweeps, is told apart from other slips."""
    try:
        return parse_expression(text)
    except ArchError as error:
        found = _RANGE.search(text)
        if found is None:
            raise
        message = f"'{found[0][:40]}' is a range, which stands for many networks: explorer sweep costs them"
        raise ArchError(message, error.source, found.start()) from None


def _no_method(expression: Expression) -> Expression:
    """The expression, if it names no row of the papers' tables that is a way of training."""
    from explorer.catalog.methods import methods

    for call in (expression.call, *(modifier.call for modifier in expression.modifiers)):
        if method := methods().get(call.name):
            many = "" if method.copies == 1 else f"{method.copies} copies of "
            message = f"'{call.name}' is a way of training, not a network: {method.what}. Printed with it: {many}"
            raise ArchError(f"{message}{method.network}", expression.source, call.at)
    return expression


def parse(text: str) -> File | Expression:
    """Text to its syntax tree: a File when it defines something, an Expression when it names a network."""
    return parse_file(text) if _DEFINITION.match(text) else parse_expression(text)


def read_text(path: str) -> str:
    """A text file. Raises UserError when it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"there is no file '{path[:200]}'") from None
    except UnicodeDecodeError:
        raise UserError(f"'{path[:200]}' is not UTF-8 text") from None
    except (OSError, ValueError) as error:
        raise UserError(f"'{path[:200]}' cannot be read: {getattr(error, 'strerror', error)}") from None


def last_network(file: File, name: str | None, rest: str) -> Expression:
    """The expression for a file's network: the last one, or the named one, followed by `rest`."""
    names = [d.name for d in file.definitions if isinstance(d, Network)]
    where = file.source or Source("<text>", "")
    if not names:
        raise ArchError("no network is defined here", where, 0)
    if name is not None and name not in names:
        raise ArchError(f"no network '{name}' is defined here; {nearest(name, names)}", where, 0)
    chosen = name or names[-1]
    return parse_expression(chosen + rest)
