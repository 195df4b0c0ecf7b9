"""Networks of the catalog against what the papers print, and against counts others published."""

import csv
from pathlib import Path

import pytest

import explorer
from explorer.analysis.facts import check_facts
from explorer.catalog.methods import methods
from explorer.errors import ArchError
from explorer.grammar.library import Library, shipped
from explorer.grammar.syntax import Expect, Network

NETWORKS = [name for name, place in shipped().items() if place.kind == "network"]
DEFINED = {name: Library().find(name) for name in NETWORKS}
FAMILIES = [n for n, network in DEFINED.items() if any(p.default is None and not p.star for p in network.params)]
NAMED = [name for name in NETWORKS if name not in FAMILIES]
ROOT = Path(explorer.__file__).parent


@pytest.mark.parametrize("name", NAMED)
def test_every_network_has_a_cost(name):
    cost = explorer.cost(name)
    assert cost.params > 0 and cost.macs > 0 and 0 < cost.depth <= cost.chain


def test_every_family_has_a_network():
    named = {network.base.call.name for network in DEFINED.values() if network.base is not None}
    assert set(FAMILIES) <= named and len(FAMILIES) >= 9


@pytest.mark.parametrize("name", [name for name in NETWORKS if DEFINED[name].body is not None])
def test_expect_lines_hold(name):
    for fact, holds in check_facts(DEFINED[name], lambda values: explorer.cost(name, values=values)):
        assert holds, fact


def test_there_are_facts():
    networks = [network for network in DEFINED.values() if isinstance(network, Network) and network.body]
    assert sum(isinstance(item, Expect) for network in networks for item in network.body) >= 20


# GUNN, sections 5.2 and 5.3: exact integers
@pytest.mark.parametrize(
    ("net", "params"),
    [
        ("gunn15", 1_585_746),
        ("gunn15(classes = 100)", 1_618_236),
        ("sunn15", 1_585_746),
        ("gunn24", 29_534_106),
        ("gunn24(classes = 100)", 29_631_396),
        ("gunn18", 28_909_736),
        ("wide-gunn18", 45_624_936),
    ],
)
def test_gunn_params(net, params):
    assert explorer.cost(net).params == params


# SeqConv, tables 2, 3 and 5: printed in millions; B22's is truncated, the others rounded
@pytest.mark.parametrize(
    ("net", "printed"),
    [
        ("seqresnet-k8-r4-n1", "1.2"),
        ("seqresnet-k16-r10-n1", "7.6"),
        ("seqresnet-b-k16-r7-n1", "0.8"),
        ("seqresnet-b-k32-r12-n3", "6.0"),
        ("seqresnext24", "26.2"),
        ("seqresnet-b42", "25.6"),
    ],
)
def test_seqconv_params_round_to_the_printed_digits(net, printed):
    assert f"{explorer.cost(net).params / 1e6:.1f}" == printed


def test_seqresnet_b22_is_printed_truncated():
    params = explorer.cost("seqresnet-b22").params
    assert params // 100_000 == 118 and f"{params / 1e6:.1f}" != "11.8"


DEPTHS = {
    "gunn15": 15,
    "gunn24": 24,
    "gunn18": 18,
    "seqresnet-b22": 22,
    "seqresnet-b42": 42,
    "seqresnext24": 24,
    "densenet100": 100,
    "densenet169": 169,
    "sparsenet-bc-100-24": 100,
    "resnet56": 56,
    "resnet50": 50,
    "resnet1202": 1202,
    "preact-resnet1001": 1001,
    "resnext29-16x64d": 29,
    "se-resnext101-32x4d": 101,
    "dpn92": 92,
    "dpn98": 98,
    "pyramidnet-164-a270": 164,
    "vgg16": 16,
    "densenet264": 265,  # 2 (6 + 12 + 64 + 48) + 5, as DenseNet-121 is 2 (6 + 12 + 24 + 16) + 5
    "wrn-28-10": 26,  # their 6n + 4 counts the three projections, which stand beside others, and not the classifier
    "wrn-40-10": 38,
}


@pytest.mark.parametrize(("net", "depth"), DEPTHS.items())
def test_depth_is_that_of_the_name_or_has_a_reason(net, depth):
    assert explorer.cost(net).depth == depth


# published by others: torchvision, timm, and the original papers' own code
@pytest.mark.parametrize(
    ("net", "params", "macs"),
    [
        ("resnet18", 11_689_512, 1_814_073_344),
        ("resnet34", 21_797_672, None),
        ("resnet50", 25_557_032, 4_089_184_256),
        ("resnet50 + se(at = output)", 28_088_024, None),
        ("resnext50-32x4d", 25_028_904, 4_230_479_872),
        ("vgg16", 138_357_544, 15_470_264_320),
        ("wrn-28-10", 36_479_194, 5_243_328_768),
        ("densenet100", 769_162, 287_929_692),
        ("densenet190", 25_624_430, 9_301_945_740),
        ("resnet110", 1_727_962, 252_887_680),
        ("densenet169", 14_149_480, None),
        ("dpn98", 61_570_728, None),
        ("se-resnext101-32x4d", 48_955_416, None),
        ("densenet-40-12", 1_019_722, None),
        ("preact-resnet164", 1_703_258, None),
        ("resnext29-8x64d", 34_426_698, None),
        ("resnext29-16x64d", 68_155_210, None),
        ("pyramidnet-164-a270", 27_216_021, None),
    ],
)
def test_counts_that_others_published(net, params, macs):
    cost = explorer.cost(net)
    assert cost.params == params
    assert macs is None or cost.macs == macs


# MS-SAR, tables 1 and 2: FLOPs of the plain ResNets, in millions of MACs
@pytest.mark.parametrize(("net", "printed"), [("resnet20", "40.8"), ("resnet32", "69.1"), ("resnet56", "125.7")])
def test_ms_sar_resnet_flops(net, printed):
    assert f"{explorer.cost(net).macs / 1e6:.1f}" == printed


def test_aliases_are_the_same_network():
    for alias, name in (("densenet100", "densenet-bc-100-12"), ("densenet190", "densenet-bc-190-40")):
        assert explorer.expand(alias).digest == explorer.expand(name).digest


def test_gunn_and_sunn_cost_the_same_but_are_not_the_same():
    gunn, sunn = explorer.cost("gunn15"), explorer.cost("sunn15")
    assert (gunn.params, gunn.macs, gunn.depth) == (sunn.params, sunn.macs, sunn.depth)
    assert gunn.chain > sunn.chain and gunn.graph.digest != sunn.graph.digest


# the papers of the baselines, in millions of parameters; SparseNet's are those of 100 classes
@pytest.mark.parametrize(
    ("net", "printed"),
    [
        ("resnet1202", "19.4"),
        ("preact-resnet164", "1.7"),
        ("preact-resnet1001", "10.3"),  # printed 10.2: the weights alone
        ("densenet-40-12", "1.0"),
        ("densenet-100-12", "7.0"),
        ("densenet-100-24", "27.2"),
        ("sparsenet-40-24(classes = 100)", "0.76"),
        ("sparsenet-100-36(classes = 100)", "5.65"),
        ("sparsenet-100-16-32-64(classes = 100)", "7.22"),
        ("sparsenet-bc-100-24(classes = 100)", "1.46"),
        ("densenet(100, 24, first = 48, classes = 100)", "28.28"),
        ("all-cnn", "1.37"),
        ("densenet264", "33.3"),
        ("dpn92", "37.7"),
        ("seqresnet-s1", "1.2"),
        ("seqresnet-s2", "1.2"),
        ("seqresnet-s3", "1.3"),
        ("seqresnet-s4", "1.3"),
    ],
)
def test_sizes_round_to_the_printed_digits(net, printed):
    digits = len(printed.partition(".")[2])
    assert f"{explorer.cost(net).params / 1e6:.{digits}f}" == printed


def test_weights_alone_of_a_thousand_layers_are_what_is_printed():
    weights = sum(row.weights for row in explorer.cost("preact-resnet1001").ledger.values())
    assert f"{weights / 1e6:.1f}" == "10.2"


@pytest.mark.parametrize("table", ["reported.csv", "claims.csv"])
def test_the_papers_figures_are_tables(table):
    rows = list(csv.DictReader((ROOT / "catalog" / table).open()))
    assert len(rows) >= 90 and all(None not in row and None not in row.values() for row in rows)


PRINTED = sorted({row["network"] for row in csv.DictReader((ROOT / "catalog" / "reported.csv").open())})


@pytest.mark.parametrize("name", PRINTED)
def test_every_printed_row_is_a_network_or_a_method(name):
    method = methods().get(name)
    assert (method is None) == (name.partition("+")[0] in NETWORKS)
    assert explorer.cost(method.network if method else name).params > 0


def test_methods_are_made_of_networks():
    assert set(methods()) <= set(PRINTED) and len(methods()) == 3
    assert all(m.network in NETWORKS and m.copies >= 1 and m.what and m.source for m in methods().values())
    # GUNN, table 3: 163.2M = 6 x 27.2M and 177.6M = 6 x 29.6M, the sizes rounded before they are multiplied
    for name, classes, one, printed in (
        ("snapshot-ensemble", 10, "27.2", 163.2),
        ("gunn24-ensemble6", 100, "29.6", 177.6),
    ):
        method = methods()[name]
        assert f"{explorer.cost(method.network, classes=classes).params / 1e6:.1f}" == one
        assert round(method.copies * float(one), 1) == printed


def test_what_is_computed_makes_the_digest_not_the_labels():
    plain = "network n { input 3x8x8, conv(3x3, 4), bn, relu, gap, linear(2) }"
    labelled = "network m { input 3x8x8, a: conv(3x3, 4), bn, b: relu, c: gap, linear(2) }"
    other = plain.replace("relu", "sigmoid")
    assert explorer.expand(plain).digest == explorer.expand(labelled).digest != explorer.expand(other).digest


@pytest.mark.parametrize(("text", "at", "words"), [
    ("mixup", 1, "'mixup' is a way of training, not a network"),
    ("resnet20 + mixup", 12, "Printed with it: densenet-bc-190-40"),
    ("snapshot-ensemble", 1, "6 copies of densenet-100-24"),
    ("cifar_resnet(n = 1..3)", 18, "'1..3' is a range"),
])  # fmt: skip
def test_what_is_no_single_network_is_told_apart(text, at, words):
    with pytest.raises(ArchError) as raised:
        explorer.expand(text)
    assert str(raised.value).startswith(f"<network>:1:{at}: ") and words in str(raised.value)
