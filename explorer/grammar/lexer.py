"""Text to tokens. Commas and newlines between steps become one separator, SEP."""

import re
from decimal import Decimal
from typing import NamedTuple

from explorer.errors import ArchError, Source

MAX_NESTING = 60
MAX_DIGITS = 18
MAX_TEXT = 200_000  # characters

KEYWORDS = frozenset(
    [
        "network",
        "block",
        "unit",
        "rewrite",
        "of",
        "input",
        "expect",
        "only",
        "for",
        "in",
        "when",
        "else",
        "on",
        "not",
        "and",
        "or",
    ]
)
OPERATOR_WORDS = frozenset(("and", "or"))
_PUNCTUATION = {
    "(": "LPAR", ")": "RPAR", "[": "LSQB", "]": "RSQB", "{": "LBRACE", "}": "RBRACE",
    ":": "COLON", ".": "DOT", "|": "BAR", "=": "EQ", "+": "PLUS", "-": "MINUS", "*": "STAR", "/": "SLASH",
}  # fmt: skip
_CLOSES = {")": "(", "]": "[", "}": "{"}
_TOKEN = re.compile(
    r"(?:[ \t\r]|\#[^\n]*)*+(?:(?P<NAME>[A-Za-z_][A-Za-z_0-9]*)|(?P<newline>\n)|(?P<end>\Z)"
    r"|(?P<SIZE>[0-9]+(?:[ ]*x[ ]*[0-9]+)+(?![A-Za-z_0-9]))"
    r"|(?P<NUMBER>[0-9]+(?:\.[0-9]+)?(?:e[0-9]{1,2})?(?![A-Za-z_0-9]))"
    r"|(?P<OP>//|==|!=|<=|>=|<|>|%)|(?P<punctuation>[()\[\]{}:.|=+\-*/,])"
    r'|(?P<STRING>"[^"\n]*"))'
)
BYTES = {"kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
TIMES = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9}
_AMOUNT = re.compile(r"(?<![\w.])([0-9]+(?:\.[0-9]+)?)( ?)(" + "|".join((*BYTES, *TIMES)) + r")(?!\w)")
_NETWORK_NAME = re.compile(r"[A-Za-z_][A-Za-z_0-9]*(?:-[A-Za-z_0-9]+)+")
# a newline separates steps only after a token that can end a step and before one that can begin the next
_ENDS_STEP = frozenset(("NAME", "NETNAME", "NUMBER", "SIZE", "STRING", "IN", "RPAR", "RSQB", "RBRACE"))
_CONTINUES = frozenset(("RBRACE", "BAR", "ELSE", "PLUS", "COMMA", "SEP", "END"))


class Token(NamedTuple):
    """One token: its type, its text, and its offset in the source."""

    type: str
    text: str
    at: int


class _Lexer:
    """The state between two tokens: open brackets and what a comma means here."""

    def __init__(self, source: Source, expression: bool) -> None:
        self.source = source
        self.tokens: list[Token] = []
        self.last = ""
        self.brackets: list[tuple[str, int]] = []
        self.newline = False
        self.in_for = False
        self.name_expected = expression  # the place of a network name, where hyphens are legal

    def separate(self, kind: str, at: int) -> None:
        """Before a token of some kind: turn a new line into a separator, or drop one that is not needed."""
        if self.newline:
            self.newline = False
            if self.last in _ENDS_STEP and kind not in _CONTINUES:
                self.tokens.append(Token("SEP", "\n", at))
                self.last = "SEP"
        if self.last == "SEP" and (kind == "RBRACE" or kind == "BAR" or kind == "SEP"):
            self.tokens.pop()

    def word(self, text: str, at: int) -> tuple[str, str]:
        """The kind and text of a keyword, a name, or a network name with hyphens."""
        if self.name_expected and (match := _NETWORK_NAME.match(self.source.text, at)):
            self.name_expected = False
            return "NETNAME", match.group()
        self.name_expected = text == "network" and not self.brackets
        if text not in KEYWORDS:
            return "NAME", text
        self.in_for = self.in_for or text == "for"
        return ("OP" if text in OPERATOR_WORDS else text.upper()), text

    def punctuation(self, text: str, at: int) -> str:
        """The kind of a punctuation mark; keeps track of brackets and of what a comma means."""
        self.name_expected = text == "=" and not self.brackets
        if text == ",":
            between_steps = bool(self.brackets) and self.brackets[-1][0] == "{" and not self.in_for
            return "SEP" if between_steps else "COMMA"
        if text in "([{":
            if len(self.brackets) >= MAX_NESTING:
                raise ArchError(f"brackets are nested more than {MAX_NESTING} deep", self.source, at)
            self.in_for = self.in_for and text != "{"
            self.brackets.append((text, at))
        elif text in ")]}":
            opened = self.brackets.pop()[0] if self.brackets else None
            if opened != _CLOSES[text]:
                what = "nothing that is open here" if opened is None else f"no '{opened}', which is open here"
                raise ArchError(f"'{text}' closes {what}", self.source, at)
        return _PUNCTUATION[text]

    def run(self, start: int, end: int) -> list[Token]:
        """The tokens from start to end. Raises ArchError at what is no token, and at brackets that do not match."""
        text, match_at, at, append = self.source.text, _TOKEN.match, start, self.tokens.append
        while True:
            match = match_at(text, at, end)
            if match is None:
                raise self.no_token(at)
            kind = match.lastgroup
            assert kind is not None
            piece, start, at = match[kind], match.start(kind), match.end()
            if kind == "NAME":
                kind, piece = self.word(piece, start)
                at = start + len(piece)
            elif kind == "punctuation":
                kind = self.punctuation(piece, start)
            elif kind == "newline":
                self.newline = self.newline or not self.brackets or self.brackets[-1][0] == "{"
                continue
            elif kind == "end":
                break
            elif kind in ("NUMBER", "SIZE") and len(piece) > MAX_DIGITS and _longest_number(piece) > MAX_DIGITS:
                raise ArchError(f"a number of more than {MAX_DIGITS} digits", self.source, start)
            if self.newline or self.last == "SEP":
                self.separate(kind, start)
            append(Token(kind, piece, start))
            self.last = kind
        if self.brackets:
            opened, opened_at = self.brackets[-1]
            raise ArchError(f"'{opened}' is never closed", self.source, opened_at)
        if self.last == "SEP":
            self.tokens.pop()
        return self.tokens

    def no_token(self, at: int) -> ArchError:
        """The error for text at or after `at` that begins no token."""
        text = self.source.text
        while text[at] in " \t\r" or text[at] == "#":
            at = text.index("\n", at) if text[at] == "#" else at + 1
        return ArchError(_bad_character(text, at), self.source, at)


def tokenize(source: Source, expression: bool = False, start: int = 0, end: int | None = None) -> list[Token]:
    """The tokens of a text, or of a part of it. `expression`: it begins with a network's name."""
    end = len(source.text) if end is None else end
    if end - start > MAX_TEXT:
        raise ArchError(f"the text has more than {MAX_TEXT:,} characters", source, start)
    return _Lexer(source, expression).run(start, end)


def tokenize_amounts(source: Source) -> list[Token]:
    """The tokens of a condition, in which numbers may be bytes with a prefix or times: 24GB, 1.5 GiB, 5ms."""
    amounts = {found.start(): found for found in _AMOUNT.finditer(source.text)}
    plain = _AMOUNT.sub(lambda found: found[1] + " " * (len(found[0]) - len(found[1])), source.text)
    tokens = tokenize(Source(source.name, plain))
    return [Token(t.type, _in_base_units(amounts[t.at]), t.at) if t.at in amounts else t for t in tokens]


def _in_base_units(amount: re.Match[str]) -> str:
    """24GB as 24000000000, 5ms as 5000000ns; digits after the point stay where that is no whole number."""
    size, unit = (TIMES[amount[3]], "ns") if amount[3] in TIMES else (BYTES[amount[3]], "")
    return f"{Decimal(amount[1]) * size:f}{unit}"


def _longest_number(piece: str) -> int:
    return max(len(digits) for digits in re.findall(r"[0-9]+", piece))


def _bad_character(text: str, at: int) -> str:
    if text[at].isdigit():
        word = re.match(r"[A-Za-z_0-9.]+", text[at:])
        shown = (word.group() if word else text[at])[:40]
        return f"'{shown}' is neither a number, a size like 3x32x32, nor a name"
    return f"unexpected character {text[at]!r}"
