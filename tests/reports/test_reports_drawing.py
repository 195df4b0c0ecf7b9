"""Drawings: every stage is there with its numbers, repeats and folds are told apart, text fits its box."""

import re
from itertools import pairwise

import numpy as np
import pytest

import explorer
from explorer.errors import UserError
from explorer.reports.diagram.glyph import cells
from explorer.reports.diagram.items import Box, Fold, Gate
from explorer.reports.diagram.marks import Rectangle, Text, text_width
from explorer.reports.diagram.sheet import page_of
from explorer.reports.diagram.structure import diagram_of
from explorer.reports.drawing import draw, picture
from explorer.reports.numbers import count

NETWORKS = [
    "resnet20",
    "resnet50 + wseqconv(k=32) + mssar(1,2,4)",
    "densenet190",
    "gunn18",
    "seqresnext24",
    "vgg16",
    "wrn-28-10 + se",
    "shakeshake-26-2x96d",
    "highway",
    "dsn",
]


@pytest.mark.parametrize("network", NETWORKS)
def test_every_stage_is_drawn_with_its_shape_and_cost(network):
    cost = explorer.cost(network)
    svg = picture(cost.graph, "svg").decode()
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    for stage in cost.tree(1)["children"]:
        channels, height, width = stage["shape"]
        assert stage["name"] in texts
        assert (str(channels) if (height, width) == (1, 1) else f"{channels}×{height}×{width}") in texts
        assert count(stage["columns"]["params"]) in texts and count(stage["columns"]["macs"]) in texts
    assert any(f"{cost.params:,} parameters, {cost.macs:,} multiply-adds" in text for text in texts)


@pytest.mark.parametrize("network", NETWORKS)
def test_text_stays_inside_the_sheet_and_rows_do_not_overlap(network):
    page = page_of(diagram_of(explorer.expand(network)))
    for text in (mark for mark in page.sheet.marks if isinstance(mark, Text)):
        width = text_width(text.text, text.size, text.bold)
        left = text.x - {"left": 0, "center": width / 2, "right": width}[text.anchor]
        assert left >= 0 and left + width <= page.width and 0 < text.y < page.height, text.text
    rows = [mark for mark in page.sheet.marks if isinstance(mark, Rectangle) and mark.style == "row"]
    for row, following in pairwise(rows):
        assert row.y + row.height < following.y
    inside = [m for m in page.sheet.marks if isinstance(m, Rectangle) and m.style in ("box", "fold", "conv", "gate")]
    for mark in inside:
        holders = [row for row in rows if row.y <= mark.y <= row.y + row.height]
        assert all(mark.y + mark.height <= row.y + row.height for row in holders)


def blocks(network, stage):
    diagram = diagram_of(explorer.expand(network))
    return next(row for row in diagram.rows if row.name == stage).chain


def test_equal_blocks_are_one_box_with_a_count():
    first, second = blocks("resnet56", "stage2").items
    assert isinstance(first, Box) and isinstance(second, Box)
    assert (first.title, first.count, second.title, second.count) == ("basic", 1, "basic", 8)
    (only,) = blocks("resnet56", "stage1").items
    assert only.count == 9


def test_a_projection_shortcut_lies_on_its_path():
    first, second = blocks("resnet20", "stage2").items
    (projection,), (identity,) = first.chain.skips, second.chain.skips
    assert [chip.lines for chip in projection.branch] == [("1×1 /2", "32"), ("bn",)]
    assert identity.branch == () and first.chain.items[projection.end].lines == ("+",)


def test_repeated_ops_are_drawn_once():
    run, pool = blocks("vgg16", "stage3").items
    assert (run.title, run.count) == ("", 3) and pool.lines == ("max", "2×2 /2")
    assert [chip.lines for chip in run.chain.items] == [("3×3", "256"), ("relu",)]


def test_gates_are_marked_with_their_scales():
    (box,) = blocks("resnet20 + mssar(1,4)", "stage1").items
    assert Gate(("MS-SAR", "{1,4}")) in box.chain.items
    (fold,) = blocks("densenet100 + se", "dense1").items
    assert any(isinstance(item, Gate) and item.lines == ("SE",) for item in fold.chain.items)


@pytest.mark.parametrize(
    ("network", "stage", "kind", "parts", "current"),
    [
        ("gunn18", "conv3", "update", 20, True),
        ("sunn18", "conv3", "update", 20, False),
        ("densenet190", "dense1", "grow", 31, True),
        ("sparsenet-bc-100-24", "dense1", "sparse", 16, True),
        ("seqresnext24", "head", "aggregate", 8, True),
    ],
)
def test_folds_say_what_they_are(network, stage, kind, parts, current):
    (fold,) = blocks(network, stage).items
    assert isinstance(fold, Fold)
    assert (fold.kind, fold.parts, fold.current) == (kind, parts, current)
    assert str(parts) in fold.title
    drawn = len(cells(kind, parts, current))
    assert (f"({drawn} drawn)" in fold.title) == (drawn < parts)


@pytest.mark.parametrize(("network", "unread"), [("resnet20 + wseqconv(k=8)", True), ("gunn18", False)])
def test_the_legend_names_every_colour_of_the_cells(network, unread):
    marks = page_of(diagram_of(explorer.expand(network))).sheet.marks
    said = {mark.text for mark in marks if isinstance(mark, Text)}
    assert {"read as it was given", "made by this part"} <= said and ("not read" in said) == unread
    assert any(isinstance(mark, Rectangle) and mark.style == "empty" for mark in marks) == unread


def test_the_second_layer_of_a_seqconv_block_reads_the_raw_stream():
    (block,) = blocks("seqresnext24", "stage3").items
    assert (block.title, block.count, [fold.kind for fold in block.chain.items]) == (
        "seq_block",
        3,
        ["windowed"] * 2,
    )
    (raw,) = block.chain.skips
    assert (raw.start, raw.end) == (0, 1)
    (own,) = block.chain.items[1].chain.skips
    assert own.label == "own part"


def test_the_staircase_is_what_the_folds_read():
    new, old, made, empty = "new", "old", "made", "empty"
    assert cells("update", 3, True) == [[made, old, old], [new, made, old], [new, new, made]]
    assert cells("update", 3, False) == [[made, old, old], [old, made, old], [old, old, made]]
    assert cells("grow", 2, True) == [[old, old, made, empty], [old, old, new, made]]
    assert cells("windowed", 2, True) == [[old, old, made, empty], [empty, old, new, made]]
    assert cells("sparse", 3, True) == [
        [old, old, made, empty, empty],
        [old, old, new, made, empty],
        [empty, empty, new, new, made],
    ]
    assert len(cells("grow", 31, True)) == 6


BRANCHED = """
network branched(classes = 10) {
  input 3x32x32
  conv(3x3, 8)
  add { left: basic(8) | right: conv(1x1, 8) | it }
  head: gap, linear(classes)
}
"""


def test_values_that_pass_over_stages_are_links():
    diagram = diagram_of(explorer.expand(BRANCHED))
    names = [row.name for row in diagram.rows]
    assert names == ["conv", "left", "right", "add", "head"]
    conv, left, right, add, head = range(5)
    passing = {(conv, left), (conv, right), (conv, add), (left, add), (right, add), (add, head)}
    assert set(diagram.links) == {(-1, conv), *passing}


def test_a_value_that_a_block_hands_through_is_drawn_where_it_was_made():
    gate = "block gate { conv(3x3, in), sigmoid, tap(T), entry }\nblock use { multiply { it | entry.T } }\n"
    text = gate + "network n { input 3x8x8, a: conv(3x3, 4), b: { gate, use }, c: gate }"
    diagram = diagram_of(explorer.expand(text))
    assert set(diagram.links) == {(-1, 0), (0, 1), (1, 2)}


def _chips(chain):
    for item in (*chain.items, *(item for skip in chain.skips for item in skip.branch)):
        yield from _chips(item.chain) if isinstance(item, Box) else [item]


def test_the_ops_of_random_networks_say_what_they_do():
    chips = {chip.lines for name in ("stage1", "stage2") for chip in _chips(blocks("stochastic_depth(1)", name))}
    assert {("drop path", "0.167"), ("drop path", "0.333"), ("pad",), ("+",)} <= chips
    assert ("-x", "+1") in {chip.lines for chip in _chips(blocks("highway", "conv1"))}
    assert ("shuffle", "450 groups") in {chip.lines for chip in _chips(blocks("igc-l450m2", "stage1"))}
    assert {("join",), ("drop", "0.1")} <= {chip.lines for chip in _chips(blocks("fractalnet21", "stage2"))}
    shaken = {chip.lines for chip in _chips(blocks("shakeshake-26-2x96d", "stage1"))}
    assert {("shake",), ("shift", "by 1"), ("cat",)} <= shaken


def test_long_networks_are_shortened_not_refused():
    text = "network long(classes = 10) { input 3x8x8\n" + "\n".join(f"s{i}: conv(3x3, {i + 1})" for i in range(90))
    diagram = diagram_of(explorer.expand(text + "\nhead: gap, linear(classes) }"))
    assert len(diagram.rows) == 40 and diagram.rows[20].name == "52 more stages"
    assert diagram.params == explorer.cost(text + "\nhead: gap, linear(classes) }").params


def test_the_file_type_follows_the_name_or_the_argument(tmp_path):
    graph = explorer.expand("resnet20")
    assert draw(graph, tmp_path / "a.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert draw(graph, str(tmp_path / "a.SVG")).read_text().startswith("<?xml")
    assert draw(graph, tmp_path / "plain", "svg").read_text().startswith("<?xml")
    with pytest.raises(UserError, match=r"neither in \.svg nor in \.png"):
        draw(graph, tmp_path / "a.gif")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.SVG", "a.png", "plain"]


def test_the_same_network_gives_the_same_file():
    graph = explorer.expand("cifar_resnet(n=1)")
    assert picture(graph, "svg") == picture(graph, "svg") and picture(graph, "png") == picture(graph, "png")


def test_an_unwritable_place_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"--svg: cannot write .*No such file or directory"):
        draw(explorer.expand("resnet20"), tmp_path / "nowhere" / "a.svg")
    assert list(tmp_path.iterdir()) == []


def test_only_whole_numbers_can_be_drawn():
    graph = explorer.expand("resnet20", classes=np.array([10, 100]))
    with pytest.raises(UserError, match="only a network of whole numbers"):
        picture(graph, "svg")
