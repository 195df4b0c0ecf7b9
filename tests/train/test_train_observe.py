"""Observing: what is seen of a network, and that looking changes nothing."""

import json
from dataclasses import asdict, replace
from itertools import combinations

import numpy as np
import pytest
import torch
from stripes import striped

import explorer
from explorer.errors import UserError
from explorer.train.budget import Budget
from explorer.train.checkpoint import load
from explorer.train.execution import OBSERVABLE, Execution
from explorer.train.loop import Host, train
from explorer.train.observe import OBSERVERS, observed
from explorer.train.observe.channel_pairs import EDGES
from explorer.train.recipes import RECIPES

NETWORK = """network small(classes = 2, parts = 3) {
  input 3x16x16
  conv(3x3, 7), bn, relu, dropout(0.3)
  layer: update(parts, reads = READS) { add { part | conv(3x3, out), bn } }
  relu, avgpool(2)
  second: aggregate(6, 2) { conv(3x3, out), bn, relu }
  stochastic_basic(6, rate = 0.3), gap, linear(classes)
}
"""
RECIPE = replace(RECIPES["nesterov"], batch=16)
EVERYTHING = tuple(OBSERVERS)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("small") / "small.arch"
    path.write_text(NETWORK.replace("READS", "current"))
    return str(path)


@pytest.fixture(scope="module")
def data():
    return striped(size=16)


def built(text, layers="reference"):
    torch.manual_seed(0)
    return explorer.build(text, layers=layers).eval()


def images(count=5, shape=(3, 16, 16)):
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(1))


# -- channel pairs against a loop over pairs ----------------------------------------------------------------------


def by_hand(y, cuts):
    """What channel-pairs tells of an output [N, C, H, W], pair by pair."""
    channels = [np.asarray(y[:, c], dtype=np.float64).ravel() for c in range(y.shape[1])]
    segment = np.searchsorted(cuts, np.arange(len(channels)), side="right")
    level = np.mean([np.mean(channel**2) for channel in channels])
    dead = {c for c, channel in enumerate(channels) if np.var(channel) <= 1e-8 * level}
    told = {}
    for where in ("within", "across"):
        distances, correlations = [], []
        for p, q in combinations([c for c in range(len(channels)) if c not in dead], 2):
            if (segment[p] == segment[q]) == (where == "within"):
                a, b = channels[p], channels[q]
                distances.append(np.mean((a - b) ** 2) / (np.var(a) + np.var(b)))
                correlations.append(abs(np.corrcoef(a, b)[0, 1]))
        told[where] = {
            "pairs": len(distances),
            "counts": np.histogram(distances, [-1, *EDGES, np.inf])[0].tolist(),
            "smallest": min(distances, default=None),
            "correlation": max(correlations, default=None),
        }
    return len(dead), told


def flat(told, rel=1e-4):
    """What is told of pairs, to be compared with rounding allowed for: of numbers, not of counts."""
    return [
        told["pairs"],
        told["counts"],
        *(pytest.approx(told[name], rel=rel) for name in ("smallest", "correlation")),
    ]


def values(told):
    return [told[name] for name in ("pairs", "counts", "smallest", "correlation")]


def outputs(module, images, names):
    """What modules of these names make."""
    made = {}
    for name in names:
        module.get_submodule(name).register_forward_hook(lambda _, __, y, name=name: made.update({name: y}))
    with torch.inference_mode():
        module(images)
    return made


@pytest.mark.parametrize("layers", ["reference", "balanced"])
@pytest.mark.parametrize("reads", ["current", "original"])
def test_pairs_are_those_of_a_loop(tmp_path, layers, reads):
    (tmp_path / "net.arch").write_text(NETWORK.replace("READS", reads))
    module = built(str(tmp_path / "net.arch"), layers)
    found = observed(module, images(), ["channel-pairs"])["channel-pairs"]
    cuts = {"layer.update": [2, 4], "second.aggregate": [2, 4]}
    assert [(one["layer"], one["channels"], one["segments"]) for one in found["layers"]] == [
        ("layer.update", 7, 3),
        ("second.aggregate", 6, 3),
    ]
    made = outputs(module, images(), cuts)
    for one in found["layers"]:
        dead, told = by_hand(made[one["layer"]], cuts[one["layer"]])
        assert one["dead"] == dead
        for where in ("within", "across"):
            assert values(one[where]) == flat(told[where])


def test_layers_and_their_substitutes_give_equal_numbers(small):
    found = [observed(built(small, layers), images(), EVERYTHING) for layers in ("reference", "balanced", "lean")]
    for other in found[1:]:
        for ours, theirs in zip(found[0]["channel-pairs"]["layers"], other["channel-pairs"]["layers"], strict=True):
            assert ours["layer"] == theirs["layer"] and ours["dead"] == theirs["dead"]
            for where in ("within", "across"):
                assert values(ours[where]) == flat(theirs[where])


def test_collapsed_channels_are_found_where_they_are(tmp_path):
    """Channels 0 and 1 become one neuron in a segment, 2 and 4 across; 3 is 2 three times as large, 5 is dead."""
    text = "network n { input 3x8x8\n conv(1x1, 6), update(2, original) { conv(3x3, out) }, gap, linear(2) }"
    (tmp_path / "n.arch").write_text(text)
    module = built(str(tmp_path / "n.arch"))
    first, second = (
        layer.weight for name, layer in module.named_modules() if "segment" in name and name[-4:] == "conv"
    )
    with torch.no_grad():
        first[1] = first[0]
        second[1] = first[2]
        second[0] = 3 * first[2]
        second[2] = 0
    (one,) = observed(module, images(shape=(3, 8, 8)), ["channel-pairs"])["channel-pairs"]["layers"]
    assert one["dead"] == 1
    assert (one["within"]["pairs"], one["across"]["pairs"]) == (3 + 1, 3 * 2)
    for where in ("within", "across"):
        assert one[where]["counts"][0] == 1 and one[where]["smallest"] < 1e-5
    assert one["within"]["correlation"] == pytest.approx(1, abs=1e-5)


def test_a_shared_offset_does_not_make_channels_alike(tmp_path):
    text = "network n { input 3x8x8\n conv(1x1, 2), update(1) { conv(1x1, out, bias = yes) }, gap, linear(2) }"
    (tmp_path / "n.arch").write_text(text)
    module = built(str(tmp_path / "n.arch"))
    found = []
    for offset in (0.0, 30.0):
        for name, parameter in module.named_parameters():
            if "segment" in name and name.endswith("bias"):
                torch.nn.init.constant_(parameter, offset)
        found.append(observed(module, images(shape=(3, 8, 8)), ["channel-pairs"])["channel-pairs"]["layers"][0])
    assert values(found[1]["within"]) == flat(found[0]["within"], rel=1e-3)


def test_one_channel_in_a_segment_has_no_pairs_within_it():
    module = built("gunn15-slim(parts = [24, 36, 48])")
    found = observed(module, images(2, (3, 32, 32)), ["channel-pairs"])["channel-pairs"]["layers"]
    for one, channels in zip(found, (24, 36, 48), strict=True):
        assert one["within"] == {"pairs": 0, "counts": [0] * (len(EDGES) + 1), "smallest": None, "correlation": None}
        assert one["across"]["pairs"] == channels * (channels - 1) // 2


def test_a_convolution_is_looked_at_as_an_update_of_one_part():
    plain, marked = "cifar_resnet(n=1, widths=[4,4,4])", "cifar_resnet(n=1, widths=[4,4,4]) + gunn(1, residual = no)"
    modules = [built(text) for text in (plain, marked)]
    modules[1].load_state_dict(dict(zip(modules[1].state_dict(), modules[0].state_dict().values(), strict=True)))
    given = images(shape=(3, 32, 32))
    assert torch.equal(*(module(given) for module in modules))
    seen = [observed(module, given, ["channel-pairs"])["channel-pairs"]["layers"] for module in modules]
    assert [len(layers) for layers in seen] == [0, 4]


# -- looking changes nothing --------------------------------------------------------------------------------------


@pytest.mark.parametrize("training", [True, False])
def test_observers_leave_everything_as_it_was(small, training):
    module = built(small, "balanced").train(training)
    module(images()).sum().backward()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    gradients = [parameter.grad.clone() for parameter in module.parameters()]
    chance, modes = torch.get_rng_state(), [layer.training for layer in module.modules()]
    given = images()
    seen = observed(module, given, EVERYTHING)
    assert json.loads(json.dumps(seen, allow_nan=False)) == seen
    assert torch.equal(given, images()) and torch.equal(torch.get_rng_state(), chance)
    assert [layer.training for layer in module.modules()] == modes
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert all(torch.equal(p.grad, gradient) for p, gradient in zip(module.parameters(), gradients, strict=True))
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in module.modules())


def run(data, network, folder, observe=EVERYTHING, epochs=3, recipe=RECIPE, **more):
    host = Host(weights=folder / "weights.safetensors", **more)
    return train(network, data, Budget(epochs, "epochs"), recipe, 0, Execution(observe=observe), host)


def numbers(outcome):
    """All of an outcome but its times and what was observed."""
    return replace(outcome, seconds=0, observations=(), history=tuple(replace(e, seconds=0) for e in outcome.history))


def test_a_training_that_is_observed_gives_the_same_bits(data, small, tmp_path):
    with_, without = run(data, small, tmp_path / "with"), run(data, small, tmp_path / "without", observe=())
    assert numbers(with_) == numbers(without)
    weights = [load(tmp_path / name / "weights.safetensors")[0] for name in ("with", "without")]
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())
    assert without.observations == ()
    assert [(one.epoch, one.name) for one in with_.observations] == [(e, n) for e in range(4) for n in EVERYTHING]


def test_the_first_look_is_at_the_initial_network_and_the_last_at_the_final_one(data, small, tmp_path):
    outcome = run(data, small, tmp_path, observe=("channel-pairs",))
    guide = torch.from_numpy(data.validation.images)
    torch.manual_seed(0)
    initial = explorer.build(small, input=data.shape, classes=data.classes)
    final = explorer.build(small, input=data.shape, classes=data.classes)
    final.load_state_dict(load(tmp_path / "weights.safetensors")[0])
    for module, one in ((initial, outcome.observations[0]), (final, outcome.observations[-1])):
        value = observed(module, guide, [one.name])[one.name]
        for ours, theirs in zip(value["layers"], one.value["layers"], strict=True):
            for where in ("within", "across"):
                assert values(ours[where]) == flat(theirs[where], rel=1e-3)


def test_a_network_that_diverged_is_not_looked_at(data, small, tmp_path):
    outcome = run(data, small, tmp_path, recipe=replace(RECIPE, lr=1e30))
    assert outcome.status == "diverged"
    assert {one.epoch for one in outcome.observations} == {0}


# -- what is asked for ------------------------------------------------------------------------------------------


def test_the_names_are_known_without_torch():
    assert set(OBSERVERS) == set(OBSERVABLE)


def test_unknown_names_are_refused_with_the_nearest(data, small):
    with pytest.raises(UserError, match=r"observe: there is no 'channel-pair'.*channel-pairs"):
        train(small, data, Budget(1, "epochs"), RECIPE, 0, Execution(observe=("channel-pair",)))


def test_an_execution_is_the_same_however_it_was_written():
    observing = Execution(dtype="bf16", observe=("channel-pairs",))
    again = Execution(**json.loads(json.dumps(observing.as_json())))
    assert again == observing and hash(again) == hash(observing)
    assert Execution(observe=["b", "a", "b"]) == Execution(observe=("a", "b"))
    assert observing.unusual == "bf16, channel-pairs observed"
    without = {name: value for name, value in asdict(Execution()).items() if name != "observe"}
    assert Execution().as_json() == without
