"""Arguments to parameters, for blocks, networks, rewrites and primitives alike."""

from typing import Any

from explorer.blocks.ops import REQUIRED, Primitive
from explorer.errors import ArchError, Source, nearest
from explorer.grammar.evaluate import check_list, evaluate
from explorer.grammar.frame import Frame
from explorer.grammar.syntax import Arg, Param


def spread(args: tuple[Arg, ...], frame: Frame) -> tuple[list[Any], dict[str, Any]]:
    """Evaluated positional and named arguments; `*list` is spread and `/s` is named stride."""
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for arg in args:
        value = evaluate(arg.value, frame)
        if arg.mark == "*":
            if not isinstance(value, tuple):
                raise ArchError("only a list can be spread with *", at=arg.at)
            check_list((*positional, *value))
            positional.extend(value)
        elif arg.mark == "/":
            if "stride" in named:
                raise ArchError("the stride is given twice", at=arg.at)
            named["stride"] = value
        elif arg.name is not None:
            if arg.name in named:
                raise ArchError(f"'{arg.name}' is given twice", at=arg.at)
            named[arg.name] = value
        else:
            positional.append(value)
    return positional, named


def bind(
    what: str,
    params: tuple[Param, ...],
    positional: list[Any],
    named: dict[str, Any],
    inside: Frame,
    source: Source | None,
    *,
    weak: dict[str, Any] | None = None,
    strong: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Parameter values by name; defaults are evaluated in `inside`, where earlier parameters are visible.

    `/s` goes to a parameter called stride or s. `weak` values replace defaults, `strong` ones whatever is given.
    """
    names = inside.names
    given = _given(what, params, positional, named)
    if strong:
        _known(what, params, strong)
        given.update(strong)
    for param in params:
        if param.name in given:
            names[param.name] = given[param.name]
        elif weak and param.name in weak:
            names[param.name] = weak[param.name]
        elif param.default is not None:
            try:
                names[param.name] = evaluate(param.default, inside)
            except ArchError as error:
                raise error.locate(source, param.at) from None
        else:
            raise ArchError(f"{what} needs {'at least one of ' if param.star else ''}'{param.name}'")
    return names


def _given(what: str, params: tuple[Param, ...], positional: list[Any], named: dict[str, Any]) -> dict[str, Any]:
    """Arguments by parameter, positional ones strictly in order. Raises ArchError for one too many or given twice."""
    given: dict[str, Any] = {}
    if params and params[0].star:
        if positional:
            check_list(tuple(positional))
            given[params[0].name] = tuple(positional)
    else:
        if len(positional) > len(params):
            raise ArchError(f"{what} takes {len(params)} argument{'s' * (len(params) != 1)}, not {len(positional)}")
        given = {param.name: value for param, value in zip(params, positional, strict=False)}
    if named:
        if "stride" in named and any(p.name == "s" for p in params) and all(p.name != "stride" for p in params):
            if "s" in named:
                raise ArchError(f"{what} is given the stride twice")
            named = {"s" if name == "stride" else name: value for name, value in named.items()}
        _known(what, params, named)
        for name, value in named.items():
            if name in given:
                raise ArchError(f"{what} is given '{name}' twice")
            given[name] = value
    return given


def _known(what: str, params: tuple[Param, ...], names: dict[str, Any]) -> None:
    by_name = [param.name for param in params if not param.star]
    for name in names:
        if name not in by_name:
            raise ArchError(f"{what} has no parameter '{name}'{'; ' + nearest(name, by_name) if by_name else ''}")


def bind_primitive(name: str, primitive: Primitive, args: tuple[Arg, ...], values: list[Any]) -> dict[str, Any]:
    """The attributes of a primitive from its arguments and their values."""
    attrs = dict(primitive.params)
    order = iter(primitive.params)
    given: set[str] = set()
    for arg, value in zip(args, values, strict=True):
        if arg.mark == "*":
            raise ArchError(f"{name} takes no list of arguments", at=arg.at)
        key = "stride" if arg.mark == "/" else arg.name
        if key is None:
            key = next(order, None)
            if key is None:
                raise ArchError(f"{name} takes at most {len(primitive.params)} arguments", at=arg.at)
        elif key not in attrs:
            raise ArchError(f"{name} has no parameter '{key}'; {nearest(key, primitive.params)}", at=arg.at)
        if key in given:
            raise ArchError(f"{name} is given '{key}' twice", at=arg.at)
        given.add(key)
        attrs[key] = value
    return _complete(name, attrs)


def _complete(name: str, attrs: dict[str, Any]) -> dict[str, Any]:
    for key, value in attrs.items():
        if value is REQUIRED:
            raise ArchError(f"{name} needs '{key}'")
    return attrs
