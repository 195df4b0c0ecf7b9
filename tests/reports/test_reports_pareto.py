"""The Pareto front and its knee, the errors of design spaces, and experiments beside what the papers print."""

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.text import Text
from reports_store import DATA, noisy, trial, write_sweep

import explorer
from explorer.reports import report
from explorer.reports.columns import COLUMNS
from explorer.reports.edf import SpaceErrors, edf_figure, spaces_of
from explorer.reports.experiment import experiments_of
from explorer.reports.pareto import Point, front_of, knee, pareto_figure, undominated
from explorer.reports.report import write_report
from explorer.reports.statistics import Sample
from explorer.reports.study import read
from explorer.sweep.candidates import DIGEST, Candidate, costed
from explorer.sweep.records import DIVERGED, FAILED
from explorer.sweep.sampling import DesignSpace
from explorer.sweep.store import Store

MACS, PARAMS, ERROR = COLUMNS["macs"], COLUMNS["params"], COLUMNS["validation_error"]


def points(places):
    return [Point(None, "", "", Sample(x, None, 1), Sample(y, None, 1)) for x, y in places]


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=12))
def test_the_front_is_what_no_other_beats(places):
    best = [
        (x, y)
        for x, y in places
        if not any(a <= x and b <= y and (a, b) != (x, y) for a, b in places)
    ]  # fmt: skip
    assert [point.place for point in undominated(points(places))] == sorted(best)


def distance_below(place, first, last):
    """How far a place lies below the line through two others, by the formula of the distance to a line."""
    (x, y), (x0, y0), (x1, y1) = place, first, last
    return ((x1 - x0) * (y0 - y) - (x0 - x) * (y1 - y0)) / math.hypot(x1 - x0, y1 - y0)


@given(st.lists(st.tuples(st.floats(1, 1e6), st.floats(0.01, 0.9)), min_size=3, max_size=9, unique_by=lambda p: p[0]))
def test_the_knee_is_farthest_below_the_line_between_the_ends(places):
    front = undominated(points(places))
    found = knee(front, MACS, ERROR)
    if len(front) < 3:
        assert found is None
        return
    (left, top), (right, bottom) = front[0].place, front[-1].place
    scaled = [
        (math.log(x / left) / math.log(right / left), (y - bottom) / (top - bottom))
        for x, y in (point.place for point in front)
    ]
    depths = [distance_below(place, (0, 1), (1, 0)) for place in scaled]
    if max(depths) > 1e-6:
        assert depths[front.index(found)] == pytest.approx(max(depths), abs=1e-6)
    elif max(depths) < 1e-12:
        assert found is None


def write_spaces(workspace, experiment=None):
    """Two spaces of eight networks: one diverged, one failed, one missing in the second; a network outside."""
    texts = {
        "wide": [f"cifar_resnet(n = 1, widths = [{w}, {w}, {w}])" for w in range(8, 40, 4)],
        "deep": [f"cifar_resnet(n = {n}, widths = [8, 8, 8])" for n in range(2, 10)],
    }
    chosen = {name: [costed(Candidate(t, t, None), (3, 32, 32), 10) for t in own] for name, own in texts.items()}
    alone = costed(Candidate("resnet20", "resnet20", None), (3, 32, 32), 10)
    every = [*chosen["wide"], *chosen["deep"], alone]
    draw, ended = random.Random(1), []
    for candidate in every:
        for seed in (0, 1):
            error = 2 / math.log(candidate.network.macs) + draw.gauss(0, 0.002)
            if candidate is chosen["deep"][0]:
                ended.append(trial(candidate, seed, error, status=DIVERGED, message="not finite"))
            elif candidate is chosen["deep"][1]:
                ended.append(trial(candidate, seed, error, status=FAILED, message="out of memory"))
            elif candidate is not chosen["deep"][2]:
                ended.append(trial(candidate, seed, error))
    digests = {name: [one.network.digest[:DIGEST] for one in own] for name, own in chosen.items()}
    deep = DesignSpace(
        "deep", "cifar_resnet(n = n, widths = [8, 8, 8])", (("n", "uniform(2, 9, 1)"),), 8, 5, "macs <= 1e9"
    )
    draws = [deep.as_config()]
    config = {"bases": [], "budget": "20epochs", "seeds": 2, "data": "digits", "spaces": digests, "draws": draws}
    with Store.open(workspace) as store:
        planned = [trial(candidate, seed, 0.5).id for candidate in every for seed in (0, 1)]
        store.begin_run("sweep", config | ({"experiment": experiment} if experiment else {}), every, DATA, planned)
        for record in ended:
            store.record(record, [])
    return chosen


@pytest.fixture(scope="module")
def spaces(tmp_path_factory):
    workspace = tmp_path_factory.mktemp("spaces")
    write_spaces(workspace)
    return workspace


def test_a_space_counts_every_network_once(spaces):
    (study,) = read(spaces).studies
    (deep, wide), _ = spaces_of(study, COLUMNS["test_error"])
    rows = {row.text: row for row in study.rows if "n = 1," in row.text}
    chosen = min(rows.values(), key=lambda row: row.sample("validation_error").mean)
    assert wide.chosen == chosen.sample("test_error").mean and wide.how == "all networks of the space that fit"
    assert (wide.name, len(wide.errors), wide.diverged, wide.failed, wide.missing) == ("wide", 8, 0, 0, 0)
    assert (deep.name, len(deep.errors), deep.diverged, deep.failed, deep.missing) == ("deep", 5, 1, 1, 1)
    assert deep.ended == 6 and deep.counts == "5 networks (1 diverged, 1 failed and 1 missing)"
    assert deep.how == "cifar_resnet(n = n, widths = [8, 8, 8]); n = uniform(2, 9, 1); seed 5; macs <= 1e9"


def test_a_drawn_space_with_too_few_results_is_named(spaces, monkeypatch):
    monkeypatch.setattr("explorer.reports.edf.LEAST", 6)
    (study,) = read(spaces).studies
    found, left_out = spaces_of(study, COLUMNS["test_error"])
    assert [space.name for space in found] == ["wide"]
    sentence = "errors in deep are not drawn as a distribution: 5 networks of it have a result, 6 are needed"
    assert [sentence in one for one in left_out] == [True]
    assert sentence in write_report(spaces).html.read_text()


def test_shares_are_of_the_networks_that_ended():
    space = SpaceErrors("s", "", True, None, (0.1, 0.2, 0.2, 0.4), 1, 3, 9)
    assert [space.share(error) for error in (0.05, 0.1, 0.2, 0.3, 1.0)] == [0, 0.2, 0.6, 0.6, 0.8]
    assert space.median == 0.2 and replace(space, diverged=5).median is None
    assert space.band == pytest.approx(math.sqrt(math.log(40) / 10)) and replace(space, sampled=False).band is None


def test_the_figure_shows_the_shares(spaces):
    (study,) = read(spaces).studies
    found, _ = spaces_of(study, COLUMNS["test_error"])
    (axes,) = edf_figure(found, COLUMNS["test_error"], "title").axes
    deep, wide = axes.lines
    assert list(wide.get_xdata())[1:-1] == [100 * error for error in found[1].errors]
    assert list(wide.get_ydata())[1:-1] == pytest.approx([place / 8 for place in range(1, 9)])
    assert max(deep.get_ydata()) == pytest.approx(5 / 6)
    assert len(axes.collections) == 1  # a band of the space that was drawn at random, none of all that fit
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "deep: 5 networks (1 diverged, 1 failed and 1 missing)", "wide: 8 networks",
    ]  # fmt: skip


def test_networks_are_chosen_by_validation(spaces):
    (study,) = read(spaces).studies
    front = front_of(study, MACS, COLUMNS["test_error"])
    assert front.y is ERROR and len(front.points) == 14
    assert front.groups == ("deep", "wide", "resnet")  # as in the figure of their errors
    every = {point.row.text: point.row.sample("validation_error").mean for point in front.points}
    for point in front.best:
        cheaper = [row.row.text for row in front.points if row.place[0] < point.place[0]]
        assert all(every[point.row.text] < every[text] for text in cheaper)


@pytest.mark.parametrize(("x", "y"), [("params", "macs"), ("train_memory", "test_error"), ("launches", "intensity")])
def test_any_two_quantities(spaces, x, y):
    (study,) = read(spaces).studies
    front = front_of(study, COLUMNS[x], COLUMNS[y])
    for point in front.points:
        cost = explorer.cost(point.row.network.canonical, input=(3, 32, 32), classes=10)
        assert point.place[0] == float(getattr(cost, x))
    (axes,) = pareto_figure(front, "title").axes
    assert axes.get_xlabel() == COLUMNS[x].label
    names = [text.get_text() for text in axes.texts]
    assert names and len(names) == len(set(names)) <= len(front.best)


def test_the_page_has_the_front_the_knee_and_the_spaces(spaces, tmp_path):
    files = write_report(spaces, out=tmp_path)
    page = files.html.read_text()
    assert {path.name for path in files.figures} >= {"pareto.png", "edf.png"}
    (study,) = read(spaces).studies
    front = front_of(study, MACS, COLUMNS["test_error"])
    for point in front.best:
        assert f">{point.row.text}" in page
    assert page.count("(knee)") == (front.knee is not None)
    for words in ("seed 5; macs &lt;= 1e9", "Design spaces", "Pareto front",
                  "this front has none" if front.knee is None else "(knee)"):  # fmt: skip
        assert words in page


def test_costs_alone_are_not_called_measured(spaces, monkeypatch):
    titles = []
    monkeypatch.setattr("explorer.reports.style.png", lambda figure: b"")
    monkeypatch.setattr("explorer.reports.pareto.pareto_figure", lambda front, title: titles.append(title))
    (study,) = read(spaces).studies
    for x, y in (("params", "macs"), ("macs", "test_error")):
        (picture,) = report._pareto(study, front_of(study, COLUMNS[x], COLUMNS[y]), "")
        assert ("chosen by validation errors" in picture.caption) == (y == "test_error")
    assert titles == ["Costs on images of digits", "Measured here: digits, 20 epochs, 2 seeds"]


def test_a_front_of_one_is_named_as_everywhere_and_is_no_line(tmp_path):
    bases = [f"cifar_resnet(n={n}, widths=[4,8,16])" for n in (1, 2, 3, 4)]
    write_sweep(tmp_path, lambda base, s, seed: 0.2 + 0.1 * bases.index(base) + 0.05 * seed, bases=bases, scales=None)
    (study,) = read(tmp_path).studies
    front = front_of(study, MACS, COLUMNS["test_error"])
    figure = pareto_figure(front, "title")
    (axes,) = figure.axes
    (label,) = axes.texts
    assert label.get_text() == "n=1"
    assert "Pareto front" not in [text.get_text() for text in axes.get_legend().get_texts()]
    assert report._pareto(study, front, "")[0].caption.startswith("The front is the 1 of 4 networks")


def test_no_bar_runs_through_a_label(spaces):
    (study,) = read(spaces).studies
    front = front_of(study, MACS, COLUMNS["test_error"])
    front = replace(front, best=tuple(replace(point, y=replace(point.y, std=0.004)) for point in front.best))
    figure = pareto_figure(front, "title")
    figure.canvas.draw()
    (axes,), renderer = figure.axes, figure.canvas.get_renderer()
    boxes = [Text.get_window_extent(text, renderer) for text in axes.texts]
    for point in front.best:
        x, y = point.place
        (across, low), (_, high) = axes.transData.transform([(x, 100 * (y - 0.004)), (x, 100 * (y + 0.004))])
        assert not any(box.x0 < across < box.x1 and box.y0 < high and box.y1 > low for box in boxes)


def test_two_networks_have_no_front(tmp_path):
    write_sweep(tmp_path, noisy, scales=(1,), seeds=1)
    (study,) = read(tmp_path).studies
    assert front_of(study, MACS, COLUMNS["test_error"]) is None
    assert front_of(study, MACS, MACS) is None


def test_an_experiment_stands_beside_what_is_printed(tmp_path):
    texts = ["seqresnet-s1", "seqresnet-s2", "seqresnet-s3"]
    chosen = [costed(Candidate(text, text, None), (3, 32, 32), 10) for text in texts]
    config = {"bases": texts, "budget": "1epochs", "seeds": 1, "data": "digits", "experiment": "seqconv/table5"}
    ended = [trial(candidate, 0, 0.3 + place / 100, budget="1epochs") for place, candidate in enumerate(chosen)]
    with Store.open(tmp_path) as store:
        store.begin_run("sweep", config, chosen, DATA, [record.id for record in ended])
        for record in ended:
            store.record(record, [])
    (study,) = read(tmp_path).studies
    (found,) = experiments_of(study)
    assert [(line.network, line.printed, line.row.text) for line in found.lines] == [
        ("seqresnet-s1", {"cifar10": "4.78"}, "seqresnet-s1"),
        ("seqresnet-s2", {"cifar10": "4.90"}, "seqresnet-s2"),
        ("seqresnet-s3", {"cifar10": "4.99"}, "seqresnet-s3"),
    ]
    page = write_report(tmp_path).html.read_text()
    for words in ("seqconv/table5", "S2: r=3,k=8,N={1,2,1}, not windowed", ">4.90<", "S1 beats S2",
                  "on other data and after full training", "Network, as the paper calls it"):  # fmt: skip
        assert words in page
    assert "<h1>seqconv/table5: " in page
    write_sweep(tmp_path, noisy, scales=None, seeds=1)
    assert "<h1>What these networks cost" in write_report(tmp_path).html.read_text()


def test_networks_that_a_paper_has_no_names_for_are_networks(tmp_path):
    write_spaces(tmp_path, "gunn/singularities")
    page = write_report(tmp_path).html.read_text()
    assert "as the paper calls it" not in page and "<h1>gunn/singularities: " in page


def test_printed_spreads_and_networks_that_are_not_printed():
    from explorer.reports.experiment import file_texts, printed_errors
    from explorer.sweep.files import experiments

    table3 = printed_errors(experiments()["ms-sar/table3"])
    assert table3["ResNet-56 scales {1,4}", "resnet56+mssar(1,4)"] == {
        "cifar10": "6.11 ± 0.14",
        "cifar100": "28.05 ± 0.22",
    }
    assert len(table3) == len(file_texts(experiments()["ms-sar/table3"])) == 16
