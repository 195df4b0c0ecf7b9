"""Predicted memory: what adds up, what follows from settings, what is refused, how fast it is."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest
from catalog.test_facts import NAMED

import explorer
from explorer.analysis.memory import memory
from explorer.errors import UserError

SMALL = "network n { input 3x8x8\n stem: conv(3x3, 4), bn, relu\n head: dropout(0.5), gap, linear(2) }"


def test_by_hand():
    """Two images. The convolution saves the image, which counts apart."""
    predicted = memory(explorer.expand(SMALL), 2)
    image, labels = 2 * 3 * 64 * 4, 2 * 8
    a_map = 2 * 4 * 64 * 4
    parts = {"conv": 0, "bn": a_map + 2 * 4 * 4, "relu": a_map, "dropout": a_map, "gap": 0, "linear": 2 * 4 * 4}
    tree = predicted.tree()
    assert {op["name"]: op["saved"] for part in tree["children"] for op in part["children"]} == parts
    assert predicted.saved == tree["saved"] == sum(parts.values())
    assert predicted.image == image + labels
    assert predicted.parameters == predicted.optimizer == 4 * (27 * 4 + 2 * 4 + 4 * 2 + 2)
    assert predicted.buffers == 2 * 4 * 4 + 8
    # when most is there, all three maps still are, one gradient came and another is made; scores and loss are held
    assert (predicted.where, predicted.phase) == ("head.dropout", "backward")
    assert predicted.activations == 3 * a_map + 2 * 4 * 4
    assert predicted.temporaries == 2 * a_map + 2 * 2 * 4 + 4
    assert predicted.gradients == 4 * (4 * 2 + 2)  # the linear layer's


def test_by_hand_on_cuda():
    """Blocks of 512 bytes; dropout's mask has a byte for an element."""
    predicted = memory(explorer.expand(SMALL), 2, device="cuda")
    a_map, mask = 2048, 512
    parts = {"conv": 0, "bn": a_map + 2 * 512, "relu": a_map, "dropout": mask, "gap": 0, "linear": 512}
    tree = predicted.tree()
    assert {op["name"]: op["saved"] for part in tree["children"] for op in part["children"]} == parts
    assert (predicted.parameters, predicted.buffers, predicted.image) == (5 * 512, 3 * 512, 1536 + 512)


def test_inference_by_hand():
    predicted = memory(explorer.expand(SMALL), 2, "infer")
    assert predicted.held == predicted.parameters + predicted.buffers + 2 * 3 * 64 * 4
    assert predicted.temporaries == predicted.peak - predicted.held == 2 * 2048 + 2 * 4 * 4  # bn: two maps, two vectors
    assert predicted.where == "stem.bn" and predicted.saved == predicted.optimizer == predicted.gradients == 0


def leaves(node):
    return node["saved"] if not node["children"] else sum(map(leaves, node["children"]))


@pytest.mark.parametrize("net", ["gunn15", "dsn", "densenet100", "resnet20 + mssar(1, 2, 4)", "seqresnet-k8-r4-n1"])
def test_parts_add_up(net):
    graph = explorer.expand(net)
    predicted = memory(graph, 3)
    whole = predicted.tree()
    assert whole["saved"] == leaves(whole) == predicted.saved
    for depth in (0, 1, 2):
        assert leaves(predicted.tree(depth)) == predicted.saved
    names = [child["name"] for child in whole["children"]]
    assert names == [e.name for e in graph.root.body] + [head.name for head in graph.auxiliaries]
    parts = (predicted.gradients, predicted.activations, predicted.temporaries)
    assert predicted.peak == predicted.held + sum(parts) and min(parts) >= 0


def test_what_a_batch_adds_is_what_each_image_adds():
    graph = explorer.expand("gunn15")
    two, four, six = (memory(graph, batch).saved for batch in (2, 4, 6))
    assert four - two == six - four


def test_numbers_of_two_bytes():
    graph = explorer.expand("network n { input 4x8x8\n conv(3x3, 4), relu, maxpool(2), gap, linear(4) }")
    single, half = memory(graph, 2), memory(graph, 2, element=2)
    indices = 2 * 4 * 16 * 8
    assert half.saved - indices == (single.saved - indices) / 2
    assert (half.parameters, half.image - 16) == (single.parameters / 2, (single.image - 16) / 2)


def test_what_learns_nothing_has_no_momentum():
    text = "block vain {{ {} }}\nnetwork n {{ input 2x4x4\n conv(1x1, 4), vain, gap, linear(3) }}"
    with_it = memory(explorer.expand(text.format("conv(3x3, 3), tap(unused), entry")))
    without = memory(explorer.expand(text.format("it")))
    assert with_it.optimizer == without.optimizer == without.parameters
    assert with_it.parameters == without.parameters + 4 * 9 * 4 * 3


def test_auxiliary_heads_are_trained_only():
    graph = explorer.expand("dsn")
    assert memory(graph, 2, "infer").peak == memory(graph.main, 2, "infer").peak
    assert memory(graph, 2).saved > memory(graph.main, 2).saved
    assert memory(graph, 2).parameters > memory(graph, 2, "infer").parameters == memory(graph.main, 2).parameters


def test_segments_cost_memory_that_their_twin_does_not():
    gunn, sunn = (memory(explorer.expand(name), 64) for name in ("gunn15", "sunn15"))
    assert gunn.parameters == sunn.parameters and gunn.saved > 2 * sunn.saved


@pytest.mark.parametrize(("settings", "said"), [
    ({"batch": 0}, "batch is a whole number"), ({"batch": True}, "batch is a whole number"),
    ({"mode": "training"}, "unknown mode 'training'; did you mean 'train'"),
    ({"device": "gpu"}, "unknown device 'gpu'"), ({"element": 8}, "4 or 2 bytes, not 8"),
])  # fmt: skip
def test_other_settings_are_refused(settings, said):
    with pytest.raises(UserError, match=said):
        memory(explorer.expand("resnet20"), **settings)


def test_sweeps_and_formulas_have_none():
    cost = explorer.cost("wrn(depth = 16, k = 2)", values={"k": np.array([2, 4])})
    assert cost.memory("train") is cost.train_memory is cost.infer_memory is None
    with pytest.raises(UserError, match="plain integers"):
        memory(cost.graph)


def test_of_a_cost():
    cost = explorer.cost("resnet20", batch=8)
    shown = cost.as_dict(0)["memory"]
    assert json.loads(json.dumps(shown)) == shown and set(shown) == {"train", "infer"}
    assert (shown["train"]["peak"], shown["infer"]["peak"]) == (cost.train_memory, cost.infer_memory)
    assert shown["train"]["workspace"] is None and shown["train"]["batch"] == 8
    parts = ("parameters", "buffers", "optimizer", "image", "gradients", "activations", "temporaries")
    assert shown["train"]["peak"] == sum(shown["train"][part] for part in parts)


def test_needs_no_torch():
    code = (
        "import sys, explorer;"
        "assert explorer.cost('dsn').train_memory > 0 < explorer.cost('gunn15').memory('train', 'lean').peak;"
        "print([m for m in ('torch', 'numpy', 'sympy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def milliseconds(net):
    """CPU time from a fresh graph."""
    graph = explorer.expand(net)
    start = time.process_time()
    memory(graph, 64)
    return 1e3 * (time.process_time() - start)


def test_takes_less_than_50_ms():
    largest = [net for net in NAMED if explorer.cost(net).launches > 2000]
    assert len(largest) >= 3
    for net in largest:
        assert min(milliseconds(net) for _ in range(3)) < 50, net
