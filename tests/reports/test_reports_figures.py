"""Figures show the store's and the paper's numbers, and their labels can be read."""

import csv
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox
from reports_store import LARGE, SMALL, history, noisy, write_single, write_sweep

import explorer
from explorer.errors import UserError
from explorer.reports import report
from explorer.reports.accuracy import accuracy_figure, points_of
from explorer.reports.claims import compare
from explorer.reports.columns import COLUMNS, column
from explorer.reports.curves import best_variant, candidates, curve, curves_figure, drawn
from explorer.reports.differences import differences_figure, shown
from explorer.reports.names import family_of, is_recalibrated, short_names
from explorer.reports.printed import concerns, panels, printed_points
from explorer.reports.report import write_report
from explorer.reports.study import read

MACS, TEST = COLUMNS["macs"], COLUMNS["test_error"]
PRINTED = panels("digits", [], "macs", "test_error")
MANY = ["resnet20", "resnet32", "resnet56", "densenet_bc(depth=22, k=12)", "densenet_bc(depth=40, k=12)"]


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A study of five bases in two families, costs an order of magnitude apart."""
    workspace = tmp_path_factory.mktemp("many")
    levels = dict(zip(MANY, (0.30, 0.25, 0.22, 0.24, 0.18), strict=True))
    write_sweep(workspace, lambda b, s, seed: levels[b] - 0.01 * len(s) + 0.01 * seed, bases=MANY, scales=(1, 2, 4))
    (study,) = read(workspace).studies
    return study


def test_points_are_the_means_of_the_rows(trouble):
    (study,) = read(trouble).studies
    points = points_of(study, MACS, TEST)
    assert len(points) == 8
    for point in points:
        assert point.x == point.row.network.macs
        assert point.y == pytest.approx(100 * point.row.sample("test_error").mean)
        assert point.starred == bool(point.row.scales) and point.full == (point.row.scales == (1, 2))


def test_networks_without_a_value_are_no_points(tmp_path):
    write_sweep(tmp_path, lambda base, scales, seed: None if scales else 0.3, seeds=1)
    (study,) = read(tmp_path).studies
    assert [point.row.scales for point in points_of(study, MACS, TEST)] == [()]


def test_printed_points_are_those_of_the_papers_table_2():
    path = Path(explorer.__file__).parent / "catalog" / "reported.csv"
    table = [row for row in csv.DictReader(path.open()) if (row["paper"], row["table"]) == ("ms-sar", "2")]
    points = {point.name: point for point in printed_points("macs", "test_error")}
    assert list(points) == [f"{n}{s}" for n in ("RN-20", "RN-32", "RN-56", "DN-100", "DN-190") for s in ("", "*")]
    for row in table:
        if row["dataset"] == "cifar10" and row["name_in_paper"] in points:
            point = points[row["name_in_paper"]]
            if row["metric"] == "error":
                assert 100 * point.y == pytest.approx(float(row["printed"]))
            if row["metric"] == "flops":
                assert point.x == pytest.approx(float(row["printed"][:-1]) * {"M": 1e6, "G": 1e9}[row["printed"][-1]])
    params = [point.x for point in printed_points("params", "test_error")]
    assert params[0] == pytest.approx(270_000) and params[-1] == pytest.approx(32_700_000)
    assert printed_points("activations", "test_error") == printed_points("macs", "train_error") == []


def test_the_panels_are_the_datas_own_and_both_for_the_papers_figure():
    asked = {("digits", ""): ["cifar10"], ("cifar10", ""): ["cifar10"], ("cifar100", ""): ["cifar100"]}
    asked |= {(data, "ms-sar/fig5"): ["cifar10", "cifar100"] for data in ("digits", "cifar10", "cifar100")}
    for (data, experiment), datasets in asked.items():
        assert list(panels(data, [experiment], "macs", "test_error")) == datasets
    assert panels("digits", ["ms-sar/fig5"], "depth", "test_error") == {}
    small, large = panels("digits", ["ms-sar/fig5"], "macs", "test_error").values()
    assert [(a.name, a.x) for a in small] == [(b.name, b.x) for b in large]  # costs are printed once
    assert [100 * large[0].y, 100 * large[-1].y] == pytest.approx([31.87, 16.92])


def test_printed_points_stand_beside_networks_that_they_concern(tmp_path):
    texts = {"gunn15": False, "resnet20": False, "resnet20 + mssar(1, 2)": True}
    for number, (text, concerned) in enumerate(texts.items()):
        write_single(tmp_path / str(number), text, 0.1)
        (study,) = read(tmp_path / str(number)).studies
        assert concerns(study.rows, []) is concerned and concerns(study.rows, ["ms-sar/fig5"]), text
    write_sweep(tmp_path / "swept", lambda base, scales, seed: 0.3, seeds=1)
    (study,) = read(tmp_path / "swept").studies
    assert concerns(study.rows, [])


def test_only_sizes_are_joined(tmp_path):
    others = [f"gunn15-slim{form}" for form in ("", "(residual = no)", "(parts = [24, 36, 48])")]
    bases = ["resnet20", "resnet32", SMALL, LARGE, *others]
    write_sweep(tmp_path, lambda base, scales, seed: 0.3 + 0.01 * seed, bases=bases, scales=None, seeds=2)
    (study,) = read(tmp_path).studies
    points = points_of(study, MACS, TEST)
    axes = accuracy_figure(points, {}, MACS, TEST).axes[0]
    assert [len(line.get_xdata()) for line in axes.lines if line.get_linestyle() == "-"] == [2, 2]
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts == ["resnet", "cifar_resnet", "gunn-slim"]
    (picture,) = report._accuracy(study, (COLUMNS["params"], TEST), "")
    assert picture.caption.startswith("Lines join the sizes") and "MS-SAR" not in picture.caption


def test_what_is_printed_are_no_flops_where_parameters_are_drawn(sound):
    (study,) = read(sound).studies
    for x, told in ((MACS, True), (COLUMNS["params"], False)):
        (picture,) = report._accuracy(study, (x, TEST), "")
        assert "Circles are plain" in picture.caption and ("FLOPs are multiply-adds" in picture.caption) == told


def test_both_panels_of_the_papers_figure_are_drawn_and_said_to_be_printed(many):
    both = panels("digits", ["ms-sar/fig5"], "macs", "test_error")
    _, *papers = accuracy_figure(points_of(many, MACS, TEST), both, MACS, TEST).axes
    assert [axes.get_ylabel() for axes in papers] == ["test error on CIFAR-10 (%)", "test error on CIFAR-100 (%)"]
    for axes, points in zip(papers, both.values(), strict=True):
        assert "as printed" in axes.get_title(loc="left") and "not ours" in axes.get_title(loc="left")
        drawn_at = {tuple(place) for line in axes.lines for place in line.get_xydata()}
        assert {(point.x, 100 * point.y) for point in points} <= drawn_at


def visible_texts(figure):
    """The boxes of all labels inside the panels, in pixels."""
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    for axes in figure.axes:
        for text in axes.texts:
            yield axes, text, Text.get_window_extent(text, renderer)


def test_labels_of_the_accuracy_figure_do_not_overlap(many):
    points = points_of(many, MACS, TEST)
    figure = accuracy_figure(points, PRINTED, MACS, TEST)
    found = list(visible_texts(figure))
    assert {text.get_text() for _, text, _ in found} >= {
        "resnet20",
        "resnet56",
        "depth=40",
        "RN-20",
        "DN-190*",
    }
    for (_, a, box), (_, b, other) in combinations(found, 2):
        assert Bbox.intersection(box, other) is None, (a.get_text(), b.get_text())
    for axes, text, box in found:
        assert isinstance(text, Annotation)
        assert Bbox.intersection(box, axes.bbox) is not None
        marks = [axes.transData.transform(xy) for line in axes.lines[:4] for xy in line.get_xydata()]
        assert not any(box.contains(*mark) for mark in marks), text.get_text()


def test_the_cost_axis_is_logarithmic_only_where_needed(many, sound):
    (near,) = read(sound).studies
    wide = accuracy_figure(points_of(many, MACS, TEST), {}, MACS, TEST)
    narrow = accuracy_figure(points_of(near, MACS, TEST), {}, MACS, TEST)
    assert (wide.axes[0].get_xscale(), narrow.axes[0].get_xscale()) == ("log", "linear")


def test_the_words_along_a_cost_axis_of_many_decades_do_not_overlap(many):
    points = points_of(many, MACS, TEST)
    points = [replace(points[0], x=0.9e6), *points[1:-1], replace(points[-1], x=11e9)]
    figure = accuracy_figure(points, panels("digits", [], "macs", "test_error"), MACS, TEST)
    figure.draw_without_rendering()
    axis = figure.axes[0].xaxis
    low, high = axis.get_view_interval()
    boxes = [t.label1.get_window_extent() for t in axis.get_major_ticks() if low <= t.get_loc() <= high]
    assert len(boxes) >= 4 and not any(a.overlaps(b) for a, b in combinations(boxes, 2))


def test_what_is_printed_is_said_to_be(many):
    figure = accuracy_figure(points_of(many, MACS, TEST), PRINTED, MACS, TEST)
    ours, paper = figure.axes
    assert "printed" in paper.get_title(loc="left") and "not ours" in paper.get_title(loc="left")
    assert "as printed" in paper.get_xlabel() and "CIFAR-10" in paper.get_ylabel()
    assert ours.get_facecolor() != paper.get_facecolor()


@pytest.mark.parametrize("x", ["params", "depth", "train_error"])
def test_axes_can_be_chosen(sound, tmp_path, x):
    files = write_report(sound, out=tmp_path, x=x, y="validation_error")
    assert f"against {COLUMNS[x].label}" in files.html.read_text()


def test_an_unknown_column_gives_the_nearest():
    with pytest.raises(UserError, match=r"--x: there is no column 'param'; did you mean 'params'"):
        column("param", "--x")
    with pytest.raises(UserError, match=r"--y: .*known: "):
        column("zzz", "--y")


def test_curves_are_means_over_finished_trials(trouble):
    findings = read(trouble)
    row = findings.studies[0].groups[0].rows[1]  # its seed 1 failed
    found = curve(row, findings.history([row]), "validation_error")
    last = [history(trial.test_error)[-1].validation_error for trial in row.done]
    assert found.epochs == tuple(range(1, 21)) and len(last) == 3
    assert found.mean[-1] == pytest.approx(100 * sum(last) / 3)
    assert found.std[-1] > 0


def test_a_curve_that_ends_before_some_seeds_did_says_so(trouble):
    findings = read(trouble)
    group = findings.studies[0].groups[1]
    history = findings.history(group.rows)
    assert "some went further" not in report._curves_caption(group, history)
    first, *others = group.rows
    longer = replace(first, trials=(replace(first.trials[0], epochs=21), *first.trials[1:]))
    assert "some went further" in report._curves_caption(replace(group, rows=(longer, *others)), history)


def test_every_scale_set_has_its_column_of_curves(trouble):
    findings = read(trouble)
    group = findings.studies[0].groups[1]
    figure = curves_figure(group, findings.history(group.rows))
    titles = [axes.get_title(loc="left") for axes in figure.axes[:3]]
    assert titles == ["{1}", "{2}", "{1,2}"] and len(figure.axes) == 9
    assert [len(axes.lines) for axes in figure.axes] == [2] * 9  # the plain network and the other


def test_bands_are_one_standard_deviation_to_each_side(trouble):
    findings = read(trouble)
    group = findings.studies[0].groups[1]
    epochs = findings.history(group.rows)
    found = curve(group.rows[1], epochs, "train_error")
    band = curves_figure(group, epochs).axes[3].collections[1].get_paths()[0].get_extents()
    assert band.y0 == pytest.approx(min(m - s for m, s in zip(found.mean, found.std, strict=True)))
    assert band.y1 == pytest.approx(max(m + s for m, s in zip(found.mean, found.std, strict=True)))


def test_a_single_epoch_has_a_bar_in_place_of_a_band(trouble):
    (study,) = read(trouble).studies
    group = study.groups[1]
    short = {trial.id: history(trial.test_error, epochs=1) for row in group.rows for trial in row.done}
    found = curve(group.rows[1], short, "validation_error")
    bars = curves_figure(group, short).axes[6].collections[1].get_segments()[0]
    assert [y for _, y in bars] == pytest.approx([found.mean[0] - found.std[0], found.mean[0] + found.std[0]])


def test_of_many_scale_sets_the_best_on_validation_are_drawn(tmp_path):
    write_sweep(tmp_path, lambda base, s, seed: 0.3 + 0.01 * sum(s) + 0.001 * seed, scales=(1, 2, 3, 4), seeds=2)
    findings = read(tmp_path)
    (group,) = findings.studies[0].groups
    plain, rows = drawn(group, findings.history(candidates(group)))
    assert plain is group.plain and len(group.variants) == 15 and len(rows) == 7
    assert max(sum(row.scales) for row in rows) <= 5
    assert best_variant(group).scales == (1,)


def test_the_figure_of_differences_shows_mean_and_interval(trouble):
    (study,) = read(trouble).studies
    comparisons = shown(compare(study).by_group[1])
    axes = differences_figure([(LARGE, comparisons)]).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["{1}", "{2}", "{1,2}"]
    drawn_at = {tuple(line.get_xdata()) for line in axes.lines}
    for comparison in comparisons:
        d = comparison.difference
        assert (100 * d.mean,) in drawn_at and (100 * d.low, 100 * d.high) in drawn_at


def test_families_and_short_names():
    families = {
        "resnet20": "resnet",
        "resnet56 + mssar(1,2)": "resnet",
        "densenet-bc-100-12": "densenet-bc",
        "seqresnet-b-k16-r7-n1": "seqresnet-b",
        "wrn-28-10": "wrn",
        "resnext50-32x4d": "resnext",
        "gunn15-nores": "gunn-nores",
        f"{SMALL} + se": "cifar_resnet + se",
    }
    assert {text: family_of(text) for text in families} == families
    assert short_names([SMALL, LARGE, "resnet20"]) == {SMALL: "n=1", LARGE: "n=2", "resnet20": "resnet20"}
    assert is_recalibrated("resnet20 + se + mssar(1)") and not is_recalibrated("resnet20 + se")


def test_a_report_about_bases_without_scales_says_nothing_of_them(tmp_path):
    write_sweep(tmp_path, lambda base, scales, seed: noisy(base, (), seed), bases=(SMALL, LARGE), scales=None)
    files = write_report(tmp_path)
    page = files.html.read_text()
    assert [path.name for path in files.figures] == ["accuracy.png", "curves-1.png"]
    assert "What these networks cost" in page and "Against plain" not in page
