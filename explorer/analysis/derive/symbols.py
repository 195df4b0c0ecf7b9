"""The symbols of the papers: how each is written, and expressions as text."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

import sympy

from explorer.analysis.formula import symbol


class Written(NamedTuple):
    """How a symbol looks on a terminal and in LaTeX, and what it stands for."""

    shown: str
    latex: str
    meaning: str


SYMBOLS = {
    "D": Written("D", "D", "channels that are recalibrated"),
    "H": Written("H", "H", "height of the map"),
    "W": Written("W", "W", "width of the map"),
    "d": Written("D'", "D'", "hidden width of the recalibration"),
    "L": Written("L", "L", "number of scales"),
    "sumK2": Written("ΣK²", r"\textstyle\sum K^2", "sum of K^2 over the scales"),
    "D_mod_L": Written("(D mod L)", r"(D \bmod L)", "remainder of D by L"),
    "r": Written("r", "r", "channels over hidden width"),
    "s": Written("s", "s", "side of a square map"),
    "R": Written("R", "R", "radius of the sliding neighbourhood"),
    "K": Written("K", "K", "scale of MS-SAR, or expansion rate of GUNN"),
    "C": Written("Cin", r"C_{\mathrm{in}}", "channels that a layer reads"),
    "Cout": Written("Cout", r"C_{\mathrm{out}}", "channels that a layer makes"),
    "k": Written("k", "k", "channels of a group"),
    "k2": Written("k'", "k'", "channels of a group of the next stage"),
    "c": Written("c", "c", "subgroups"),
    "c2": Written("c'", "c'", "subgroups of the next stage"),
    "g": Written("g", "g", "groups that a layer reads"),
    "n": Written("n", "n", "groups that a layer makes"),
    "N": Written("N", "N", "channels of a GUNN layer"),
    "P": Written("P", "P", "segments of a GUNN layer"),
    "M": Written("M", "M", "triples of an update unit"),
    "q": Written("q", "q", "whole part of a quotient"),
    "N_mod_P": Written("(N mod P)", r"(N \bmod P)", "remainder of N by P"),
}
REMAINDERS = ("D_mod_L", "N_mod_P")  # may be zero
WORD = re.compile(r"[A-Za-z_]\w*")


@cache
def named(name: str) -> sympy.Symbol:
    """A whole number of at least 1, or of at least 0 where it is a remainder."""
    return sympy.Symbol(name, integer=True, nonnegative=True) if name in REMAINDERS else symbol(name)


def parse(text: str, functions: Mapping[str, Any] | None = None) -> sympy.Expr:
    """An expression in the papers' symbols."""
    known = {name: named(name) for name in SYMBOLS}
    return sympy.sympify(sympy.sympify(text, locals={**known, **(functions or {})}))  # plain ints become Integers


def names_in(text: str) -> list[str]:
    """The papers' symbols that occur in a text, in order of the table."""
    words = set(WORD.findall(text))
    return [name for name in SYMBOLS if name in words]


def pretty(text: str) -> str:
    """An expression's text with the symbols as the papers write them: 2*D*d as 2*D*D'."""
    return WORD.sub(lambda word: SYMBOLS[word[0]].shown if word[0] in SYMBOLS else word[0], text)


def latex(expression: Any) -> str:
    """An expression or relation in LaTeX, without dollar signs."""
    return str(sympy.latex(expression, symbol_names={named(name): written.latex for name, written in SYMBOLS.items()}))
