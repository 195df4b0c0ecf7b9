"""docs/modifiers.md: every modifier on every family of the catalog, as it comes out. UPDATE_DOCS=1 writes it anew."""

import os
from functools import cache
from itertools import product
from pathlib import Path

import pytest

import explorer
from explorer.errors import ArchError
from explorer.grammar.library import Library, shipped

PAGE = Path(__file__).parents[2] / "docs" / "modifiers.md"
MODIFIERS = {
    "mssar(1, 2, 4)": "Multi-scale spatially-asymmetric recalibration, in the slot `recalibrate`.",
    "se": "Squeeze-and-excitation, in the slot `recalibrate`; `se(at = output)` stands where SENet has it.",
    "seqconv(k = 8)": "Each 3x3 convolution in groups of 8 channels, every group reading all groups before it.",
    "wseqconv(k = 8)": "The windowed form: every group reads as many channels as the convolution did, at equal cost.",
    "gunn(parts = 4)": "Convolutions of equal input and output width update their channels in 4 parts, one by one.",
    "sunn(parts = 4)": "The same parts, all reading the layer's input.",
}
ALSO = ("sparsenet-bc-100-24", "resnext50-32x4d", "seqresnext24")  # variants that a family's first network is not
COMBINED = (
    "resnext50-32x4d + wseqconv(k = 32, c = 8) + mssar(1, 2, 4)",
    "resnet50 + mssar(1, 2, 4) + wseqconv(k = 32)",
    "resnet50 + gunn(parts = 8) + se(at = output)",
    "densenet121 + seqconv(k = 8) + mssar(1, 2)",
    "preact-resnet164 + wseqconv(k = 8) + gunn(parts = 4)",
    "sparsenet-bc-100-24 + wseqconv(k = 8) + mssar(1, 2, 4)",
    "dpn92 + wseqconv(k = 48, c = 16) + se",
    "wrn-28-10 + gunn(parts = 8) on stage3 + mssar(1, 2, 4)",
)
HEAD = """# Modifiers on every family

What each modifier does to one network of every family of the catalog, at the network's own image size. This page is
written by running it: `UPDATE_DOCS=1 pytest tests/catalog/test_modifiers.py`.

A *place* is a slot that is filled or a convolution that is rewritten. *Left alone* are convolutions of the right kernel
that the modifier does not apply to, with its reason. A modifier that changes nothing is an error, whose message stands
here in place of the numbers. Parameters and MACs are what the modifier adds; where that is 0, the same multiplications
are wired differently (only `seqresnet-k8-r4-n1`, already in groups of 8 channels, is what it was under `k = 8`).
"""


def representatives():
    """One network of every family: itself where it needs no arguments, else the first one derived from it."""
    library = Library()
    networks = {name: library.find(name) for name, place in shipped().items() if place.kind == "network"}
    derived = {}
    for name, network in networks.items():
        if network.base is not None:
            derived.setdefault(network.base.call.name, name)
    families = [name for name, network in networks.items() if network.body is not None]
    complete = [all(param.default is not None for param in networks[name].params) for name in families]
    return [name if whole else derived[name] for name, whole in zip(families, complete, strict=True)] + list(ALSO)


@cache
def plain(net):
    return explorer.cost(net)


def more(after, before):
    """What was added: 33,816 (+12.50%)."""
    added = after - before
    if added == 0:
        return "0"
    share = f"{added / before:+.2%}"
    return f"{added:,} ({share if share.strip('+-0.%') else 'below 0.01%'})"


@cache
def row_of(net, modifiers):
    """The cells of NET + modifiers: places changed, places left, parameters, MACs; or none and the message."""
    try:
        made, before = explorer.cost(f"{net} + {modifiers}"), plain(net)
    except ArchError as error:
        return ["none", error.message, "-", "-"]
    changes = made.graph.root.changes
    changed = sum(change.places for change in changes if change.reason is None)
    left = "; ".join(f"{change.places}: {change.reason}" for change in changes if change.reason)
    return [str(changed), left, more(made.params, before.params), more(made.macs, before.macs)]


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def page():
    """The page as it should be."""
    networks = representatives()
    rows = {modifier: {net: row_of(net, modifier) for net in networks} for modifier in MODIFIERS}
    overview = [[f"`{net}`", *[rows[modifier][net][0] for modifier in MODIFIERS]] for net in networks]
    parts = [HEAD, "## Places changed\n", table(["network", *[f"`{m}`" for m in MODIFIERS]], overview)]
    for modifier, about in MODIFIERS.items():
        parts += [f"## `{modifier}`\n", f"{about}\n"]
        head = ["network", "places", "left alone, or the error", "parameters", "MACs"]
        parts.append(table(head, [[f"`{net}`", *cells] for net, cells in rows[modifier].items()]))
    parts += ["## Several at once\n", "Modifiers act from left to right; places are those of all of them.\n"]
    together = [[f"`{text}`", *row_of(*text.split(" + ", 1))] for text in COMBINED]
    parts.append(table(["network", "places", "left alone", "parameters", "MACs"], together))
    return "\n".join(parts)


def test_the_page_is_what_running_it_gives():
    if os.environ.get("UPDATE_DOCS"):
        PAGE.write_text(page())
    assert PAGE.read_text() == page(), "stale: run UPDATE_DOCS=1 pytest tests/catalog/test_modifiers.py"


def test_the_page_has_every_modifier():
    rewrites = {name for name, place in shipped().items() if place.kind == "rewrite"}
    gates = {name for name, place in shipped().items() if place.source.name == "recalibration.arch"}
    assert {modifier.partition("(")[0] for modifier in MODIFIERS} == rewrites | gates


@pytest.mark.parametrize("net", representatives())
def test_recalibration_and_rewriting_compose_in_either_order(net):
    places = {modifier: row_of(net, modifier)[0] for modifier in MODIFIERS}
    for gate, rewrite in product(("mssar(1, 2, 4)", "se"), ("seqconv(k = 8)", "wseqconv(k = 8)", "gunn(parts = 4)")):
        if "none" not in (places[gate], places[rewrite]):
            both = str(int(places[gate]) + int(places[rewrite]))
            assert row_of(net, f"{gate} + {rewrite}")[0] == row_of(net, f"{rewrite} + {gate}")[0] == both
