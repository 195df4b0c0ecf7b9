"""Text as LaTeX prints it."""

from explorer.reports.numbers import DASH, MINUS

_SPECIAL = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\N{PLUS-MINUS SIGN}": r"$\pm$",
    MINUS: "$-$",
    DASH: "--",
}


def escaped(text: str) -> str:
    """The text with what LaTeX gives a meaning to escaped."""
    return "".join(_SPECIAL.get(character, character) for character in text)
