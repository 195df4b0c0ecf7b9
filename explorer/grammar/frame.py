"""What a step can see while a network is expanded: names, the current value, the fold around it."""

from collections.abc import Iterable
from fractions import Fraction
from typing import Any, NamedTuple

from explorer.blocks.builder import Builder, Record, Same, Tensor, Value, main_of, shape_key
from explorer.blocks.quantity import Quantity, is_array
from explorer.errors import ArchError, Source, nearest
from explorer.grammar.evaluate import describe
from explorer.grammar.syntax import Function, Item, Step

IMPLICIT = frozenset(("it", "entry", "main", "part", "in", "out"))  # names that are never declared
NO_INPUT = "there is no input yet: begin with 'input 3x32x32'"
FOLLOWERS = ("bn", "relu")  # what a rewrite may take along with a convolution


class Fold(NamedTuple):
    """The innermost fold: channels to produce, the fold's own input, what the current part reads."""

    out: Quantity | None
    base: Tensor
    main: Tensor


class Follower(NamedTuple):
    """A BN or ReLU that directly follows; `limit`: the first modifier that fills a slot before it."""

    kind: str
    limit: int


class Tail:
    """Where a chain is, and what follows it in the chains around it."""

    __slots__ = ("at", "beyond", "items", "skipped", "taken")

    def __init__(self, items: tuple[Item, ...], beyond: tuple[Follower, ...]) -> None:
        self.items = items
        self.at = 0
        self.skipped: set[int] = set()
        self.beyond = beyond
        self.taken = 0  # of beyond


class Frame:
    """The lexical and dynamic surroundings of a step."""

    __slots__ = ("active", "builder", "entry", "fold", "followers", "it", "level", "names", "source", "tail", "taps")

    def __init__(
        self,
        names: dict[str, Any],
        it: Value | None,
        builder: Builder,
        source: Source | None,
        fold: Fold | None = None,
        active: tuple[int, ...] = (),
        level: int = 0,
        entry: Value | None = None,
    ) -> None:
        self.names = names
        self.it = it
        self.builder = builder
        self.source = source
        self.fold = fold
        self.active = active  # modifiers that may act here
        self.level = level  # the first modifier that may still act here
        self.entry = it if entry is None else entry  # what the enclosing block was given
        self.taps: dict[str, Tensor] = {}
        self.tail: Tail | None = None
        self.followers: tuple[str, ...] | None = None  # in a rewrite: the kinds it took along

    def branch(self, names: dict[str, Any] | None = None) -> "Frame":
        """A frame for a sub-chain of the same scope."""
        made = Frame(
            self.names if names is None else names,
            self.it,
            self.builder,
            self.source,
            self.fold,
            self.active,
            self.level,
            self.entry,
        )
        made.followers = self.followers
        return made

    # --- what expressions see (evaluate.Scope) ---

    def lookup(self, name: str) -> Any:
        """A parameter, a loop variable, or an implicit value."""
        if name in self.names:
            return self.names[name]
        if name == "it" and self.it is not None:
            return self.it
        if name == "in" and self.entry is not None:
            return main_of(self.entry).shape[0]
        if name == "entry" and self.entry is not None:
            return self.entry
        if self.fold is not None:
            if name == "out" and self.fold.out is not None:
                return self.fold.out
            if name == "main":
                return self.fold.main
            if name == "part" and self.fold.out is not None:
                return self.part(self.fold.base)
        raise KeyError(name)

    def known(self) -> list[str]:
        """Names to suggest."""
        return [*self.names, *IMPLICIT]

    def call(self, function: Function) -> Any:
        """channels(x), height(x), width(x), part(x)."""
        from explorer.grammar.evaluate import evaluate

        if function.name not in ("channels", "height", "width", "part"):
            raise KeyError(function.name)
        if len(function.args) != 1:
            raise ArchError(f"{function.name} takes one tensor", at=function.at)
        tensor = self.tensor(evaluate(function.args[0].value, self), function.name)
        if function.name == "part":
            return self.part(tensor)
        return tensor.shape[("channels", "height", "width").index(function.name)]

    def field(self, value: Any, name: str) -> Tensor:
        """A named tensor of a record."""
        taps = value.taps if isinstance(value, Record) else {}
        if name not in taps:
            hint = nearest(name, taps) if taps else "it is a plain tensor without taps"
            raise ArchError(f"nothing here is tapped as '{name}'; {hint}")
        return taps[name]

    def tensor(self, value: Any, what: str) -> Tensor:
        """The value as a tensor. Raises ArchError when it is none."""
        if isinstance(value, Tensor | Record):
            return main_of(value)
        raise ArchError(f"{what} needs a tensor, not {describe(value)}")

    def part(self, tensor: Tensor) -> Tensor:
        """The channels of a tensor that belong to the fold's current segment."""
        if self.fold is None or self.fold.out is None:
            raise ArchError("part stands only inside aggregate, windowed or update")
        return self.builder.part(tensor, self.fold.out)


def visible(values: Iterable[Any], fold: Fold | None) -> tuple[list[Tensor], dict[int, int]]:
    """The distinct tensors among values and the fold's, in order, and where each is."""
    formals: list[Tensor] = []
    place: dict[int, int] = {}
    for value in values:
        if isinstance(value, Tensor):
            if value.index not in place:
                place[value.index] = len(formals)
                formals.append(value)
        elif isinstance(value, Record):
            for tensor in (value.main, *value.taps.values()):
                if tensor.index not in place:
                    place[tensor.index] = len(formals)
                    formals.append(tensor)
    if fold is not None:
        for tensor in (fold.base, fold.main):
            if tensor.index not in place:
                place[tensor.index] = len(formals)
                formals.append(tensor)
    return formals, place


def localise(value: Any, place: dict[int, int], local: list[Tensor]) -> Any:
    """A value of the surrounding scope as the inner scope's ports."""
    if type(value) is int or value is None:
        return value
    if isinstance(value, Tensor):
        return local[place[value.index]]
    if isinstance(value, Record):
        taps = {name: local[place[tap.index]] for name, tap in value.taps.items()}
        return Record(local[place[value.main.index]], taps)
    return value


def mark(value: Any) -> Any:
    """A hashable stand-in for a number or a word: yes is not 1, and a fraction by itself hashes slowly."""
    if type(value) is bool:
        return (value,)
    return ("/", value.numerator, value.denominator) if type(value) is Fraction else value


def key_of(value: Any, place: dict[int, int]) -> Any:
    """A hashable stand-in for a value, in terms of the visible tensors."""
    if type(value) is int or type(value) is str:
        return value
    if isinstance(value, Tensor):
        return ("tensor", place[value.index])
    if isinstance(value, Record):
        return ("record", place[value.main.index], *((n, place[t.index]) for n, t in value.taps.items()))
    if isinstance(value, tuple):
        return tuple(key_of(item, place) for item in value)
    if is_array(value):
        return Same(value)
    return mark(value)


def tensors_key(formals: list[Tensor]) -> tuple[Any, ...]:
    """Shapes of the visible tensors, hashable."""
    return tuple([(shape_key(t.shape), t.image) for t in formals])


def is_follower(item: Item) -> bool:
    """A plain bn or relu step."""
    return isinstance(item, Step) and item.name in FOLLOWERS and not item.args and item.branches is None


def current(frame: Frame) -> Tensor:
    """The current value as a tensor."""
    if frame.it is None:
        raise ArchError(NO_INPUT)
    return main_of(frame.it)


def result_of(frame: Frame) -> Value:
    """What a chain returns: its last value, with the taps made in it or carried by it."""
    main = current(frame)
    carried = frame.it.taps if isinstance(frame.it, Record) else {}
    taps = {**carried, **frame.taps}
    return Record(main, taps) if taps else main
