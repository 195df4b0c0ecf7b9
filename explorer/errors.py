"""Errors meant for people: one message, no traceback, exit code 2. Those about text point into it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches


class UserError(Exception):
    """Bad input. The message says what is wrong, where, and what would be right."""


LINE_WIDTH = 100  # longer lines are shortened around the caret


@dataclass(frozen=True, slots=True)
class Source:
    """A text and the name under which errors cite it."""

    name: str
    text: str

    def position(self, at: int) -> tuple[int, int]:
        """Line and column, from 1, of offset `at`."""
        return self.text.count("\n", 0, at) + 1, at - self.text.rfind("\n", 0, at)

    def excerpt(self, at: int) -> str:
        """The line around offset `at` with a caret below."""
        start = self.text.rfind("\n", 0, at) + 1
        end = self.text.find("\n", at)
        line = self.text[start : end if end >= 0 else len(self.text)].replace("\t", " ")
        column = at - start
        left = max(0, column - LINE_WIDTH // 2)
        shown = line[left : left + LINE_WIDTH]
        head, tail = "..." if left else "", "..." if left + LINE_WIDTH < len(line) else ""
        return f"  {head}{shown}{tail}\n  {' ' * (len(head) + column - left)}^"


class ArchError(UserError):
    """Bad architecture text, or a network that cannot exist. Gains its place while it travels up."""

    def __init__(self, message: str, source: Source | None = None, at: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.source = source
        self.at = at
        self.path: list[str] = []  # the layers it happened in, outermost first

    def locate(self, source: Source | None, at: int) -> "ArchError":
        """Fill in the place unless a more exact one is known."""
        if self.source is None and source is not None:
            self.source = source
            self.at = at if self.at is None else self.at
        return self

    def __str__(self) -> str:
        layer = f" (in layer {_shorten('.'.join(self.path))})" if self.path else ""
        text = _shorten(self.message, 1200) + layer
        if self.source is None or self.at is None:
            return text
        line, column = self.source.position(self.at)
        return f"{_shorten(self.source.name)}:{line}:{column}: {text}\n{self.source.excerpt(self.at)}"


def _shorten(text: str, limit: int = 200) -> str:
    return text if len(text) <= limit else f"{text[: limit // 2]}...{text[-limit // 2 :]}"


LOOK_ALIKE = str.maketrans("oli", "011")


def nearest(word: str, known: Iterable[str]) -> str:
    """A suggestion sentence: the closest known word, or the first few.

    Closest is what looks the same (resnet5O), then what differs in digits alone (stage4), then what shares most.
    """
    word, words = word[:80], sorted(set(known))
    alike = [other for other in words if _looks(other) == _looks(word)]
    numbered = [other for other in words if re.sub(r"\d", "0", other) == re.sub(r"\d", "0", word)]
    close = alike or get_close_matches(word, numbered or words, n=1, cutoff=0.6)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"known: {', '.join(words[:12])}{', ...' if len(words) > 12 else ''}" if words else ""


def _looks(word: str) -> str:
    return word.lower().translate(LOOK_ALIKE)
