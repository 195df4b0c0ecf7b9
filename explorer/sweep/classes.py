"""Which number of classes a network's text names: on data a network has theirs, and another number is an error."""

from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from explorer.blocks.walk import Walk, walking
from explorer.errors import ArchError, UserError
from explorer.grammar.bind import bind, spread
from explorer.grammar.evaluate import describe
from explorer.grammar.frame import Frame
from explorer.grammar.library import Library
from explorer.grammar.resolve import MAX_DERIVED
from explorer.grammar.syntax import Expression, Network
from explorer.sweep.ranges import Family

CLASSES = "classes"
UNREADABLE = (ArchError, TypeError, ValueError, OverflowError)  # an error of the text, or what arrays cannot do


class Stated(NamedTuple):
    """A number of classes, and the network that it is an argument of."""

    network: str
    value: Any


def check_classes(family: Family, classes: int | None) -> None:
    """UserError where a text gives another number of classes than that of the data (None: there are none).

    A default is none that is given: a network for 1,000 classes is built for those of the data. What cannot be read for
    all candidates at once is left to the check of each.
    """
    if classes is None:
        return
    walk = Walk()
    with suppress(*UNREADABLE), walking(walk), np.errstate(all="ignore"):  # expansion says what is wrong in a text
        stated = _stated(family.expression, family.library, family.space.values())
        if stated and (wrong := _other(stated.value, classes, walk.valid)) is not None:
            name = family.expression.call.name
            inside = "" if stated.network == name else f", of which {name} is made,"
            raise UserError(
                f"classes: {stated.network}{inside} is given {describe(wrong)}, and the data have {classes:,}; leave "
                "it out, a network has the classes of its data"
            )


def _stated(expression: Expression, library: Library, names: dict[str, Any]) -> Stated | None:
    """What is given for the classes, in the text or where its network is derived; None where a default holds."""
    passed: dict[str, Any] = {}
    giver = ""
    for _ in range(MAX_DERIVED):
        definition = library.find(expression.call.name)
        if not isinstance(definition, Network):
            return None
        giver = giver if CLASSES in passed else definition.name
        positional, named = spread(expression.call.args, _frame(names, expression))
        named |= passed
        own = [param.name for param in definition.params]
        if CLASSES in own:
            given = named if definition.params[0].star else dict(zip(own, positional, strict=False)) | named
            return Stated(giver, given[CLASSES]) if CLASSES in given else None
        if definition.base is None:
            return None
        passed = {name: value for name, value in named.items() if name not in own}
        kept = {name: value for name, value in named.items() if name in own}
        inside = _frame({}, definition)
        names = bind(definition.name, definition.params, positional, kept, inside, definition.source)
        expression = definition.base
    return None


def _frame(names: dict[str, Any], within: Expression | Network) -> Frame:
    return Frame(names, None, None, within.source)  # type: ignore[arg-type]


def _other(value: Any, classes: int, valid: Any) -> Any:
    """The first value that is not so many classes, of candidates that can exist; None where all are."""
    if not isinstance(value, np.ndarray):
        return None if value == classes else value
    values, possible = np.broadcast_arrays(value, valid)
    return next(iter(values[possible & (values != classes)][:1].tolist()), None)
