"""Sweeps as small TOML files: a user's own, and the papers' experiments in the catalog (`ms-sar/table3`)."""

import re
import tomllib
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from explorer.catalog.experiments import paths
from explorer.catalog.load import read_text
from explorer.errors import ArchError, Source, UserError, nearest
from explorer.sweep.candidates import (
    Selection,
    check_batch,
    check_modifiers,
    check_scales,
    parse_inputs,
    scale_candidates,
)
from explorer.sweep.predicting import NAMED, device_of
from explorer.sweep.sampling import DesignSpace, check_space
from explorer.sweep.where import parse_where
from explorer.train.budget import parse_budget
from explorer.train.data import source as data_source
from explorer.train.execution import check_observe
from explorer.train.recipes import recipe_named

MAX_SIZE = 200_000  # characters
_EXPERIMENT = re.compile(r"\s*[A-Za-z0-9_.-]+/[A-Za-z0-9_./-]+\s*")
ERRORS = ("test_error", "train_error")
_PLACE = re.compile(r" \(at line (\d+), column (\d+)\)$")


@dataclass(frozen=True)
class Claimed:
    """What a claim says of two of an experiment's networks: the first has the lower error."""

    claim: str  # its beginning, as in SweepFile.claims
    lower: str
    higher: str
    error: str = "test_error"  # one of ERRORS


@dataclass(frozen=True)
class SweepFile:
    """What a sweep file says. What it leaves out is None or empty, and the command's own default holds."""

    name: str  # of the experiment or the file
    selection: Selection
    title: str | None = None
    about: str | None = None
    data: tuple[str, ...] = ()
    stand_in: str | None = None  # data of short budgets
    budget: str | None = None
    seeds: int | None = None
    recipe: str | None = None
    reported: tuple[str, ...] = ()  # PAPER TABLE: whose printed errors stand beside
    claims: tuple[str, ...] = ()  # beginnings of what the paper claims of it
    pairs: tuple[Claimed, ...] = ()  # the claims as far as they order networks
    observe: tuple[str, ...] = ()  # what is looked at while networks are trained

    def data_for(self, budget: str) -> tuple[str, ...]:
        """The data sets of a sweep at this budget: the stand-in, if there is one, unless the budget is full."""
        return (self.stand_in,) if self.stand_in and budget.strip() != "full" else self.data


def is_file(text: str) -> bool:
    """Whether a word names a sweep file or an experiment, not a network."""
    return text.strip().endswith(".toml") or (".arch" not in text and _EXPERIMENT.fullmatch(text) is not None)


def load(text: str) -> SweepFile:
    """The sweep file FILE.toml, or the experiment of this name. Raises UserError, with the place in the file."""
    name = text.strip()
    if name.endswith(".toml"):
        return read(read_text(name), name)
    known = experiments()
    if name not in known:
        raise UserError(f"there is no experiment '{name[:80]}'; {nearest(name, known)}")
    return known[name]


@cache
def experiments() -> dict[str, SweepFile]:
    """The experiments of the catalog by name."""
    return {name: read(path.read_text(encoding="utf-8"), str(path), name) for name, path in paths().items()}


def read(text: str, path: str, name: str | None = None) -> SweepFile:
    """A sweep file's text. Raises ArchError with file:line:column for what is wrong in it."""
    source = Source(path, text)
    if len(text) > MAX_SIZE:
        raise UserError(f"{path[:200]}: more than {MAX_SIZE:,} characters; a sweep file is small")
    try:
        table = _Table(source, tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise _broken(error, source) from None
    except RecursionError:
        raise UserError(f"{path[:200]}: it is nested too deeply") from None
    _check_settings(table, of_catalog=name is not None)
    selection, claims = _selection(table), table.texts("claims")
    found = SweepFile(
        name=name or path,
        title=table.text("title"),
        about=table.text("about"),
        data=table.texts("data"),
        stand_in=table.text("stand_in"),
        budget=table.text("budget"),
        seeds=table.number("seeds"),
        recipe=table.text("recipe"),
        reported=table.texts("reported"),
        claims=claims,
        pairs=_pairs(table, claims, selection),
        observe=_observe(table),
        selection=selection,
    )
    table.done()
    if not found.selection.networks and not found.selection.spaces:
        raise ArchError('there is no network to sweep; write networks = ["resnet20"]', source, 0)
    return found


def _check_settings(table: "_Table", of_catalog: bool) -> None:
    """ArchError, with its place, for a budget, recipe or data that are none, and for what only experiments can have."""
    checks = {"budget": parse_budget, "recipe": recipe_named}
    for key, check in checks.items():
        if isinstance(value := table.rest.get(key), str):
            table.check(key, partial(check, value))
    for key in ("data", "stand_in"):
        value = table.rest.get(key)
        for name in value if isinstance(value, list) else [value]:
            if isinstance(name, str):
                table.check(key, partial(data_source, name))
    for key in ("reported", "claims", "pairs"):
        if key in table.rest and not of_catalog:
            raise table.error(key, f"{key} is for the papers' experiments, explorer/catalog/experiments; leave it out")


def _observe(table: "_Table") -> tuple[str, ...]:
    names = table.texts("observe")
    table.check("observe", lambda: check_observe(names))
    return names


def _selection(table: "_Table") -> Selection:
    spaces = tuple(_space(space, number) for number, space in enumerate(table.tables("space"), start=1))
    names = [space.name for space in spaces]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise table.error("space", f"two spaces are called {name!r}")
    scales, where, batch = table.numbers("scales"), table.text("where"), table.number("batch")
    modifiers, inputs = table.texts("modifiers"), table.texts("input")
    if where is not None:
        table.check("where", lambda: parse_where(where, NAMED))
    on = table.text("on")
    if on is not None:
        table.check("on", lambda: device_of(on))
    return Selection(
        networks=table.texts("networks"),
        scales=None if scales is None else table.check("scales", lambda: check_scales(scales)),
        modifiers=table.check("modifiers", lambda: check_modifiers(modifiers)),
        axes=tuple(f"{name}={_axis(table, name, values)}" for name, values in table.table("axes").items()),
        where=where,
        inputs=table.check("input", lambda: parse_inputs(",".join(inputs))) if inputs else (),
        batch=1 if batch is None else table.check("batch", lambda: check_batch(batch)),
        spaces=spaces,
        on=on,
    )


def _pairs(table: "_Table", claims: tuple[str, ...], selection: Selection) -> tuple[Claimed, ...]:
    """The table [pairs]: for a claim a list of [lower, higher], or [lower, higher, error]."""
    entries = table.table("pairs")
    chosen = scale_candidates(selection.texts, selection.scales) if entries else []
    known = {re.sub(r"\s", "", candidate.text): candidate.text for candidate in chosen}
    found = []
    for claim, pairs in entries.items():
        if claim not in claims:
            raise table.error(claim, f"{claim[:80]!r} is none of the claims; {nearest(claim, claims)}")
        if not isinstance(pairs, list) or not all(map(_is_pair, pairs)):
            message = "a claim has a list of pairs, [lower, higher], and where it is not of the test error which"
            raise table.error(claim, f"{message}: {', '.join(ERRORS)}")
        for lower, higher, *error in pairs:
            for text in (lower, higher):
                if (word := re.sub(r"\s", "", text)) not in known:
                    raise table.error(claim, f"the experiment has no network {text[:80]!r}; {nearest(word, known)}")
            names = [known[re.sub(r"\s", "", text)] for text in (lower, higher)]
            found.append(Claimed(claim, *names, *error))
    return tuple(found)


def _is_pair(value: Any) -> bool:
    """Whether a TOML value is two texts, or two and an error."""
    texts = isinstance(value, list) and len(value) in (2, 3) and all(isinstance(text, str) for text in value)
    return texts and set(value[2:]) <= set(ERRORS)


def _space(table: "_Table", number: int) -> DesignSpace:
    """One [[space]]."""
    draws = tuple((name, _draw(table, name, how)) for name, how in table.table("draw").items())
    network, samples, seed = table.text("network"), table.number("samples"), table.number("seed")
    if network is None:
        raise table.error("space", "a space has a network; write network = 'wrn(16, k = k)'")
    space = DesignSpace(
        table.text("name") or f"space {number}",
        network,
        draws,
        **{key: value for key, value in (("samples", samples), ("seed", seed)) if value is not None},
        where=table.text("where"),
    )
    table.done()
    table.check("network", lambda: check_space(space))
    return space


def _draw(table: "_Table", name: str, how: Any) -> str:
    if isinstance(how, int | float) and not isinstance(how, bool):
        return _value(how)
    if not isinstance(how, str):
        raise table.error(name, f"the draw {name} is a text such as 'log(8, 64, 8)'")
    return how


def _axis(table: "_Table", name: str, values: Any) -> str:
    """The values of an axis as `--axis` takes them."""
    if isinstance(values, list) and not values:
        raise table.error(name, f"the axis {name} has no values; write {name} = [8, 16, 32] or {name} = '2..12'")
    if isinstance(values, dict):
        raise table.error(name, f"the axis {name} is a list such as [8, 16, 32] or a range such as '2..12'")
    return ",".join(map(_value, values)) if isinstance(values, list) else _value(values)


def _value(value: Any) -> str:
    """A TOML value in the grammar."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return str(value)


class _Table:
    """A TOML table whose entries are taken one by one; errors cite the line of the key."""

    def __init__(self, source: Source, table: dict[str, Any], start: int = 0) -> None:
        self.source, self.rest, self.start = source, dict(table), start
        self.known: list[str] = []

    def take(self, key: str) -> Any:
        """An entry, None where there is none."""
        self.known.append(key)
        return self.rest.pop(key, None)

    def text(self, key: str) -> str | None:
        """A text."""
        value = self.take(key)
        if value is not None and not isinstance(value, str):
            raise self.error(key, f"{key} is a text")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts, or one."""
        value = self.take(key)
        if isinstance(value, str):
            return (value,)
        if value is not None and (not isinstance(value, list) or not all(isinstance(one, str) for one in value)):
            raise self.error(key, f"{key} is a list of texts")
        return tuple(value or ())

    def number(self, key: str) -> int | None:
        """A whole number."""
        value = self.take(key)
        if value is not None and type(value) is not int:
            raise self.error(key, f"{key} is a whole number")
        return value

    def numbers(self, key: str) -> tuple[int, ...] | None:
        """A list of whole numbers, None where there is none."""
        value = self.take(key)
        if value is not None and (not isinstance(value, list) or not all(type(one) is int for one in value)):
            raise self.error(key, f"{key} is a list of whole numbers")
        return None if value is None else tuple(value)

    def table(self, key: str) -> dict[str, Any]:
        """A table, empty where there is none."""
        value = self.take(key)
        if value is not None and not isinstance(value, dict):
            raise self.error(key, f"{key} is a table: [{key}]")
        return value or {}

    def tables(self, key: str) -> "list[_Table]":
        """An array of tables."""
        value = self.take(key)
        if value is not None and (not isinstance(value, list) or not all(isinstance(one, dict) for one in value)):
            raise self.error(key, f"{key} is written [[{key}]], once for each")
        starts = [found.start() for found in re.finditer(rf"(?m)^\s*\[\[\s*{key}\s*\]\]", self.source.text)]
        places = starts + [0] * len(value or ())
        return [_Table(self.source, one, place) for one, place in zip(value or (), places, strict=False)]

    def check(self, key: str, make: Any) -> Any:
        """What `make` returns; its errors gain the place of the key."""
        try:
            return make()
        except UserError as error:
            raise self.error(key, str(error)) from None

    def error(self, key: str, message: str) -> ArchError:
        """An error at a key's line."""
        at = self._at(key)
        return ArchError(message, self.source, self.start if at is None else at)

    def _at(self, key: str) -> int | None:
        """Where a key stands in the file, as far as a search for it tells."""
        found = re.compile(rf'(?m)^[ \t]*\[*[ \t]*"?(?P<key>{re.escape(key)})"?[ \t]*[\]=.]').search(
            self.source.text, self.start
        )
        return found.start("key") if found else None

    def done(self) -> None:
        """Raise ArchError for an entry that nothing asked for."""
        for key in self.rest:
            raise self.error(key, f"unknown entry '{key[:80]}'; {nearest(key, self.known)}")


def _broken(error: tomllib.TOMLDecodeError, source: Source) -> ArchError:
    """What is no TOML, with its place."""
    message, place = str(error), _PLACE.search(str(error))
    if place is None:
        return ArchError(message.removesuffix(" (at end of document)") + "; the file ends", source, len(source.text))
    lines = source.text.split("\n")[: int(place[1]) - 1]
    return ArchError(_PLACE.sub("", message), source, sum(len(line) + 1 for line in lines) + int(place[2]) - 1)
