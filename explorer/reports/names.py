"""Short names for networks, from their text: which family one belongs to, and what tells it from the others."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from typing import NamedTuple

_RECALIBRATION = "mssar"
_ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"
_SIZE = re.compile(r"(\w+=)?\d+(\.\d+)?")
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


def curve_of(text: str) -> str:
    """What the sizes of a family have in common that one line may join: its arguments that are no plain numbers."""
    arguments = _arguments(split_top(_without_recipe(text)[0], "+")[0])
    return ", ".join(argument for argument in arguments if not _SIZE.fullmatch(argument))


def is_recalibrated(text: str) -> bool:
    """Whether a network's text adds MS-SAR."""
    return any(modifier.startswith(_RECALIBRATION) for modifier in split_top(text, "+")[1:])


def under_recipe(text: str, recipe: str | None) -> str:
    """A network's text, and the recipe it was trained with unless that is None: what is shown, not a network's text."""
    return text if recipe is None else f"{text} (recipe {recipe})"


def short_names(texts: Iterable[str]) -> dict[str, str]:
    """For each network the least that tells it from the others: n=1, n=2 and n=1 + se of the sizes of one family.

    Of those whose text begins with the same name these are the arguments and modifiers that not all of them share, else
    the name; in front of arguments that other names have, too, stands the name. Where all of that leaves two networks
    alike it is the whole text.
    """
    siblings: dict[str, list[_Parts]] = {}
    for text in dict.fromkeys(texts):
        parts = _parts(text)
        siblings.setdefault(parts.name, []).append(parts)
    found = [ways for own in siblings.values() for ways in _ways(own)]
    names = {ways[-1]: ways[0] for ways in found}
    for step in (1, 2):
        times = Counter(names.values())
        names |= {ways[-1]: ways[step] for ways in found if times[names[ways[-1]]] > 1}
    return names


def short_name(label: str, names: Mapping[str, str]) -> str:
    """The short name of a network; a recipe that stands behind its text (`under_recipe`) stands behind its name."""
    network, recipe = _without_recipe(label)
    return names[network] + recipe


def cut_names(names: Sequence[str], longest: int) -> list[str]:
    """Names of at most so many characters; those that begin alike lose what they share in place of their end."""
    first = [_cut(name, longest) for name in names]
    alike: dict[str, set[str]] = {}
    for name, short in zip(names, first, strict=True):
        alike.setdefault(short, set()).add(name)
    return [
        short if len(alike[short]) == 1 else _cut_middle(name, _shared(alike[short]), longest)
        for name, short in zip(names, first, strict=True)
    ]


def _cut(name: str, longest: int) -> str:
    return name if len(name) <= longest else name[: longest - 1] + _ELLIPSIS


def _shared(names: Iterable[str]) -> int:
    """How many characters all of the names begin with."""
    return sum(1 for _ in takewhile(lambda characters: len(set(characters)) == 1, zip(*names, strict=False)))


def _cut_middle(name: str, shared: int, longest: int) -> str:
    """The name's beginning, and what follows the `shared` characters that others begin with."""
    head = longest // 3
    return _cut(name[:head] + _ELLIPSIS + name[max(head, shared - 4) :], longest)


def _without_recipe(text: str) -> tuple[str, str]:
    """A network's text, and what `under_recipe` wrote behind it."""
    found = _RECIPE.fullmatch(text)
    return (found[1], found[2]) if found else (text, "")


class _Parts(NamedTuple):
    """What a network's text consists of."""

    text: str
    head: str  # the name with its arguments
    name: str
    arguments: list[str]
    modifiers: list[str]


def _parts(text: str) -> _Parts:
    head, *modifiers = split_top(text, "+")
    return _Parts(text, head, _name(head), _arguments(head), modifiers)


def _ways(siblings: Sequence[_Parts]) -> Iterator[tuple[str, str, str]]:
    """For each of the networks of one name: its shortest name, one that tells it from others' networks, its text."""
    alone = len(siblings) == 1
    arguments = set.intersection(*(set(parts.arguments) for parts in siblings))
    modifiers = set() if alone else set.intersection(*(set(parts.modifiers) for parts in siblings))
    sized = any(not arguments.issuperset(parts.arguments) for parts in siblings)
    for text, head, name, own, added in siblings:
        apart = ", ".join(part for part in own if part not in arguments)
        behind = "".join(f" + {modifier}" for modifier in added if modifier not in modifiers)
        whole = f"{name}({apart})" if apart else head if sized else name
        yield (apart or whole) + behind, whole + behind, text


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


def _arguments(head: str) -> list[str]:
    """The arguments of a call."""
    if "(" not in head:
        return []
    return [re.sub(r"\s*=\s*", "=", part) for part in split_top(head[head.index("(") + 1 : head.rindex(")")], ",")]
