"""Sweep files: what they mean, what is said of those that mean nothing, and the papers' experiments among them."""

import csv
import re
from importlib.resources import files
from pathlib import Path

import pytest
from typer.testing import CliRunner

import explorer
from explorer.cli.app import app
from explorer.cli.options import Format
from explorer.cli.sweep import _names
from explorer.errors import UserError
from explorer.sweep.candidates import Selection, scale_candidates
from explorer.sweep.files import experiments, is_file, load, read
from explorer.sweep.listing import listings
from explorer.sweep.sampling import DesignSpace
from explorer.sweep.store import Store
from explorer.train.budget import parse_budget
from explorer.train.data import SOURCES
from explorer.train.recipes import recipe_named

SHAPE = (3, 32, 32)
DOCUMENT = Path(__file__).parents[2] / "docs" / "sweeps.md"
WHOLE = """
title = "Everything"
about = "Each entry once."
networks = ["wrn(16, k = 1)", "resnet20"]
scales = [1, 2]
modifiers = ["se"]
input = "3x32x32"
where = "macs <= 1e9"
batch = 8
on = "h200"
seeds = 2
data = ["cifar10", "cifar100"]
stand_in = "digits"
budget = "2epochs"
recipe = "nesterov"
observe = ["channel-pairs"]

[axes]
depth = [16, 22]
option = "2..12"
flag = true
lists = [[1, 2], ["A", 0.5]]

[[space]]
name = "ratios"
network = "cifar_resnet(n = 1, widths = [w, v, v])"
samples = 7
seed = 3
where = "params <= 1e6"
draw = { w = "log(8, 64, 8)", v = "round(w * uniform(1, 2), 8)" }
"""


def test_every_entry_is_read():
    found = read(WHOLE, "whole.toml")
    space = DesignSpace(
        "ratios",
        "cifar_resnet(n = 1, widths = [w, v, v])",
        (("w", "log(8, 64, 8)"), ("v", "round(w * uniform(1, 2), 8)")),
        7,
        3,
        "params <= 1e6",
    )
    assert found.selection == Selection(
        ("wrn(16, k = 1)", "resnet20"),
        (1, 2),
        ("se",),
        ("depth=16,22", "option=2..12", "flag=yes", "lists=[1, 2],[A, 0.5]"),
        "macs <= 1e9",
        (SHAPE,),
        8,
        (space,),
        "h200",
    )
    assert (found.title, found.about, found.seeds) == ("Everything", "Each entry once.", 2)
    assert (found.budget, found.recipe) == ("2epochs", "nesterov")
    assert found.observe == ("channel-pairs",)
    assert found.data_for("full") == ("cifar10", "cifar100") and found.data_for("5epochs") == ("digits",)


def test_what_is_left_out_is_left_to_the_command():
    found = read('networks = "resnet20"', "small.toml")
    assert found.selection == Selection(("resnet20",)) and found.selection.scales is None
    assert (found.seeds, found.budget, found.recipe, found.data_for("full")) == (None, None, None, ())


def test_what_names_a_file():
    assert all(map(is_file, ("a.toml", " dir/b.toml", "ms-sar/table3", "ms-sar/tabel3")))
    assert not any(map(is_file, ("resnet20", "dir/a.arch", "dir/a.arch:b + se", "wrn(16, k=4/2)", "resnet20 + se")))


BROKEN = [
    ("networks = [", "f.toml:1:13: "),
    ('networks = "a"\nseeds = = 2', "f.toml:2:9: "),
    ('networks = "a"\nnetworks = "b"', "f.toml:2:"),
    ('networks = ["resnet20"]\nseed = 3', "f.toml:2:1: unknown entry 'seed'; did you mean 'seeds'?"),
    ('networks = ["resnet20"]\nseeds = "3"', "f.toml:2:1: seeds is a whole number"),
    ("networks = [1]", "f.toml:1:1: networks is a list of texts"),
    ('networks = "a"\ntitle = 3', "f.toml:2:1: title is a text"),
    ('networks = "a"\nscales = 1', "f.toml:2:1: scales is a list of whole numbers"),
    ('networks = "a"\nscales = []', "f.toml:2:1: --scales: no scale is given"),
    ('networks = "a"\nscales = [0]', "0 is not a scale"),
    ('networks = "a"\nwhere = "params <= "', "f.toml:2:1: --where:1:11"),
    ('networks = "a"\nwhere = "__import__(1) <= 2 or exec"', "f.toml:2:1: --where"),
    ('networks = "a"\ninput = "32x32"', "f.toml:2:1: --input: '32x32' is not channels x height x width"),
    ('networks = "a"\ninput = ["3x8x8", "3x8x8"]', "3x8x8 is given twice"),
    ('networks = "a"\nwhere = "infer_latency <= 5"', "f.toml:2:1: --where:1:15: infer_latency <= 5: one"),
    ('networks = "a"\non = 3', "f.toml:2:1: on is a text"),
    ('networks = "a"\non = "a1000"', "f.toml:2:1: --on: no device is called 'a1000'"),
    ('networks = "a"\non = "cuda:1"', "f.toml:2:1: --on: a sweep predicts, it does not measure on cuda:1"),
    ('networks = "a"\nbatch = 0', "f.toml:2:1: --batch: 0 is not"),
    ('networks = "a"\nmodifiers = ["se", "+ se"]', "'se' is given twice"),
    ('networks = "a"\nmodifiers = [""]', "--modifier: it is empty"),
    ('networks = "a"\naxes = 3', "axes is a table"),
    ('networks = "a"\n[axes]\nk = []', "f.toml:3:1: the axis k has no values"),
    ('networks = "a"\n[axes]\nk = {a = 1}', "f.toml:3:1: the axis k is a list"),
    ('title = "nothing"', "f.toml:1:1: there is no network to sweep"),
    ("[space]\nname = 'a'", "f.toml:1:2: space is written [[space]]"),
    ("[[space]]\nname = 'a'", "f.toml:1:3: a space has a network"),
    ("[[space]]\nnetwork = 'wrn(16, k = k)'\nsmaples = 3\ndraw = {k = '3'}", "f.toml:3:1: unknown entry 'smaples'"),
    ("[[space]]\nnetwork = 'wrn(16, k = k)'\ndraw = {k = [3]}", "the draw k is a text"),
    ("[[space]]\nnetwork = 'wrn(16, k = k)'", "f.toml:2:1: space space 1: 0 names are drawn"),
    ("[[space]]\nnetwork = 'wrn(16, k = k)'\ndraw = {k = 'unform(1, 2)'}", "did you mean 'uniform'?"),
    ("[[space]]\nname='b'\nnetwork = 'wrn(16, k = k)'\ndraw = {k = '3'}\n" * 2, "two spaces are called 'b'"),
    ('networks = "a"\nbudget = "5"', "f.toml:2:1: --budget: '5' is neither"),
    ('networks = "a"\nrecipe = "adam"', "f.toml:2:1: --recipe: there is no recipe 'adam'"),
    ('networks = "a"\nobserve = "channel-pair"', "f.toml:2:1: observe: there is no 'channel-pair'; did you mean"),
    ('networks = "a"\nobserve = 3', "f.toml:2:1: observe is a list of texts"),
    ('networks = "a"\nreported = ["ms-sar 3"]', "f.toml:2:1: reported is for the papers' experiments"),
    ("x = " + "[" * 5000, "f.toml"),
    ("#" * 200_001, "a sweep file is small"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "words"), BROKEN, ids=[words[:50] for _, words in BROKEN])
def test_what_is_no_sweep_file_is_pointed_at(text, words):
    with pytest.raises(UserError) as error:
        read(text, "f.toml")
    assert words in str(error.value) and len(str(error.value)) < 1500


@pytest.mark.parametrize("text", re.findall(r"```toml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL))
def test_the_documents_examples_have_candidates(text):
    file = read(text, "sweeps.md")
    assert all(listing.fitting >= 1 for listing in listings(file.selection, SHAPE))


# --- the catalog ---

EXPERIMENTS = {
    "gunn/fig3": set(),
    "gunn/singularities": set(),
    "gunn/table5": {"gunn 5"},
    "ms-sar/fig5": {"ms-sar 2"},
    "ms-sar/stages": {"ms-sar 3"},
    "ms-sar/strategies": {"ms-sar 3"},
    "ms-sar/table3": {"ms-sar 3"},
    "seqconv/fig5": set(),
    "seqconv/table3": {"seqconv 3", "seqconv text 4.3"},
    "seqconv/table5": {"seqconv 5"},
}
PARTS = {  # experiments about some of a table's networks
    "ms-sar/fig5": lambda name: name.startswith(("RN-", "DN-")),
    "ms-sar/stages": lambda name: name in ("DenseNet-100 scales {}", "DenseNet-100 scales {1,2,4}"),
    "ms-sar/strategies": lambda name: name.endswith("scales {1,2,4}"),
}


def rows(name):
    return list(csv.DictReader(files("explorer.catalog").joinpath(name).read_text().splitlines()))


def test_the_catalog_has_the_papers_experiments():
    assert {name: set(file.reported) for name, file in experiments().items()} == EXPERIMENTS


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_can_run_and_covers_what_it_claims(name):
    file = experiments()[name]
    texts = [one.text for one in scale_candidates(file.selection.texts, file.selection.scales)]
    digests = [explorer.expand(text, input=SHAPE, classes=10).digest for text in texts]
    assert len(set(digests)) == len(texts) >= 2
    assert file.title and file.about and file.seeds >= 1 and {*file.data, file.stand_in} <= SOURCES.keys()
    assert file.recipe is None or recipe_named(file.recipe)
    assert file.budget is None or parse_budget(file.budget)
    printed = {
        row["network"]
        for row in rows("reported.csv")
        if f"{row['paper']} {row['table']}" in file.reported
        and row["metric"] == "error"
        and row["dataset"] in file.data
        and PARTS.get(name, lambda _: True)(row["name_in_paper"])
    }
    assert bool(printed) == bool(file.reported)
    assert {explorer.expand(text, input=SHAPE, classes=10).digest for text in printed} <= set(digests)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_claims_are_those_of_the_paper(name):
    claims = [row["claim"] for row in rows("claims.csv") if row["paper"] == name.partition("/")[0]]
    for begin in experiments()[name].claims:
        assert sum(claim.startswith(begin) for claim in claims) == 1, begin


# --- the command ---


def call(*arguments, code=0):
    result = CliRunner().invoke(app, ["sweep", *arguments])
    shown = result.output + (str(result.exception) if isinstance(result.exception, UserError) else "")
    assert (2 if isinstance(result.exception, UserError) else result.exit_code) == code, shown
    return shown


def test_an_experiment_by_name_and_options_in_place_of_its_entries():
    assert call("seqconv/table5", "--no-train").count("seqresnet-s") == 4
    text = call("ms-sar/fig5", "--no-train", "--where", "macs <= 1e8", "--format", "csv")
    assert "10 candidates, 6 are beyond the limits, 4 fit" in text
    assert sorted(line.split(",")[0] for line in text.splitlines() if line.startswith(("resnet", '"resnet'))) == [
        '"resnet20 + mssar(1', '"resnet32 + mssar(1', "resnet20", "resnet32",
    ]  # fmt: skip


def test_a_file_is_swept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text('networks = ["wrn(16, k = 1..3)"]\ninput = ["3x32x32", "3x64x64"]\n')
    text = call("mine.toml", "--no-train")
    assert text.count("3x64x64") == 3 and "6 candidates" in text
    assert [path.name for path in tmp_path.iterdir()] == ["mine.toml"]


def test_what_a_file_observes_is_stored_and_nothing_else_changes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = 'networks = ["cifar_resnet(n=1, widths=[2,2,2]) + gunn(1, residual = no)"]\nbudget = "1epoch"\nseeds = 1\n'
    (tmp_path / "seeing.toml").write_text(text + 'observe = ["channel-pairs"]\n')
    (tmp_path / "blind.toml").write_text(text)
    for name in ("seeing", "blind"):
        call(f"{name}.toml", "--workspace", name, "--workers", "1")
    with Store.read("seeing") as seeing, Store.read("blind") as blind:
        (trial,), (same,), (run,) = seeing.trials(), blind.trials(), seeing.runs()
        assert run.config["execution"]["observe"] == ["channel-pairs"] and "execution" not in blind.runs()[0].config
        assert "observe" in trial.environment and "observe" not in same.environment
        assert trial.id != same.id and (trial.test_loss, trial.train_loss) == (same.test_loss, same.train_loss)
        assert [(one.epoch, one.name) for one in seeing.observations()[trial.id]] == [
            (0, "channel-pairs"),
            (1, "channel-pairs"),
        ]
        assert len(seeing.observations()[trial.id][0].value["layers"]) == 4
        assert blind.observations() == {}
    assert "channel-pairs observed" in (tmp_path / "seeing" / "report" / "report.html").read_text()


WRONG = [
    (["ms-sar/tabel3"], "there is no experiment 'ms-sar/tabel3'; did you mean 'ms-sar/table3'?"),
    (["none.toml"], "there is no file 'none.toml'"),
    (["ms-sar/table3", "resnet20"], "stands alone"),
    (["bad.toml"], "bad.toml:1:10: "),
    (["resnet20", "--axis", "n"], "--axis: 'n' is not a parameter and its values"),
    (["wrn(16, k=1..3)", "--axis", "k=4,5"], "--axis: k has a range in wrn(16, k=1..3) already"),
    (["wrn(16, k=1..3)", "--where", "macs <= 1 and params <= 1e9"], "macs <= 1 leaves out 3, params <= 1,000,000,000"),
    (["wrn(16, k=1..3)", "--where", "latency <= 1"], "unknown name 'latency'"),
    (["resnet20", "--where", "__import__('os').system('x')"], "--where:1:"),
    (["resnet20", "--modifier", "mssr(1)"], "did you mean 'mssar'?"),
    (["resnet20", "resnt32", "--where", "macs <= 1e9"], "unknown network 'resnt32'; did you mean 'resnet32'?"),
    (["resnet20", "wrn(16, k=1..3)", "wrn(16, kk=1..3)"], "no parameter 'kk'"),
    (["resnet20", "--input", "3x64x64"], "--input: the data have images of 3x32x32; 3x64x64 is for costs only"),
    (["resnet20", "--input", "64"], "--input: '64' is not"),
    (["resnet20", "--batch", "0"], "--batch: 0"),
    (["resnet20", "--modifier", "se", "--modifier", "se"], "--modifier: 'se' is given twice"),
]


@pytest.mark.parametrize(("arguments", "words"), WRONG, ids=[words[:40] for _, words in WRONG])
def test_bad_input_changes_nothing(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("explorer.sweep.run.load", None)  # whoever comes to training fails
    (tmp_path / "bad.toml").write_text("seeds = [")
    assert words in call(*arguments, code=2)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.toml"]


def test_load_reads_what_is_named():
    assert load("gunn/fig3").name == "gunn/fig3"


def test_what_stands_in_for_the_papers_data_is_told(capsys):
    assert list(_names(load("ms-sar/table3"), None, "5s", Format.table)) == ["digits"]
    told = "ms-sar/table3: digits stands in for cifar10 and cifar100 at this budget; "
    assert capsys.readouterr().out == f"{told}--data cifar10 or --data cifar100 trains on a real one\n"
