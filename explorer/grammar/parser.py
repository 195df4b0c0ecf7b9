"""Drives the LALR tables over the tokens: text to syntax tree."""

from functools import cache
from typing import Any

from explorer.errors import ArchError, Source
from explorer.grammar import tables
from explorer.grammar.build import RULES
from explorer.grammar.lexer import Token, tokenize, tokenize_amounts
from explorer.grammar.syntax import Expr, Expression, File

MAX_EXPRESSION = 100  # operands and modifiers of one expression
_READABLE = {
    "SEP": "a comma or a new line", "LBRACE": "'{'", "RBRACE": "'}'", "LPAR": "'('", "RPAR": "')'",
    "LSQB": "'['", "RSQB": "']'", "NAME": "a name", "NETNAME": "a network", "NUMBER": "a number",
    "SIZE": "a size like 3x3", "COLON": "':'", "BAR": "'|'", "EQ": "'='", "COMMA": "','", "DOT": "'.'",
    "PLUS": "'+'", "MINUS": "'-'", "STAR": "'*'", "SLASH": "'/'", "OP": "an operator", "STRING": "a text",
    "$END": "the end",
}  # fmt: skip


class _Tables:
    """The tables with their rules bound to tree-building functions; None: the rule hands its one symbol on."""

    def __init__(self) -> None:
        raw = tables.load()
        self.states: list[dict[str, int]] = raw["states"]
        self.starts: dict[str, int] = raw["starts"]
        self.ends: dict[str, int] = raw["ends"]
        self.rules = [
            (origin, size, None if size == 1 and alias == "first" else RULES[alias])
            for origin, size, alias in raw["rules"]
        ]


@cache
def _tables() -> _Tables:
    return _Tables()


def _run(source: Source, tokens: list[Token], start: str) -> Any:
    table = _tables()
    states, rules, end = table.states, table.rules, table.ends[start]
    top = table.starts[start]
    stack: list[int] = [top]
    values: list[Any] = []
    tokens.append(Token("$END", "", len(source.text)))
    for token in tokens:
        kind = token[0]
        while True:
            action = states[top].get(kind)
            if action is None:
                raise _unexpected(source, token, states[top])
            if action >= 0:
                stack.append(action)
                values.append(token)
                top = action
                break
            origin, size, build = rules[-1 - action]
            if build is None:
                stack.pop()
            elif size == 1:
                stack.pop()
                values[-1] = build(source, values[-1:])
            else:
                pieces = values[len(values) - size :]
                del stack[len(stack) - size :], values[len(values) - size :]
                values.append(build(source, pieces))
            top = states[stack[-1]][origin]
            stack.append(top)
            if top == end and kind == "$END":
                return values[-1]
    raise AssertionError("the end token is always accepted or refused")


def _unexpected(source: Source, token: Token, state: dict[str, int]) -> ArchError:
    if [name for name in state if name.isupper()] == ["IN"]:  # only `mean K in ...` goes on after two names
        return ArchError("a comma or a new line is missing between two steps", source, token.at)
    expected = [_READABLE.get(name, f"'{name.lower()}'") for name in state if name.isupper() or name == "$END"]
    found = "a step ends" if token.type == "SEP" else f"'{token.text[:60]}' is unexpected"
    found = found if token.text else "the text ends"
    shown = sorted(set(expected))
    tail = f"{', '.join(shown[:-1])} or {shown[-1]}" if len(shown) > 1 else "".join(shown)
    return ArchError(f"{found} here; expected {tail}", source, token.at)


def _checked(source: Source, tokens: list[Token]) -> list[Token]:
    """The tokens; a hostile expression, which would make the tree's readers recurse or crawl, is refused."""
    if len(tokens) <= MAX_EXPRESSION:
        return tokens
    run = 0
    for token in tokens:
        run = run + 1 if token.type in ("PLUS", "MINUS", "STAR", "SLASH", "OP", "NOT") else run
        run = 0 if token.type in ("SEP", "LBRACE", "NETWORK") else run
        if run > MAX_EXPRESSION:
            raise ArchError(f"an expression of more than {MAX_EXPRESSION} operators", source, token.at)
    return tokens


def parse_file(text: str, name: str = "<text>") -> File:
    """All definitions of a text.

    Raises ArchError with file:line:column for anything that is not in the grammar.
    """
    source = Source(name, text)
    return File(tuple(_run(source, _checked(source, tokenize(source)), "file")), source)


def parse_expression(text: str, name: str = "<network>") -> Expression:
    """One network expression such as `resnet50 + wseqconv(k=32) + mssar(1,2,4)`.

    Raises ArchError as parse_file does.
    """
    source = Source(name, text)
    result: Expression = _run(source, _checked(source, tokenize(source, True)), "expression")
    return result


def parse_condition(text: str, name: str) -> Expr:
    """One condition such as `params <= 25e6 and train_memory <= 24GB`, written as `expect` states facts.

    Raises ArchError as parse_file does.
    """
    source = Source(name, text)
    before = [Token("NETWORK", "", 0), Token("NAME", "", 0), Token("LBRACE", "", 0), Token("EXPECT", "", 0)]
    tokens = [*before, *tokenize_amounts(source), Token("RBRACE", "", len(text))]
    try:
        (network,) = _run(source, _checked(source, tokens), "file")
    except ArchError as error:
        what = error.message.partition("; expected")[0]
        message = f"{what}; write a condition such as params <= 25e6 and macs <= 4e9"
        raise ArchError(message, source, error.at) from None
    if len(network.body) != 1:
        raise ArchError("one condition is wanted; join several with 'and'", source, network.body[1].at)
    fact: Expr = network.body[0].fact
    return fact


def parse_slice(source: Source, start: int, end: int) -> File:
    """The definitions between two offsets of a larger text, with positions in the whole text."""
    tokens = tokenize(source, False, start, end)
    return File(tuple(_run(source, tokens, "file")), source)
