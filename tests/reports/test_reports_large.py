"""Reports of more than can be read: bounded in time and size, and what is left out is said."""

import json
import random

import pytest
from reports_store import LARGE, SMALL, noisy, troubled, write_sweep

from explorer.reports import accuracy, curves, differences, excerpt
from explorer.reports.claims import compare
from explorer.reports.excerpt import groups_shown
from explorer.reports.export import export_table
from explorer.reports.names import cut_names, short_name, short_names, under_recipe
from explorer.reports.report import write_report
from explorer.reports.study import read
from explorer.reports.table import lines

BASES = [f"cifar_resnet(n=1, widths=[2,2,{width}])" for width in range(2, 22)]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Twenty networks on their own, the later the better; the first has failed."""
    folder = tmp_path_factory.mktemp("alone")
    lost = ("failed", "out of memory")
    write_sweep(
        folder,
        lambda base, scales, seed: lost if base == BASES[0] else 0.9 - 0.02 * BASES.index(base),
        bases=BASES,
        scales=None,
        seeds=2,
    )
    return folder


def test_of_too_many_networks_the_best_are_listed_and_the_others_counted(alone, tmp_path, monkeypatch):
    monkeypatch.setattr(excerpt, "NETWORKS", 5)
    monkeypatch.setattr(excerpt, "TRIALS", 7)
    (study,) = read(alone).studies
    (group,) = groups_shown(study)
    assert [row.text for row in group.rows] == BASES[-5:]
    page = write_report(alone, out=tmp_path).html.read_text()
    assert "5 of 20 networks are shown, of those on their own the ones with the lowest validation errors." in page
    assert "The first 7 of 40 trials." in page
    assert len(json.loads(export_table(alone, None, "json"))) == 20


def test_everything_is_listed_where_it_can_be(alone, tmp_path):
    page = write_report(alone, out=tmp_path).html.read_text()
    assert "networks are shown" not in page and "<summary>Every trial</summary>" in page


def test_of_too_many_base_networks_the_first_have_tables_and_figures(tmp_path, monkeypatch):
    bases = [SMALL, LARGE]
    write_sweep(tmp_path / "work", noisy, bases=bases, scales=(1, 2), seeds=2)
    monkeypatch.setattr(excerpt, "NETWORKS", 4)
    monkeypatch.setattr(curves, "FIGURES", 1)
    monkeypatch.setattr(differences, "PANELS", 1)
    (study,) = read(tmp_path / "work").studies
    assert groups_shown(study) == [study.groups[0]]
    files = write_report(tmp_path / "work")
    page = files.html.read_text()
    assert [path.name for path in files.figures if "curves" in path.name] == ["curves-1.png"]
    assert "4 of 8 networks are shown." in page
    assert "Of 2 base networks the first 1 have a figure." in page
    assert "The first 1 of 2 base networks are shown." in page


def test_too_many_networks_are_in_the_pareto_figure_alone(alone, tmp_path, monkeypatch):
    assert "accuracy.png" in [path.name for path in write_report(alone, out=tmp_path / "few").figures]
    monkeypatch.setattr(accuracy, "MOST", 19)
    names = [path.name for path in write_report(alone, out=tmp_path / "many").figures]
    assert "accuracy.png" not in names and "pareto.png" in names


def test_trials_without_a_result_are_named_on_the_page_and_below_its_figures(tmp_path, monkeypatch):
    write_sweep(tmp_path, troubled)
    page = write_report(tmp_path).html.read_text()
    told = f"{SMALL} + mssar(1) (2 done, 1 failed) and {SMALL} + mssar(1,2) (1 done, 1 diverged, 1 missing)"
    assert page.count(f"Trials without a result: {told}.") == 3  # accuracy, Pareto front, differences
    monkeypatch.setattr(excerpt, "IN_CAPTION", 1)
    monkeypatch.setattr(excerpt, "NAMED", 1)
    monkeypatch.setattr("explorer.reports.page.NAMED", 1)
    page = write_report(tmp_path).html.read_text()
    assert "mssar(1) (2 done, 1 failed) and 1 more network." in page
    assert "Not named here: 1 more trial that failed or diverged;" in page


def test_every_row_finds_its_comparison(tmp_path):
    write_sweep(tmp_path, noisy, bases=(SMALL, LARGE), scales=(1, 2), seeds=3)
    (study,) = read(tmp_path).studies
    claims = compare(study)
    found = [claims.of(row) for group in study.groups for row in group.rows]
    assert [one and one.row.text for one in found] == [row.text if row.scales else None for row in study.rows]
    assert [line.verdict is None for line in lines(study, claims)] == [not row.scales for row in study.rows]


def slow_short_names(texts):
    """As `short_names`, comparing every text with every other."""

    def read(text):
        call, *modifiers = text.split(" + ")
        name, _, arguments = call.rstrip(")").partition("(")
        return name, arguments.split(", ") if arguments else [], modifiers

    def told(text, place):
        own, others = read(text), [read(other) for other in texts if read(other)[0] == read(text)[0]]
        return [part for part in own[place] if not all(part in other[place] for other in others)]

    def ways(text):
        name, _, modifiers = read(text)
        siblings = [other for other in texts if read(other)[0] == name]
        added = told(text, 2) if len(siblings) > 1 else modifiers
        bare = text.split(" + ")[0] if any(told(other, 1) for other in siblings) else name
        apart = ", ".join(told(text, 1))
        long = f"{name}({apart})" if apart else bare
        return [" + ".join([call, *added]) for call in (apart or bare, long)] + [text]

    names = [ways(text)[0] for text in texts]
    for step in (1, 2):
        names = [ways(text)[step] if names.count(name) > 1 else name for text, name in zip(texts, names, strict=True)]
    return dict(zip(texts, names, strict=True))


def test_short_names_are_what_comparing_all_pairs_gives():
    draw = random.Random(0)
    for _ in range(100):
        texts = [
            draw.choice("ab")
            + draw.choice(["", f"({draw.choice('kn')}={draw.randint(1, 3)}, r={draw.randint(1, 2)})"])
            + draw.choice(["", "", " + se", " + mssar(2)", " + se + mssar(2)"])
            for _ in range(draw.randint(1, 9))
        ]
        names = short_names(texts)
        assert names == slow_short_names(list(dict.fromkeys(texts)))
        assert len(set(names.values())) == len(names)


def test_a_short_name_keeps_the_modifier_that_tells_two_networks_apart():
    texts = [f"cifar_resnet(n={n}, widths=[4,8,8]){added}" for n in (1, 2) for added in ("", " + se")]
    assert list(short_names(texts).values()) == ["n=1", "n=1 + se", "n=2", "n=2 + se"]
    assert list(short_names([*texts[::2], "wrn(n=1)", "wrn(n=3)"]).values()) == [
        "cifar_resnet(n=1)", "n=2", "wrn(n=1)", "n=3",
    ]  # fmt: skip
    assert list(short_names([texts[0], texts[3]]).values()) == ["n=1", "n=2 + se"]


def test_a_recipe_stands_behind_a_short_name():
    names = short_names(["seqresnet(k=8, r=2)", "seqresnet(k=16, r=2)", "resnet20 + mssar(1, 2)"])
    for text, name in names.items():
        for recipe in ("a", "b, lr=0.1", None):
            assert short_name(under_recipe(text, recipe), names) == under_recipe(name, recipe)
    assert list(names.values()) == ["k=8", "k=16", "resnet20 + mssar(1, 2)"]


def test_cut_names_stay_apart_where_they_can():
    long = "cifar_resnet(n=1, widths=[8,16,32]) + wseqconv"
    assert cut_names([f"{long}(k = 4)", "resnet20"], 20) == ["cifar_resnet(n=1, w\N{HORIZONTAL ELLIPSIS}", "resnet20"]
    cut = cut_names([f"{long}(k = {k})" for k in (4, 8)], 20)
    assert len(set(cut)) == 2 and max(map(len, cut)) <= 20
