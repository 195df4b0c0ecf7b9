"""Channels that come to be one neuron, in the report: numbers by hand, the figure, the words, the page."""

import math

import pytest
from reports_store import DATA, history, trial

from explorer.reports.collapse import MOST, against_first, caption, collapse_figure, table, tracks_of
from explorer.reports.report import write_report
from explorer.reports.study import read
from explorer.sweep.candidates import Candidate, costed
from explorer.sweep.records import DONE, Observation
from explorer.sweep.store import Store
from explorer.train.observe.channel_pairs import EDGES

PLAIN, GUNN, SINGLE = "gunn15(reads = original)", "gunn15", "cifar_resnet(n=1)"
NOTHING = {"pairs": 0, "counts": [0] * 9, "smallest": None, "correlation": None}


def pairs(same, close, rest, smallest):
    """Pairs within a segment or across: so many below 0.01, from there to 0.1, and above."""
    return {"pairs": same + close + rest, "counts": [0, same, close, 0, 0, rest, 0, 0, 0], "smallest": smallest,
            "correlation": 0.5}  # fmt: skip


def seen(epoch, *layers, dead=0):
    told = [{"layer": f"l{i}", "channels": 4, "segments": 2, "dead": dead, "within": within, "across": across}
            for i, (within, across) in enumerate(layers)]  # fmt: skip
    return Observation(epoch, "channel-pairs", {"images": 100, "edges": list(EDGES), "layers": told})


def write(workspace, by_network, seeds=(0, 1, 2), texts=(PLAIN, GUNN, SINGLE), status=DONE):
    candidates = [costed(Candidate(text, text, None), DATA.shape, DATA.classes) for text in texts]
    ended = [(c.text, trial(c, seed, 0.3, status=status)) for c in candidates for seed in seeds]
    config = {"data": DATA.name, "execution": {"observe": ["channel-pairs"]}, "budget": "20epochs"}
    with Store.open(workspace) as store:
        store.begin_run("sweep", config, candidates, DATA, [record.id for _, record in ended])
        for text, record in ended:
            store.record(record, history(0.3), by_network(text, record.seed))
    return workspace


def observations(text, seed):
    """PLAIN: a tenth of its pairs across is close in the end; GUNN, four times as far: none, and none within."""
    if text == SINGLE:
        return [seen(0), seen(20)]
    if text == PLAIN:
        last = [(pairs(0, 0, 2, 0.2), pairs(0, 1, 9, 0.04 + 0.01 * seed)), (pairs(0, 0, 2, 0.3), NOTHING)]
        return [seen(0, (pairs(1, 0, 1, 0.005), pairs(0, 0, 10, 0.5))), seen(20, *last, dead=1)]
    last = (NOTHING, pairs(0, 0, 12, 0.16 + 0.04 * seed))
    return [seen(0, (NOTHING, pairs(0, 3, 9, 0.05))), seen(20, last), Observation(20, "another", {})]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return write(tmp_path_factory.mktemp("collapse"), observations)


@pytest.fixture(scope="module")
def tracks(workspace):
    findings = read(workspace)
    return tracks_of(findings.studies[0], findings.observations)


def test_networks_with_layers_that_were_looked_at_are_told_of(tracks):
    assert [track.name for track in tracks] == [PLAIN, GUNN]
    assert [track.epochs for track in tracks] == [[0, 20]] * 2


def test_layers_are_put_together(tracks):
    look = tracks[0].looks[1][20]
    assert look.pairs == {"within": 4, "across": 10}
    assert (look.share("within"), look.share("across"), look.share("within", "across")) == (
        0,
        10,
        pytest.approx(7.14, 1e-3),
    )
    assert (look.distance("within"), look.distance("across")) == (0.2, 0.05)
    assert look.dead == 2


def test_the_table_has_the_trained_networks_by_hand(tracks):
    found = table(tracks)
    assert len(found["headings"]) == 6
    assert [(text, about) for text, about, _, _ in found["lines"]] == [
        (PLAIN, "within segments"),
        (PLAIN, "across segments"),
        (GUNN, "across segments"),
    ]
    within, across, gunn = (cells for _, _, cells, _ in found["lines"])
    assert within == ["4", "0.0 ± 0.0", "0.00 ± 0.00", "0.200 ± 0.000", "–", "3"]
    assert across == ["10", "0.0 ± 0.0", "10.00 ± 0.00", "0.050 ± 0.010", "–", "3"]
    assert gunn[:4] == ["12", "0.0 ± 0.0", "0.00 ± 0.00", "0.200 ± 0.040"] and gunn[5] == "3"
    assert gunn[4].endswith("no spread") and gunn[4].startswith("×4,")


def test_against_the_first_is_paired_over_seeds(tmp_path):
    """Ratios of 2, 3 and 4 under three seeds: mean and t interval of their logarithms."""

    def by_network(text, seed):
        factor = 1 if text == PLAIN else 2 + seed
        return [seen(1, (pairs(0, 0, 2, 0.1), pairs(0, 0, 10, 0.02 * 10**-seed * factor)))]

    findings = read(write(tmp_path, by_network, texts=(PLAIN, GUNN)))
    found = against_first(tracks_of(findings.studies[0], findings.observations))
    across = found[(GUNN, "across")]
    logs = [math.log10(ratio) for ratio in (2, 3, 4)]
    mean = sum(logs) / 3
    reach = 4.302653 * math.sqrt(sum((log - mean) ** 2 for log in logs) / 2 / 3)  # t(0.975, 2)
    difference = across.difference
    assert [difference.mean, difference.low, difference.high] == pytest.approx([mean, mean - reach, mean + reach])
    assert across.p == pytest.approx(min(1, 2 * across.difference.p))  # two comparisons: within and across
    assert across.text == f"×2.9 ({10 ** (mean - reach):.2g} to {10 ** (mean + reach):.2g}), within noise"


@pytest.mark.parametrize(("factor", "verdict"), [(4, "larger"), (0.25, "smaller")])
def test_what_exceeds_the_noise_is_told(tmp_path, factor, verdict):
    def by_network(text, seed):
        return [seen(1, (NOTHING, pairs(0, 0, 10, 0.1 if text == PLAIN else 0.1 * factor * (1 + seed / 50))))]

    findings = read(write(tmp_path, by_network, texts=(PLAIN, GUNN)))
    (found,) = against_first(tracks_of(findings.studies[0], findings.observations)).values()
    assert found.text.endswith(f", {verdict}")


def test_one_seed_shows_no_spread(tmp_path):
    findings = read(write(tmp_path, observations, seeds=(0,)))
    lines = table(tracks_of(findings.studies[0], findings.observations))["lines"]
    assert [cells[4] for _, _, cells, _ in lines] == ["–", "–", "×4, no spread"]


def test_the_words_say_what_was_seen(tracks, tmp_path):
    words = caption(tracks)
    assert "were seen on the way, none in a trained network" in words
    assert f"Dead channels of trained networks, in no pair: 2 in {PLAIN} (mean over seeds)" in words
    never = read(write(tmp_path / "never", lambda text, seed: [seen(1, (pairs(0, 1, 1, 0.02), NOTHING))]))
    words = caption(tracks_of(never.studies[0], never.observations))
    assert "No pair of any network was below 0.01 at any look" in words and "No channel" in words
    after = read(write(tmp_path / "after", lambda text, seed: [seen(1, (pairs(1, 0, 1, 0.002), NOTHING))]))
    assert "are counted in the table" in caption(tracks_of(after.studies[0], after.observations))


def test_the_figure_has_a_line_for_each_network(tracks):
    figure = collapse_figure(tracks, "title")
    left, right = figure.axes
    for axes, first in ((left, 0.05), (right, 100 / 14)):
        assert [list(line.get_xdata()) for line in axes.lines] == [[0, 20]] * 2
        assert axes.lines[0].get_ydata()[-1] == pytest.approx(first, rel=0.02)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [PLAIN, GUNN]
    assert right.lines[1].get_ydata().tolist() == [pytest.approx(25), 0]


def test_the_band_is_one_standard_deviation(tracks):
    left, _ = collapse_figure(tracks, "title").axes
    logs = [math.log10(0.04 + 0.01 * seed) for seed in range(3)]
    mean = sum(logs) / 3
    std = math.sqrt(sum((log - mean) ** 2 for log in logs) / 2)
    edges = left.collections[0].get_paths()[0].vertices[:, 1]
    assert all(any(edge == pytest.approx(10 ** (mean + side * std)) for edge in edges) for side in (-1, 1))


def test_more_networks_than_colours_are_told(tmp_path):
    texts = [f"cifar_resnet(n={n}, widths=[4,4,4])" for n in range(1, MOST + 3)]
    findings = read(write(tmp_path, lambda text, seed: observations(GUNN, seed), texts=texts, seeds=(0,)))
    tracks = tracks_of(findings.studies[0], findings.observations)
    assert f"The first {MOST} of {MOST + 2} networks are drawn" in caption(tracks)
    assert len(collapse_figure(tracks, "t").axes[0].lines) == MOST
    assert len(table(tracks)["lines"]) == MOST + 2


def test_trials_that_failed_are_left_out(tmp_path):
    findings = read(write(tmp_path, observations, status="failed"))
    assert tracks_of(findings.studies[0], findings.observations) == []


def test_the_page_shows_figure_table_and_words(workspace, tmp_path):
    written = write_report(workspace, out=tmp_path / "out")
    page = written.html.read_text()
    assert "Channels that become one neuron" in page and "channel-pairs observed" in page
    assert "smallest distance" in page and "across segments" in page
    assert any(path.name == "collapse.png" for path in written.figures)
    again = write_report(workspace, out=tmp_path / "again")
    assert again.html.read_bytes() == written.html.read_bytes()
