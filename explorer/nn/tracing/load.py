"""What a user names, FILE.py:FUNCTION or timm:NAME, to a torch module."""

import inspect
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from explorer.errors import UserError, nearest
from explorer.nn.tracing.failures import short
from explorer.nn.tracing.guard import same_randomness
from explorer.nn.tracing.named import named

_WRONG = "modifiers and arguments act on networks written in the grammar, not on torch modules"


@contextmanager
def foreign_module(text: str, values: bool = False) -> Iterator[nn.Module]:
    """The module that FILE.py:FUNCTION or timm:NAME means, importable while it is used.

    timm's have no values where that is possible, unless `values` are wanted. What its code prints goes to stderr,
    random states are kept. Raises UserError.
    """
    path, name = named(text)
    with redirect_stdout(sys.stderr), same_randomness():
        if path is None:
            yield _from_timm(name, values)
            return
        with _imported(path) as module:
            yield _from_module(module, str(path), name)


# --- a file ---


@contextmanager
def _imported(path: Path) -> Iterator[ModuleType]:
    """A file as a module of a private name; its folder can be imported from meanwhile."""
    folder = str(path.parent.resolve())
    name = f"_explorer_traced_{path.stem}"
    spec = spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None  # a .py file has both
    module = module_from_spec(spec)
    known, search, bytecode = dict(sys.modules), list(sys.path), sys.dont_write_bytecode
    sys.modules[name] = module
    sys.path.insert(0, folder)
    sys.dont_write_bytecode = True
    try:
        _execute(spec.loader, module, path)
        yield module
    finally:
        sys.dont_write_bytecode = bytecode
        sys.path[:] = search
        sys.modules.pop(name, None)
        if folder not in search:
            _forget(folder, known)


def _execute(loader: Any, module: ModuleType, path: Path) -> None:
    try:
        loader.exec_module(module)
    except SystemExit:
        raise UserError(
            f"'{path}' ends the program when it is imported; put that part under if __name__ == '__main__'"
        ) from None
    except ModuleNotFoundError as error:
        hint = "imports are looked up in its folder, in PYTHONPATH and among what is installed"
        raise UserError(f"'{path}' cannot be imported: {short(error)}; {hint}") from None
    except Exception as error:
        raise UserError(f"'{path}' cannot be imported: {short(error)}") from None


def _forget(folder: str, known: dict[str, ModuleType]) -> None:
    """Modules that were found in the folder, so that another file's neighbours of the same names are its own."""
    tops = {
        name
        for name, module in list(sys.modules.items())
        if "." not in name and name not in known and folder in _homes(module)
    }
    for name in list(sys.modules):
        if name.partition(".")[0] in tops:
            del sys.modules[name]


def _homes(module: ModuleType) -> list[str]:
    """The folders in which a top-level module or package lies."""
    packages = [str(Path(p).parent) for p in getattr(module, "__path__", ())]
    file = getattr(module, "__file__", None)
    return packages or ([str(Path(file).parent)] if file else [])


def _from_module(module: ModuleType, path: str, name: str) -> nn.Module:
    known = [n for n, thing in vars(module).items() if not n.startswith("_") and _is_candidate(thing, module)]
    if not name:
        raise UserError(f"name a function that returns a torch module: {path}:FUNCTION; {nearest('', known)}")
    if not name.isidentifier():
        raise UserError(f"'{name[:100]}' is no name of a function; {_WRONG}")
    if name not in vars(module):
        raise UserError(f"there is no '{name}' in '{path}'; {nearest(name, known)}")
    thing = vars(module)[name]
    if isinstance(thing, nn.Module):
        return thing
    if not callable(thing):
        raise UserError(f"'{name}' in '{path}' is no function but {_described(thing)}; {nearest('', known)}")
    required = _required(thing)
    if required:
        raise UserError(
            f"'{name}' in '{path}' needs {', '.join(required)}: give defaults, or write a function without arguments"
        )
    try:
        made = thing()
    except (Exception, SystemExit) as error:
        raise UserError(f"{name}() in '{path}' fails: {short(error)}") from None
    if not isinstance(made, nn.Module):
        raise UserError(f"{name}() in '{path}' returns {_described(made)}, not a torch module")
    return made


def _is_candidate(thing: Any, module: ModuleType) -> bool:
    return isinstance(thing, nn.Module) or (callable(thing) and getattr(thing, "__module__", "") == module.__name__)


def _required(function: Any) -> list[str]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # written in C
        return []
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p.name for p in parameters if p.default is p.empty and p.kind not in variable]


def _described(thing: Any) -> str:
    if thing is None:
        return "nothing"
    name = type(thing).__name__
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


# --- timm ---


def _from_timm(name: str, values: bool) -> nn.Module:
    """A model of timm, not trained."""
    try:
        timm = _import_timm()
    except Exception as error:
        raise UserError(f"timm cannot be imported: {short(error)}") from None
    if not re.fullmatch(r"[\w.-]+", name):
        raise UserError(f"'{name[:100]}' is no name of a timm model; {_WRONG}")
    if not timm.is_model(name):
        raise UserError(f"timm has no model '{name[:100]}'; {nearest(name, timm.list_models())}")
    if not values:
        with suppress(Exception), torch.device("meta"):  # some constructors compute with values
            return _created(timm, name)
    try:
        return _created(timm, name)
    except Exception as error:
        raise UserError(f"timm cannot make '{name}': {short(error)}") from None


def _import_timm() -> Any:
    try:
        import timm
    except RuntimeError:  # a torchvision for CUDA beside a torch for the CPU: its operators do not load
        _declare_detection()
        import timm
    return timm


@cache
def _declare_detection() -> Any:
    """The two operators that torchvision describes when it is imported; nothing that is traced calls them."""
    library: Any = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library


def _created(timm: Any, name: str) -> nn.Module:
    model: nn.Module = timm.create_model(name, pretrained=False)
    return model
