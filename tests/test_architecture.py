"""The house stays one: imports go one way, and asking for a cost loads nothing heavy."""

import ast
import subprocess
import sys
from pathlib import Path

import explorer

PACKAGE = Path(explorer.__file__).parent
ORDER = ["errors", "blocks", "grammar", "catalog", "nn", "analysis", "api", "measure", "train", "sweep", "reports",
         "cli"]  # fmt: skip
MAY_NOT_IMPORT_TORCH = ["blocks", "grammar", "catalog", "cli", "reports", "api"]
HEAVY = ("torch", "pandas", "matplotlib.pyplot", "numpy", "sympy", "sklearn", "lark")


def room(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path, everywhere=True):
    """Modules a file imports; with everywhere=False only at import time."""
    tree = ast.parse(path.read_text())
    nodes = ast.walk(tree) if everywhere else tree.body
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_imports_go_one_way():
    wrong = []
    for path in PACKAGE.rglob("*.py"):
        here = room(path)
        if here in ("__init__", "__main__"):
            continue
        for name in imports(path):
            parts = name.split(".")
            ours = parts[0] == "explorer" and len(parts) > 1 and parts[1] in ORDER
            if ours and ORDER.index(parts[1]) > ORDER.index(here):
                wrong.append(f"{path.relative_to(PACKAGE)} imports {name}")
    # what is only needed for types or only when called may look up
    allowed = {"api.py imports explorer.nn.module"}
    assert sorted(set(wrong) - allowed) == []


def test_nothing_above_the_module_imports_torch():
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for path in PACKAGE.rglob("*.py")
        for name in imports(path)
        if room(path) in MAY_NOT_IMPORT_TORCH and name.split(".")[0] == "torch"
    ]
    assert wrong == []


def loaded(*arguments):
    code = (
        "import sys; sys.argv = ['explorer', *sys.argv[1:]]\n"
        "from explorer.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return done.stdout, done.stderr.strip().splitlines()[-1]


def test_help_and_cost_load_nothing_heavy():
    for arguments in (["--help"], ["cost", "gunn18"], ["cost", "gunn18", "--format", "json"], ["list", "gunn"],
                      ["show", "resnet50"]):  # fmt: skip
        output, heavy = loaded(*arguments)
        assert output and heavy == "[]", (arguments, heavy)


def test_packages_say_what_they_are():
    for path in PACKAGE.rglob("__init__.py"):
        assert ast.get_docstring(ast.parse(path.read_text())), path


def test_files_and_functions_are_small():
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text()
        assert text.count("\n") <= 420, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno <= 60, f"{path}: {node.name}"
