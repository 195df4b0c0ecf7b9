"""The command line as people use it: what it prints, its JSON, its exit codes."""

import csv
import io
import json
import re
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

import explorer
from explorer.analysis.formula import strongest
from explorer.cli.app import app
from explorer.cli.app import run as run_here

CONTRACT = {"network": str, "canonical": str, "input": list, "params": int, "macs": int, "activations": int,
            "depth": int, "chain": int, "count": int, "convention": str, "tree": dict, "launches": int,
            "bytes_moved": int, "bytes_copied": int, "intensity": float, "reach": dict}  # fmt: skip
COLUMNS = ("params", "macs", "activations", "launches", "bytes_moved", "bytes_copied")


def run(*arguments):
    """A command in a process of its own: exit code, output, errors."""
    done = subprocess.run([sys.executable, "-m", "explorer", *arguments], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def call(*arguments):
    """A command in this process, for what should succeed."""
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_cost_prints_stages_and_totals():
    text = call("cost", "gunn18")
    for words in ("conv2", "gunn_layer", "400x56x56", "28,909,736", "9,722,759,552", "depth 18", "chain 366"):
        assert words in text
    assert "…" not in text, "a number was cut"


def test_json_of_one_network_is_the_contract():
    found = json.loads(call("cost", "gunn18", "--format", "json"))
    for key, kind in CONTRACT.items():
        assert type(found[key]) is kind, key
    assert found["network"] == "gunn18" and found["input"] == [3, 224, 224]
    assert found["params"] == 28_909_736 and found["count"] == found["macs"] and found["convention"] == "macs"
    node = found["tree"]
    assert set(node) == {"name", "kind", "shape", "columns", "children"} and node["shape"] == [1000, 1, 1]


def test_json_of_several_is_a_list_in_order():
    nets = ["resnet20+se", "gunn15", "resnet20"]
    found = json.loads(call("cost", *nets, "--format", "json"))
    assert [x["network"] for x in found] == nets
    assert found[0]["canonical"] == "resnet20 + se"


@pytest.mark.parametrize(
    "net", ["gunn15", "densenet100 + mssar(1,2)", "seqresnet-k8-r4-n1", "resnet50 + wseqconv(k=32)"]
)
def test_the_tree_adds_up_at_every_level(net):
    def check(node):
        for column in (*COLUMNS, "saved"):
            if node["children"]:
                assert node["columns"][column] == sum(c["columns"][column] for c in node["children"])
        for child in node["children"]:
            check(child)

    for batch in ("1", "3"):
        found = json.loads(call("cost", net, "--batch", batch, "--format", "json"))
        check(found["tree"])
        assert found["tree"]["columns"] == {k: found[k] for k in COLUMNS} | {"saved": found["memory"]["train"]["saved"]}


def test_csv_has_a_row_for_every_stage():
    rows = list(csv.DictReader(io.StringIO(call("cost", "resnet20", "--format", "csv"))))
    assert rows[0]["path"] == "" and int(rows[0]["params"]) == 272_474
    assert [r["path"] for r in rows[1:]] == ["conv1", "stage1", "stage2", "stage3", "head"]
    for column in (*COLUMNS, "saved"):
        assert sum(int(r[column]) for r in rows[1:]) == int(rows[0][column])
    assert int(rows[0]["train_memory"]) > int(rows[0]["saved"]) > int(rows[0]["infer_memory"]) > 0


def test_input_classes_and_batch():
    plain = json.loads(call("cost", "resnet20", "--format", "json"))
    hundred = json.loads(call("cost", "resnet20", "--classes", "100", "--format", "json"))
    assert hundred["params"] - plain["params"] == 90 * 65
    double = json.loads(call("cost", "resnet20", "--batch", "2", "--format", "json"))
    assert double["macs"] == 2 * plain["macs"] and double["params"] == plain["params"]
    larger = json.loads(call("cost", "resnet20", "--input", "3x64x64", "--format", "json"))
    assert larger["macs"] - 640 == 4 * (plain["macs"] - 640) and larger["params"] == plain["params"]


def test_traffic_counts_weights_once_for_a_batch():
    one, two = (json.loads(call("cost", "gunn15", "--batch", b, "--format", "json")) for b in ("1", "2"))
    assert two["launches"] == one["launches"] and two["bytes_copied"] == 2 * one["bytes_copied"]
    assert 4 * one["params"] <= 2 * one["bytes_moved"] - two["bytes_moved"] < 5 * one["params"]
    assert one["intensity"] == 2 * one["macs"] / one["bytes_moved"] < two["intensity"]


def test_one_network_ends_with_launches_bytes_and_memory():
    found = json.loads(call("cost", "gunn18", "--format", "json"))
    last, memory = call("cost", "gunn18").strip().splitlines()[-2:]
    assert last.startswith(f"launches {found['launches']:,}   {found['bytes_moved'] / 1e9:.4g} GB moved, ")
    assert f"{found['bytes_copied'] / 1e6:.4g} MB by copying" in last
    assert last.endswith(f"{found['intensity']:.1f} FLOPs for each byte") and "GiB" not in last
    assert "by copying" not in call("cost", "resnet20")
    assert found["memory"]["train"]["peak"] == found["train_memory"] and found["memory"]["infer"]["workspace"] is None
    assert f"training {found['train_memory'] / 1e6:.4g} MB (" in memory and " MB balanced, " in memory
    assert "balanced" not in call("cost", "resnet20")
    assert f"inference {found['infer_memory'] / 1e6:.4g} MB" in memory


@pytest.mark.parametrize(("arguments", "words"), [
    ([], "NET is missing"), (["--calibrate", "x.toml"], "--calibrate needs --on"),
    (["--calibrate", "x.toml", "--on", "h200"], "one device that is here"),
    (["--calibrate", "x.txt", "--on", "cpu"], "FILE.toml"), (["--calibrate", "no/x.toml", "--on", "cpu"], "exists"),
])  # fmt: skip
def test_calibration_is_refused_before_it_starts(arguments, words):
    code, output, errors = run("cost", *arguments)
    assert code == 2 and output == "" and words in errors and "Traceback" not in errors


def test_whether_it_fits():
    fits = ["cost", "wrn-28-10", "--batch", "64", "--limit"]
    assert run(*fits, "train_memory <= 2GB")[0] == 0
    code, _, errors = run(*fits, "train_memory <= 1.25 GiB")
    assert code == 1 and "train_memory is 1,50" in errors and "GB, reference layers)" in errors and "above it" in errors


# --- networks of equal cost beside each other

EQUAL = ["resnet20", "resnet20 + sunn(parts=4)", "resnet20 + gunn(parts=4)", "resnet20 + wseqconv(k=8)"]


def rows_of(text):
    """The table's rows as cells, by name; stages under their network's."""
    lines = text.splitlines()
    ruled = next(i for i, line in enumerate(lines) if "───" in line)
    table = lines[ruled + 1 : next(i for i, line in enumerate(lines) if i > ruled and not line.strip())]
    found, network = {}, ""
    for line in table:
        name, *cells = re.split(r"\s{2,}", line.strip())
        stage = line.startswith("   ")
        network = network if stage else name
        found[(network, name) if stage else name] = cells
    return found


def test_what_tells_networks_of_equal_cost_apart_is_on_one_screen():
    text = call("cost", *EQUAL, "--depth", "1")
    assert len(text.splitlines()) < 42 and max(map(len, text.splitlines())) <= 140
    rows = rows_of(text)
    networks = ["resnet20", "+ sunn(parts = 4)", "+ gunn(parts = 4)", "+ wseqconv(k = 8)"]
    assert [name for name in rows if isinstance(name, str)] == networks
    assert len(rows) == 4 * 6 and len({tuple(rows[name][:4]) for name in networks}) == 1
    assert len({tuple(rows[name][4:]) for name in networks}) == 4
    found = json.loads(call("cost", *EQUAL, "--format", "json"))
    for name, cost in zip(networks, found, strict=True):
        wanted = [f"{cost[key]:,}" for key in ("params", "macs", "activations", "depth", "chain", "launches")]
        assert rows[name][:6] == wanted
        assert rows[name][6] == f"{cost['bytes_moved'] / 1e6:.2f}"
        assert rows[name][7] == f"{100 * cost['bytes_copied'] / cost['bytes_moved']:.1f}%"
        for shown, key in ((rows[name][9], "depth"), (rows[name][10], "receptive_field")):
            values = [cost["reach"][key][quantile] for quantile in ("min", "median", "max")]
            assert shown == ("·".join(map(str, values)) if values[0] != values[-1] else str(values[0]))


def test_stages_are_measured_from_their_own_input():
    rows = rows_of(call("cost", "gunn15", "sunn15", "seqresnet-k8-r4-n1", "--depth", "1"))
    assert rows["gunn15", "conv2"][3:5] == ["3", "60"] and rows["gunn15", "conv2"][9:] == ["3·30·60", "3·21·41"]
    assert rows["sunn15", "conv2"][3:5] == ["3", "3"] and rows["sunn15", "conv2"][9:] == ["3", "3"]
    assert rows["seqresnet-k8-r4-n1", "head"][9:] == ["1·4·8", "3·9·17"]
    assert rows["gunn15", "fc"][3:5] == ["1", "1"] and rows["sunn15", "trans3"][10] == "all"


def test_depth_two_shows_blocks_and_depth_zero_totals():
    rows = rows_of(call("cost", "resnet20", "resnet20 + se", "--depth", "0"))
    assert list(rows) == ["resnet20", "+ se"] and rows["+ se"][10] == "all"
    assert ("resnet20", "basic2") in rows_of(call("cost", "resnet20", "resnet32", "--depth", "2"))


def test_reach_in_json_is_the_distribution_over_channels():
    reach = json.loads(call("cost", "gunn15", "--format", "json"))["reach"]
    assert reach["map"] == "conv4" and set(reach) == {"map", "depth", "shortest", "receptive_field", "stages"}
    assert reach["depth"]["channels"] == [[142 + 3 * i, 12] for i in range(30)]
    conv2 = next(stage for stage in reach["stages"] if stage["name"] == "conv2")
    assert conv2["own"]["depth"]["channels"] == [[3 + 3 * i, 12] for i in range(20)]
    assert conv2["from_image"]["depth"]["min"] == 5
    se = json.loads(call("cost", "resnet20 + se", "--format", "json"))["reach"]
    assert se["receptive_field"] == {"min": None, "median": None, "max": None, "channels": [[None, 64]]}


# --- other conventions, limits


def test_counts_by_other_conventions():
    text = call("cost", "resnet50", "--as", "macs,torch")
    assert "4,089,184,256 MACs" in text and "8,178,368,512 FLOPs" in text
    found = json.loads(call("cost", "resnet50", "--as", "torch, macs", "--format", "json"))
    assert (found["convention"], found["count"], found["macs"]) == ("torch", 8_178_368_512, 4_089_184_256)
    assert found["others"] == {"macs": 4_089_184_256}
    rows = list(csv.DictReader(io.StringIO(call("cost", "resnet50", "vgg16", "--as", "torch", "--format", "csv"))))
    assert [(row["network"], row["unit"]) for row in rows] == [("resnet50", "FLOPs"), ("vgg16", "FLOPs")]
    assert rows[0]["count"] == "8178368512"


def test_a_limit_that_is_broken_exits_with_1_after_the_table():
    code, out, err = run("cost", "resnet50", "resnet20", "--limit", "params <= 25e6 and depth < 50", "--format", "json")
    assert code == 1 and len(json.loads(out)) == 2
    assert err.splitlines() == [
        "limit: resnet20 meets params <= 25000000: params is 272,474",
        "limit: resnet20 meets depth < 50: depth is 20",
        "explorer: --limit: resnet50 breaks params <= 25000000: params is 25,557,032, 2.23% above it",
        "explorer: --limit: resnet50 breaks depth < 50: depth is 50",
    ]
    told = "limit: resnet50 meets params <= 26000000: params is 25,557,032\n"
    assert call("cost", "resnet50", "--limit", "params <= 26e6") == call("cost", "resnet50") + told


def test_several_networks_show_differences():
    text = call("cost", "resnet56", "resnet56 + mssar(1,2,4)")
    assert "+11.94%" in text and "difference to resnet56" in text


def test_modifiers_say_what_they_changed_and_left():
    text = call("cost", "resnet50 + wseqconv(k=32) + mssar(1,2,4)")
    assert "+ wseqconv(k = 32): 13 places changed, 3 left: it is strided" in text
    assert "+ mssar(1, 2, 4): 16 places changed" in text


def test_verify_shows_other_counters():
    text = call("cost", "resnet20 + mssar(1,2)", "--verify")
    for words in ("FlopCounterMode", "fvcore", "torchinfo", "batch-norm parameters"):
        assert words in text
    assert "UNEXPLAINED" not in text


@pytest.mark.parametrize("net", ["gunn18", "sunn15", "resnet20 + mssar(1, 2) on stage2", "cifar_resnet(n = 2)"])
def test_show_prints_text_that_means_the_same(net, tmp_path):
    path = tmp_path / "shown.arch"
    path.write_text(call("show", net))
    assert explorer.expand(str(path)).digest == explorer.expand(net).digest


def test_show_formula():
    text = call("show", "mssar(1, 2, 4, width = d)", "--formula")
    assert "weights      = 6*D*d" in text and "MACs         = 42*D*d" in text
    assert "64*classes" in call("show", "resnet20", "--formula")
    assert text.splitlines()[-1] == "  where H >= 4, W >= 4"
    assert call("show", "gunn18", "--formula").splitlines()[-1] == "  where 32 divides H, 32 divides W"


def test_of_each_symbol_the_strongest_condition_is_left():
    given = [
        "H/4 - 2 >= 0",
        "6 divides H",
        "W >= 5",
        "W/2 - 1 >= 0",
        "4 divides H",
        "k >= D",
        "D - 2 > 0",
        "4 - H >= 0",
    ]
    assert strongest(given) == ["k >= D", "D - 2 > 0", "4 - H >= 0", "W >= 5", "12 divides H"]
    assert strongest(["H/3 - 4 >= 0", "2 divides H", "W >= 1"]) == ["H >= 12", "2 divides H"]


def test_show_says_what_a_primitive_is():
    assert call("show", "conv").startswith("conv(3x3, width") and "is a primitive" in call("show", "conv")
    assert "is a fold" in call("show", "windowed")


def test_list_finds_by_part_and_pattern():
    assert "wide-gunn18" in call("list", "gunn") and "resnet50" not in call("list", "gunn")
    assert "seqresnet-b22" in call("list", "seqresnet-*")
    everything = call("list")
    for name in ("networks:", "mssar(*scales", "wseqconv(k, c = 1)", "conv(3x3", "digits"):
        assert name in everything


def test_files(tmp_path):
    path = tmp_path / "my.arch"
    path.write_text("network a { input 3x8x8\n c: conv(3x3, 4) }\nnetwork b { input 3x8x8\n c: conv(3x3, 8) }\n")
    assert json.loads(call("cost", str(path), "--format", "json"))["params"] == 216
    assert json.loads(call("cost", f"{path}:a", "--format", "json"))["params"] == 108
    assert json.loads(call("cost", f"{path}:a", f"{path}:b", "--format", "json"))[1]["params"] == 216


# --- bad input: one clear message, exit code 2, no traceback ---

NET = "network n {{ input 3x8x8\n {} }}"
BAD = [
    (["cost", "gunn17"], "did you mean 'gunn18'"),
    (["cost", ""], "empty"),
    (["cost", "resnet20 + mssr(1)"], "did you mean 'mssar'"),
    (["cost", "resnet20 + mssar(16)"], "larger than the map"),
    (["cost", "resnet20 + mssar()"], "at least one of 'scales'"),
    (["cost", "resnet20 + mssar(0)"], "at least 1"),
    (["cost", "resnet20 + mssar(1.5)"], "whole number"),
    (["cost", "resnet20 + mssar(1, wdth=3)"], "did you mean 'width'"),
    (["cost", "resnet20 + wseqconv(k=7)"], "k does not divide its width"),
    (["cost", "resnet20 + wseqconv(k=0)"], "division by zero"),
    (["cost", "resnet20 + mssar(1) on stage9"], "there is no stage 'stage9'"),
    (["cost", "vgg16 + se"], "no slot"),
    (["cost", "resnet20 + resnet20"], "is a network"),
    (["cost", "mssar(1)"], "not a network"),
    (["cost", "cifar_resnet"], "needs 'n'"),
    (["cost", "cifar_resnet(n=1, 2, 3, 4, 5, 6)"], "argument"),
    (["cost", "cifar_resnet(m=1)"], "no parameter 'm'"),
    (["cost", "cifar_resnet(n=1, widths=[16,32])"], "different lengths"),
    (["cost", "cifar_resnet(n=-1)"], "at least 0"),
    (["cost", "cifar_resnet(n=1.5)"], "whole number"),
    (["cost", "wrn(depth=29, k=1)"], "whole number"),
    (["cost", "seqresnet(k=7, r=1)"], "do not divide the width"),
    (["cost", "resnet20("], "never closed"),
    (["cost", "resnet20)"], "closes nothing"),
    (["cost", "resnet20 +"], "the text ends"),
    (["cost", "no-such-file.arch"], "no file"),
    (["cost", "resnet20", "--input", "3x32"], "--input"),
    (["cost", "resnet20", "--input", "0x32x32"], "--input"),
    (["cost", "resnet20", "--classes", "0"], "--classes"),
    (["cost", "resnet20", "--batch", "-1"], "--batch"),
    (["cost", "resnet20", "--depth", "-1"], "--depth"),
    (["cost", "resnet20", "--limit", "parms < 1"], "--limit:1:1: unknown quantity 'parms'; did you mean 'params'"),
    (["cost", "resnet20", "--limit", "params"], "params is 272474, no condition"),
    (["cost", "resnet20", "--limit", "params <"], "the text ends"),
    (["cost", "resnet20", "--as", "fvcor"], "--as: unknown convention 'fvcor'; did you mean 'fvcore'"),
    (["cost", "resnet20", "--as", "torch,torch"], "named twice"),
    (["cost", "resnet20", "--as", ""], "--as"),
    (["cost", "vgg16", "--input", "3x8x8"], "does not fit"),
    (["cost", NET.format("conv(3x3, 0)")], "at least 1"),
    (["cost", NET.format("conv(3x3, 4, groups = 2)")], "do not divide"),
    (["cost", NET.format("conv(9x3, 4)")], "square kernel"),
    (["cost", NET.format("add { it | conv(1x1, 4) }")], "equal shapes"),
    (["cost", NET.format("linear(4)")], "reads a vector"),
    (["cost", NET.format("cnv(3x3, 4)")], "did you mean 'conv'"),
    (["cost", NET.format("conv(3x3)")], "needs 'width'"),
    (["cost", NET.format("update(4) { conv(1x1, out) }")], "4 parts of 3"),
    (["cost", NET.format("windowed(4, 2) { conv(3x3, out) }")], "do not divide"),
    (["cost", NET.format("aggregate(4, 2) { conv(3x3, 3) }")], "must make 2 channels"),
    (["cost", NET.format("project")], "stands only inside"),
    (["cost", NET.format("dropout(1)")], "below 1"),
    (["cost", "network n { relu }"], "states no input"),
    (["cost", "block b { b }\nnetwork n { input 3x8x8\n b }"], "contain itself"),
    (["show", "nothing"], "unknown network"),
    (["show", "resnet20 + nothing"], "unknown modifier"),
    (["cost", "gunn15(10, 11)"], "current or original"),
    (["cost", "gunn15(10, classes = 11)"], "'classes' twice"),
    (["cost", "x" * 5000 + ".arch"], "cannot be read"),
    (["cost", NET.format("    " * 20 + "$")], "unexpected character"),
    (["cost", NET.format("conv(3x3, foo)")], "<text>:2:12: unknown name"),
    (["cost", NET.format("conv(3x3, it)")], "not a tensor"),
    (["cost", NET.format("conv(3x3, 4, kernel = 5)")], "'kernel' twice"),
    (["cost", NET.format("conv(3x3, 1), conv(3x3, 1), conv(3x3, yes)")], "not yes"),
    (["cost", NET.format("dropout(it)")], "is a number, not a tensor"),
    (["cost", NET.format("slice(0, 2.5)")], "whole number"),
    (["cost", NET.format("aggregate(8, it) { group }")], "whole number"),
    (["cost", NET.format("aggregate(8, 0.0) { group }")], "at least 1"),
    (["cost", NET.format("a: { input 3x8x8 }")], "directly in a network"),
    (["cost", NET.format("update(3) { part(t = it) }")], "one tensor"),
    (["cost", NET.format("for x in [it] { x }")], "not tensors"),
    (["cost", NET.format("relu.foo")], "no record"),
    (["cost", NET.format("tap(raw, 9)")], "write tap(raw)"),
    (["cost", NET.format("mssar(1, pool = diamond)")], "unknown step 'diamond'"),
    (["cost", "block relu { conv(3x3, 3) }\n" + NET.format("relu")], "the grammar's own word"),
    (["cost", NET.format("for i in range(1000000) { it }")], "more than 10,000 values"),
    (["cost", "network n(a = 99999999999, b = a * a * a) { input 3x8x8, relu }"], "beyond"),
    (["show", "gunn_layer", "--formula"], "one plain integer"),
    (["show", "resnet20", "--svg", "/no/such/folder/x.svg"], "/no/such/folder"),
    (["list", "zzzz"], "nothing is called"),
    (["cost"], "NET is missing"),
    (["cots", "gunn18"], "No such command"),
    (["cost", "--inptu", "3x8x8"], "--help)"),
    (["show", "resnet20", "--svg", "o/x.pdf"], "--svg: 'o/x.pdf' does not end in .svg"),
    (["cost", "resnet5O"], "did you mean 'resnet50'?"),
    (["cost", "resnet20 + se on stage4"], "did you mean 'stage3'?"),
    (["sweep", "--scales", ""], "--scales"),
    (["sweep", "--scales", "1,0"], "--scales"),
    (["sweep", "--scales", "a"], "--scales"),
    (["sweep", "--scales", "16"], "larger than the map"),
    (["sweep", "--budget", "0epochs"], "--budget"),
    (["sweep", "--seeds", "0", "--scales", "1"], "--seeds"),
    (["train", "resnet20", "--data", "digit"], "did you mean 'digits'"),
    (["report", "--workspace", "/no/such/folder"], "/no/such/folder"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "words"), BAD, ids=[" ".join(a)[:60] for a, _ in BAD])
def test_bad_input(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(explorer.UserError) as raised:
        run_here(arguments)
    message = str(raised.value)
    assert words in " ".join(message.split()), message
    assert len(message) < 2000
    assert list(tmp_path.iterdir()) == []


def test_errors_go_to_stderr_with_exit_code_2():
    code, out, err = run("cost", "resnet20 + mssar(1,, 2)")
    assert (code, out) == (2, "") and err.startswith("explorer: <network>:1:20: ") and "Traceback" not in err
    code, out, err = run("cost", "--foo")
    assert (code, out) == (2, "") and err.startswith("explorer: No such option: --foo") and len(err.splitlines()) == 1


@pytest.mark.parametrize("arguments", [[], ["-h"], ["help"], ["help", "cost"], ["cost", "-h"]])
def test_help_has_many_names(arguments, capsys):
    assert run_here(arguments) == 0
    text = capsys.readouterr().out
    assert ("--limit" in text) == ("cost" in arguments) and "Usage:" in text
    if "cost" not in arguments:
        assert "activations, depth, traffic." in text and "..." not in text.partition("Commands:")[2]


HOSTILE = {
    "a million layers": NET.format("conv(3x3, 8) * 1000000"),
    "10^12 channels": NET.format("conv(3x3, 1000000000000)"),
    "layers in layers": "block a { relu * 10 }\n"
    + "".join(f"block {chr(98 + i)} {{ {chr(97 + i)} * 10 }}\n" for i in range(8))
    + NET.format("i"),
    "loops in loops": NET.format("for a in range(1000) { for b in range(1000) { it } }"),
    "a long list": NET.format("for a in range(999999999999) { it }"),
    "a long dense block": NET.format("grow(1000000) { conv(1x1, 1) }"),
    "many groups": NET.format("aggregate(10000000, 1) { conv(1x1, out) }"),
    "endless brackets": "network n { " + "{ " * 1_000_000,
    "a long name": "x" * 1_000_001,
    "itself": "network n = n",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_networks_end_quickly_in_little_memory(name):
    code = (
        "import resource, sys, explorer\n"
        "try: explorer.cost(sys.stdin.read()); said = ''\n"
        "except explorer.UserError as e: said = str(e)\n"
        "peak = [line for line in open('/proc/self/status') if line.startswith('VmHWM')][0].split()[1]\n"
        "print(len(said), int(peak) // 1024, resource.getrusage(resource.RUSAGE_SELF).ru_utime)"
    )
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], input=HOSTILE[name], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-500:]
    said, megabytes, seconds = done.stdout.split()
    assert int(said) < 2000 and int(megabytes) < 200
    assert float(seconds) < 2 and time.monotonic() - start < 20  # generous here; the benchmark has the figures
