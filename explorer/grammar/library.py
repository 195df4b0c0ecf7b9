"""Finds definitions by name: in the user's text first, then in the shipped .arch files.

Shipped files are indexed by a scan for headers; a definition is parsed when it is first needed.
"""

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from explorer.blocks.builder import numbered
from explorer.blocks.ops import PRIMITIVES
from explorer.errors import ArchError, Source
from explorer.grammar.folds import FOLDS
from explorer.grammar.frame import IMPLICIT
from explorer.grammar.parser import parse_slice
from explorer.grammar.syntax import Block, Definition, File, Network, Rewrite

PACKAGE = Path(__file__).parent.parent
SHIPPED = (PACKAGE / "blocks" / "library", PACKAGE / "catalog")
_HEADER = re.compile(r"^(network|block|unit|rewrite)[ \t]+([A-Za-z_][A-Za-z_0-9-]*)", re.MULTILINE)
RESERVED = frozenset((*PRIMITIVES, *FOLDS, *IMPLICIT, "auxiliary", "upsample", "tap", "slot", "followers"))


class Place(NamedTuple):
    """Where a shipped definition stands."""

    kind: str
    source: Source
    start: int
    end: int


@cache
def shipped() -> dict[str, Place]:
    """Every shipped definition by name, in file order."""
    places: dict[str, Place] = {}
    for folder in SHIPPED:
        for path in sorted(folder.glob("*.arch")):
            source = Source(path.name, path.read_text(encoding="utf-8"))
            headers = list(_HEADER.finditer(source.text))
            for header, following in zip(headers, [*headers[1:], None], strict=True):
                end = following.start() if following else len(source.text)
                if header.group(2) in places:
                    raise ArchError(f"'{header.group(2)}' is defined twice", source, header.start())
                places[header.group(2)] = Place(header.group(1), source, header.start(), end)
    return places


@cache
def _parsed(name: str) -> Definition:
    place = shipped()[name]
    return parse_slice(place.source, place.start, place.end).definitions[0]


def comment(name: str) -> str:
    """The comment lines directly above a shipped definition: what it is and its source in the papers."""
    place = shipped()[name]
    lines: list[str] = []
    for line in reversed(place.source.text[: place.start].splitlines()):
        if not line.startswith("#"):
            break
        lines.append(line[1:].strip())
    return " ".join(reversed(lines))


def clear_caches() -> None:
    """Forget what parsing and expansion remember between calls, as benchmarks do before each run."""
    _parsed.cache_clear()
    numbered.cache_clear()


class Library:
    """Definitions visible from one text."""

    def __init__(self, file: File | None = None) -> None:
        self.own: dict[str, Definition] = {}
        for definition in file.definitions if file else ():
            if definition.name in RESERVED:
                message = f"'{definition.name}' is the grammar's own word; choose another name"
                raise ArchError(message, definition.source, definition.at)
            if definition.name in self.own:
                raise ArchError(f"'{definition.name}' is defined twice", definition.source, definition.at)
            self.own[definition.name] = definition

    def find(self, name: str) -> Definition | None:
        """The definition of that name, or None."""
        own = self.own.get(name)
        if own is not None:
            return own
        return _parsed(name) if name in shipped() else None

    def block(self, name: str) -> Block | None:
        """The block or unit of that name, or None."""
        own = self.own.get(name)
        place = shipped().get(name)
        if own is None and (place is None or place.kind not in ("block", "unit")):
            return None
        found = self.find(name)
        return found if isinstance(found, Block) else None

    def names(self, *kinds: type) -> list[str]:
        """Names of networks, blocks or rewrites, for suggestions and lists."""
        words = {Network: ("network",), Block: ("block", "unit"), Rewrite: ("rewrite",)}
        wanted = {word for kind in kinds for word in words[kind]}
        own = [name for name, d in self.own.items() if isinstance(d, kinds)]
        return own + [name for name, place in shipped().items() if place.kind in wanted]


def header(name: str) -> str:
    """A shipped definition's name with its parameters, or what it is derived from."""
    place = shipped()[name]
    text = re.sub(r"#[^\n]*", "", place.source.text[place.start : place.end])
    return " ".join(text.partition("{")[0].split()).split(" ", 1)[1]
