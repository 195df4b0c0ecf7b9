"""Short names for networks, from their text: which family one belongs to, and what tells it from the others."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

_RECALIBRATION = "mssar"
_RECIPE = re.compile(r"(.*?)( \(recipe .*\))", re.DOTALL)


def family_of(text: str) -> str:
    """The family a network is one size of: resnet of resnet56, densenet-bc of densenet-bc-100-12.

    MS-SAR leaves a network in its family (that is what figures compare), other modifiers and recipes do not.
    """
    network, recipe = _without_recipe(text)
    head, *modifiers = split_top(network, "+")
    name = _name(head)
    kept = [re.sub(r"\d+(x\d+\w*)?$", "", part) for part in name.split("-")]
    sized = [part for part, whole in zip(kept, name.split("-"), strict=True) if not (part != whole and len(part) < 2)]
    others = [modifier for modifier in modifiers if not modifier.startswith(_RECALIBRATION)]
    return " + ".join(["-".join(sized) or name, *others]) + recipe


def is_recalibrated(text: str) -> bool:
    """Whether a network's text adds MS-SAR."""
    return any(modifier.startswith(_RECALIBRATION) for modifier in split_top(text, "+")[1:])


def under_recipe(text: str, recipe: str | None) -> str:
    """A network's text, and the recipe it was trained with unless that is None: what is shown, not a network's text."""
    return text if recipe is None else f"{text} (recipe {recipe})"


def short_names(texts: Sequence[str]) -> dict[str, str]:
    """For each network the least that tells it from the others: n=1 and n=2 of two sizes of one family.

    These are its name if no other is called so, else the arguments that not all of those share, else its whole text.
    A recipe that stands behind a text (`under_recipe`) stands behind its name.
    """
    parts = {text: _without_recipe(text) for text in texts}
    names = _shortened(dict.fromkeys(network for network, _ in parts.values()))
    return {text: names[network] + recipe for text, (network, recipe) in parts.items()}


def _without_recipe(text: str) -> tuple[str, str]:
    """A network's text, and what `under_recipe` wrote behind it."""
    found = _RECIPE.fullmatch(text)
    return (found[1], found[2]) if found else (text, "")


def _shortened(texts: Iterable[str]) -> dict[str, str]:
    """Short names of different texts."""
    siblings: dict[str, dict[str, list[str]]] = {}  # arguments by text, by what is called
    for text in texts:
        siblings.setdefault(_called(text), {})[text] = _arguments(text)
    names: dict[str, str] = {}
    for called, own in siblings.items():
        shared = set.intersection(*(set(arguments) for arguments in own.values()))
        for text, arguments in own.items():
            apart = ", ".join(part for part in arguments if part not in shared)
            names[text] = called if len(own) == 1 else apart or text
    times = Counter(names.values())
    return {text: text if times[name] > 1 else name for text, name in names.items()}


def split_top(text: str, separator: str) -> list[str]:
    """Split at a separator that stands outside all brackets; parts are stripped."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if character == separator and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def _name(head: str) -> str:
    """What is called: the text before the arguments."""
    return head.split("(")[0].strip()


def _called(text: str) -> str:
    """A network's name and modifiers, its arguments left out."""
    head, *modifiers = split_top(text, "+")
    return " + ".join([_name(head), *modifiers])


def _arguments(text: str) -> list[str]:
    """The arguments of the call a text begins with."""
    head = split_top(text, "+")[0]
    if "(" not in head:
        return []
    return [re.sub(r"\s*=\s*", "=", part) for part in split_top(head[head.index("(") + 1 : head.rindex(")")], ",")]
