"""Generates tables.json from grammar.lark: Lark's LALR tables as plain data.

Loading them takes a millisecond and needs no import of Lark; a test keeps them equal to the grammar.
"""

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
STARTS = ("file", "expression")


def generate() -> dict[str, Any]:
    """Tables of the grammar: `states[s][symbol]` = n >= 0: go to state n; n < 0: reduce by rule -n - 1."""
    import lark
    from lark.lexer import Lexer
    from lark.parsers.lalr_analysis import Shift

    class NoLexer(Lexer):
        """Tokens come from lexer.py."""

        def __init__(self, lexer_conf: Any) -> None:
            pass

        def lex(self, lexer_state: Any, parser_state: Any) -> Any:
            raise AssertionError("the tables are driven by parser.py")

    text = (HERE / "grammar.lark").read_text()
    made = lark.Lark(text, parser="lalr", lexer=NoLexer, start=list(STARTS), maybe_placeholders=False)
    table = made.parser.parser._parse_table  # type: ignore[attr-defined]
    order: list[Any] = [table.start_states[name] for name in STARTS]  # states in order of discovery
    for state in order:
        for _, (action, arg) in sorted(table.states[state].items()):
            if action is Shift and arg not in order:
                order.append(arg)
    number = {state: i for i, state in enumerate(order)}
    reductions = [arg for row in table.states.values() for action, arg in row.values() if action is not Shift]
    rules = sorted({_rule(rule) for rule in reductions})
    states = [
        {
            symbol: number[arg] if action is Shift else -1 - rules.index(_rule(arg))
            for symbol, (action, arg) in sorted(table.states[state].items())
        }
        for state in order
    ]
    return {
        "starts": {name: number[table.start_states[name]] for name in STARTS},
        "ends": {name: number[table.end_states[name]] for name in STARTS},
        "rules": [list(rule) for rule in rules],
        "states": states,
    }


def _rule(rule: Any) -> tuple[str, int, str]:
    """A rule as the parser needs it: what it makes, of how many symbols, and the tree-building function."""
    return str(rule.origin.name), len(rule.expansion), str(rule.alias)


def load() -> Any:
    """The tables as shipped."""
    return json.loads((HERE / "tables.json").read_text())


if __name__ == "__main__":
    (HERE / "tables.json").write_text(json.dumps(generate(), separators=(",", ":"), sort_keys=True) + "\n")
