"""The figure of depth and receptive field: its marks are the distributions, and it is there where it says something."""

from itertools import combinations

import pytest
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from reports_store import SMALL, write_sweep

import explorer
from explorer.reports import reach_figure
from explorer.reports.reach_figure import STAGES, strip, strips_of, worth_showing
from explorer.reports.report import write_report
from explorer.reports.study import read

LAYER = """network plain { input 3x32x32
  conv1: conv(3x3, 12), bn, relu
  layer: conv(3x3, 12), bn, relu
  fc: gap, linear(10)
}"""
VARIANTS = ["", " + sunn(parts = 4)", " + gunn(parts = 4)", " + wseqconv(k = 3)"]


def of(*texts):
    return [strip(text, explorer.expand(text)) for text in texts]


def layers():
    return of(*(f"{LAYER}\nnetwork variant = plain{variant}" for variant in VARIANTS))


def marks(axes):
    """[row][stage]: {place: height} of every mark."""
    found = {}
    for lines in axes.collections:
        for segment in lines.get_segments():
            (x, low), (_, high) = segment
            found.setdefault(round((low + high) / 2), []).append((x, (high - low) / 2))
    return found


def test_a_mark_for_each_value_as_high_as_it_is_common():
    depth, field = reach_figure.reach_figure(layers(), 32).axes
    wanted = {0: [1, 2], 1: [1, 2], 2: [1, 2, 3, 4, 5], 3: [1, 2, 3, 4, 5]}
    assert {row: [x for x, _ in own] for row, own in marks(depth).items()} == wanted
    assert [x for x, _ in marks(field)[3]] == [3, 5, 7, 9, 11]
    assert {round(height, 6) for own in marks(depth).values() for _, height in own} == {0.38}
    dense = reach_figure.reach_figure(of("densenet_bc(depth = 22, k = 4)", "resnet20"), 32).axes[0]
    heights = dict(marks(dense)[0][1:5])
    assert heights[1] == 0.38 and heights[3] == heights[5] == pytest.approx(0.38 / 2)  # 8 channels handed on, 4 made


def test_later_stages_are_darker():
    colours = [
        lines.get_colors()[0][:3].sum() for lines in reach_figure.reach_figure(layers(), 32).axes[0].collections[:2]
    ]
    assert colours[0] > colours[1] and tuple(STAGES(0.0)) != tuple(STAGES(1.0))


def test_what_sees_the_whole_image_has_a_place_of_its_own():
    figure = reach_figure.reach_figure(of("resnet20", "resnet20 + mssar(1)"), 32)
    axes = figure.axes[1]
    finite = max(x for x, _ in marks(axes)[0])
    assert [x > finite for x, _ in marks(axes)[1]] == [False, True, True, True]
    assert "whole\nimage" in [text.get_text() for text in axes.texts]
    assert not any(label.get_text() for label in axes.get_xticklabels() if label.get_position()[0] > 1.3 * finite)


def test_texts_do_not_overlap():
    figure = reach_figure.reach_figure(of("gunn15", "sunn15", "resnet20 + mssar(1)", "resnet20 + wseqconv(k = 4)"), 32)
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    for axes in figure.axes:
        texts = [*axes.texts, *axes.get_xticklabels(), axes.xaxis.label, axes.title, axes._left_title]
        boxes = [Text.get_window_extent(text, renderer) for text in texts if text.get_text()]
        assert len(boxes) > 6
        assert all(Bbox.intersection(a, b) is None for a, b in combinations(boxes, 2))


def test_it_is_worth_showing_where_channels_of_a_map_differ():
    assert worth_showing(layers())
    assert not worth_showing(of("resnet20", "resnet32", "resnet20 + mssar(1, 2)"))  # one value for all channels
    assert not worth_showing(of("gunn15", "gunn15"))  # the same twice
    assert worth_showing(of("gunn15", "sunn15"))


def test_the_report_of_a_sweep_has_it(tmp_path, monkeypatch):
    monkeypatch.setattr(reach_figure, "MOST", 2)
    bases = [f"{SMALL} + gunn(parts = {parts})" for parts in (2, 3, 4)]
    write_sweep(tmp_path, lambda base, scales, seed: 0.3, bases=bases, scales=None, seeds=1)
    labels = [s.label for s in strips_of(read(tmp_path).studies[0])]
    assert labels == [f"cifar_resnet + gunn(parts = {parts})" for parts in (2, 3)]
    files = write_report(tmp_path)
    assert "reach.png" in [path.name for path in files.figures]
    page = files.html.read_text()
    assert "Depth and receptive field of channels" in page and "The first 2 of 3 networks" in page


def test_scale_sets_are_named_as_elsewhere(trouble):
    strips = strips_of(read(trouble).studies[0])
    assert [s.label for s in strips[:4]] == ["n=1 plain", "n=1 {1}", "n=1 {2}", "n=1 {1,2}"]
    assert not worth_showing(strips)
