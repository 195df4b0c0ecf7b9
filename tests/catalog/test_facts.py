"""Networks of the catalog against what the papers print, and against counts others published."""

import csv
from pathlib import Path

import pytest

import explorer
from explorer.analysis.facts import check_facts
from explorer.grammar.library import Library, shipped
from explorer.grammar.syntax import Network

NETWORKS = [name for name, place in shipped().items() if place.kind == "network"]
FAMILIES = {  # families need arguments
    "densenet_bc": "densenet_bc(depth = 10, k = 4)",
    "densenet": "densenet(depth = 10, k = 4)",
    "imagenet_gunn": "imagenet_gunn(widths = [20, 40, 40, 40], parts = [2, 4, 4, 4])",
    "cifar_resnet": "cifar_resnet(n = 1)",
    "imagenet_resnet": "imagenet_resnet(repeats = [1, 1, 1, 1])",
    "imagenet_resnext": "imagenet_resnext(repeats = [1, 1, 1, 1])",
    "wrn": "wrn(depth = 10, k = 1)",
    "seqresnet": "seqresnet(k = 4, r = 1)",
    "imagenet_seqresnet": "imagenet_seqresnet(w = 128, N = [1, 1, 1, 1])",
}
ROOT = Path(explorer.__file__).parent


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_has_a_cost(name):
    cost = explorer.cost(FAMILIES.get(name, name))
    assert cost.params > 0 and cost.macs > 0 and 0 < cost.depth <= cost.chain


def test_expect_lines_hold():
    library, checked = Library(), 0
    for name in NETWORKS:
        network = library.find(name)
        assert isinstance(network, Network)
        for fact, holds in check_facts(network, lambda values, n=name: explorer.cost(n, values=values)):
            assert holds, f"{name}: {fact}"
            checked += 1
    assert checked >= 6


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


@pytest.mark.parametrize(
    ("net", "depth"), [("gunn15", 15), ("gunn24", 24), ("gunn18", 18), ("seqresnet-b22", 22), ("seqresnet-b42", 42),
                       ("seqresnext24", 24), ("densenet100", 100), ("resnet56", 56), ("resnet50", 50), ("vgg16", 16)],
)  # fmt: skip
def test_depth_is_that_of_the_name(net, depth):
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


def test_printed_networks_of_this_issue_exist():
    names = {row["network"] for row in csv.DictReader((ROOT / "catalog" / "reported.csv").open())}
    wanted = {"gunn15", "gunn24", "gunn18", "wide-gunn18", "sunn15", "sunn24", "sunn18", "gunn15-nores", "resnet20",
              "resnet32", "resnet56", "resnet110", "resnet18", "resnet34", "resnet50", "densenet-bc-100-12",
              "densenet-bc-190-40", "seqresnet-k8-r4-n1", "seqresnet-b-k16-r7-n1", "seqresnext24", "seqresnet-b42",
              "seqresnet-b22", "wrn-28-10", "vgg16"}  # fmt: skip
    assert wanted <= names and wanted <= set(NETWORKS)


def test_what_is_computed_makes_the_digest_not_the_labels():
    plain = "network n { input 3x8x8, conv(3x3, 4), bn, relu, gap, linear(2) }"
    labelled = "network m { input 3x8x8, a: conv(3x3, 4), bn, b: relu, c: gap, linear(2) }"
    other = plain.replace("relu", "sigmoid")
    assert explorer.expand(plain).digest == explorer.expand(labelled).digest != explorer.expand(other).digest
