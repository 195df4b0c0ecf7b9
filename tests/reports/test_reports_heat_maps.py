"""Weights between groups in the report: which layers are drawn, the table's numbers by hand, and the page."""

from dataclasses import replace

import pytest
from reports_store import DATA, history, trial

from explorer.reports.heat_maps import Layer, Use, heat_maps_figure, lines, mean, uses_of
from explorer.reports.report import write_report
from explorer.reports.study import read
from explorer.reports.style import png
from explorer.sweep.candidates import Candidate, costed
from explorer.sweep.records import Observation
from explorer.sweep.store import Store

NETWORKS = ("seqresnet(k=8,r=1)", "densenet(depth=7,k=4)", "cifar_resnet(n=1)")
ZERO = [[0.0, 0.0, None], [None, 0.0, 0.0]]


def layer(name, after=((1.0, None), (1.0, 0.25)), before=((1.0, None), (1.0, 1.0)), inputs=1):
    return Layer(name, inputs, (before,), (after,))


def seen(epoch, matrices):
    """An observation of one or several layers."""
    layers = [{"layer": f"stage1.layer{i}", "inputs": 2, "rows": rows} for i, rows in enumerate(matrices, start=1)]
    return Observation(epoch, "group-weights", {"layers": layers})


def write(workspace, by_network):
    """A sweep of NETWORKS whose trials, two seeds of each, saw what `by_network(text, seed)` says."""
    candidates = [costed(Candidate(text, text, None), DATA.shape, DATA.classes) for text in NETWORKS]
    ended = [(c.text, trial(c, seed, 0.3)) for c in candidates for seed in (0, 1)]
    with Store.open(workspace) as store:
        store.begin_run("sweep", {"data": DATA.name}, candidates, DATA, [record.id for _, record in ended])
        for text, record in ended:
            store.record(record, history(0.3), by_network(text, record.seed))


def observations(text, seed):
    if "resnet" in text and "seq" not in text:
        return [seen(0, []), seen(20, [])]
    start = [ZERO, ZERO] if "seq" in text else [[[1.0, 1.0, None], [None, 1.0, 1.0]]] * 2
    last = [[0.1, 0.3, None], [None, 0.2 + 0.2 * seed, 0.2]]
    return [seen(0, start), seen(10, start), seen(20, [start[0], last]), Observation(20, "another", {})]


# --- which layers ---


def test_the_last_of_several_layers_of_a_stage_is_drawn():
    names = ["head", "stage1.layer1.windowed", "stage1.layer2", "down1.windowed", "stage2.block1.layer2",
             "stage2.block2.layer1", "stage2.block2.layer2"]  # fmt: skip
    use = Use("a", tuple(map(layer, names)))
    assert [own.name for own in use.drawn] == ["stage1.layer2", "stage2.block2.layer2"]
    single = Use("a", tuple(map(layer, ["dense1", "dense2", "dense3", "dense4", "dense5"])))
    assert [own.name for own in single.drawn] == ["dense1", "dense2", "dense3", "dense4"]


# --- numbers ---


def test_light_connections_and_spread_by_hand():
    """Weights 1, 1, 0.25 have the mean 0.75: one of three is below half of it; deviations 0.25, 0.25, -0.5."""
    (line,) = lines([Use("a", (layer("dense1"),))])
    assert (line.name, line.network, line.connections, line.seeds) == ("dense1", "a", 3, 1)
    assert [share.mean for share in line.light] == [0, pytest.approx(1 / 3)]
    assert [share.mean for share in line.lower] == [0, pytest.approx(1 / 3)]
    assert [value.mean for value in line.spread] == [0, pytest.approx((0.375 / 3) ** 0.5 / 0.75)]


def test_seeds_are_summarised_and_layers_weighed_by_their_own_mean():
    even, uneven = ((2.0, None), (2.0, 2.0)), ((30.0, None), (30.0, 3.0))
    one = Layer("stage1.a", 1, (), (even, uneven))
    two = Layer("stage1.b", 1, (), (even, even))
    drawn, both = lines([Use("a", (one, two))])
    assert (drawn.name, both.name, both.connections) == ("stage1.b", "all 2 layers", 6)
    assert drawn.light[1].mean == 0 and drawn.light[0].mean is None
    assert both.light[1].mean == pytest.approx((0 + 1 / 6) / 2) and both.light[1].n == 2


def test_means_over_seeds_keep_what_is_no_connection():
    assert mean([[[1.0, None]], [[2.0, None]]]) == [[1.5, None]]


# --- from the store to the page ---


def test_observations_of_a_study(tmp_path):
    write(tmp_path, observations)
    findings = read(tmp_path)
    (study,) = findings.studies
    sequential, dense = uses_of(study, findings.observations)
    assert [use.label for use in (sequential, dense)] == ["seqresnet", "densenet"]
    assert [own.name for own in sequential.drawn] == ["stage1.layer2"]
    (own,) = sequential.drawn
    assert own.begins_at_zero and not dense.drawn[0].begins_at_zero
    assert mean(own.after) == [[pytest.approx(0.1), pytest.approx(0.3), None], [None, pytest.approx(0.3), 0.2]]
    table = lines([sequential])[0]
    assert table.light[0].n == 0 and table.light[1].n == 2  # nothing to say before training, where all is zero


def test_panels_before_and_after_training():
    """What starts at zero has no panels before training, so that its figure is lower."""
    moved = Use("a", (layer("dense1"),))
    zero = Use("a", (replace(layer("dense1"), before=(((0.0, None), (0.0, 0.0)),)),))
    figures = [heat_maps_figure(use) for use in (moved, zero)]
    titles = [[axes.get_title(loc="left") for axes in figure.axes[:-1]] for figure in figures]
    assert titles == [["dense1, before training", "dense1, after training"], ["dense1, after training"]]
    image = figures[0].axes[1].images[0].get_array()
    assert image.tolist() == [[1.0, None], [1.0, 0.25]]  # None: masked, so white
    assert figures[0].get_figheight() > 1.5 * figures[1].get_figheight()
    assert png(figures[0]) == png(heat_maps_figure(moved))


def test_the_page_shows_maps_and_table(tmp_path):
    write(tmp_path, observations)
    written = write_report(tmp_path)
    page = written.html.read_text()
    assert [path.name for path in written.figures if "weights" in path.name] == ["weights-1.png", "weights-2.png"]
    assert "Weights between groups" in page and "stage1.layer2" in page and "all 2 layers" in page
    assert page.count("nothing is drawn of them before training") == 1


def test_a_page_without_observations_has_no_maps(tmp_path):
    write(tmp_path, lambda text, seed: [])
    written = write_report(tmp_path)
    assert "Weights between groups" not in written.html.read_text()
    assert not [path for path in written.figures if "weights" in path.name]
