"""explorer show: canonical text, drawing, closed form."""

from typing import Annotated

import typer

from explorer.cli.options import Classes, Input, Net, input_size

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
    if formula:
        from explorer.analysis.formula import formulas

        for line in formulas(net, size):
            typer.echo(line)
        return
    from explorer.catalog.source import source_of

    typer.echo(source_of(net))
    if svg is None and png is None:
        return
    import explorer
    from explorer.reports.drawing import draw

    graph = explorer.expand(net, input=size, classes=classes)
    for path, form in ((svg, "svg"), (png, "png")):
        if path is not None:
            draw(graph, path, form)
            typer.echo(f"wrote {path}")
