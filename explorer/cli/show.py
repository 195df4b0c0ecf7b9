"""explorer show: canonical text, drawing, closed form."""

from typing import Annotated

import typer

from explorer.cli.options import Classes, Input, Net, input_size
from explorer.errors import UserError

Svg = Annotated[str | None, typer.Option("--svg", metavar="FILE", help="Write the drawing as SVG.")]
Png = Annotated[str | None, typer.Option("--png", metavar="FILE", help="Write the drawing as PNG.")]
Formula = Annotated[bool, typer.Option("--formula", help="Print the closed form of its cost.")]


def show(
    net: Net,
    svg: Svg = None,
    png: Png = None,
    formula: Formula = False,
    input: Input = None,
    classes: Classes = None,
) -> None:
    """The canonical text of a network or block; its drawing; its cost as a formula."""
    size = input_size(input)
    drawings = {form: path for form, path in (("svg", svg), ("png", png)) if path is not None}
    for form, path in drawings.items():
        if not path.lower().endswith(f".{form}"):
            raise UserError(f"--{form}: '{path[:200]}' does not end in .{form}")
    if formula:
        from explorer.analysis.formula import formulas

        for line in formulas(net, size):
            typer.echo(line)
        return
    from explorer.catalog.source import source_of

    primitive = None if drawings else _primitive(net.strip())
    typer.echo(source_of(net) if primitive is None else primitive)
    if not drawings:
        return
    import explorer
    from explorer.reports.drawing import draw

    graph = explorer.expand(net, input=size, classes=classes)
    for form, path in drawings.items():
        draw(graph, path, form)
        typer.echo(f"wrote {path}")


def _primitive(name: str) -> str | None:
    """What is said of a primitive, join or fold, which has no text of its own; None for other names."""
    from explorer.blocks.ops import PRIMITIVES
    from explorer.grammar.folds import FOLDS

    if name in PRIMITIVES:
        return f"{PRIMITIVES[name].doc}\n{name} is a primitive of the grammar (docs/grammar.md)"
    if name in FOLDS:
        return f"{(FOLDS[name].__doc__ or '').strip()}\n{name} is a fold of the grammar (docs/grammar.md)"
    return None
