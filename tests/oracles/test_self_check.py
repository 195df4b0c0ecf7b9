"""The oracles themselves against examples worked out by hand and against torch's own operations."""

import math

import pytest
import torch
import torch.nn.functional as F

from . import EPS, batch_norm, conv2d, dependency
from .gunn import gunn_conv, gunn_layer, gunn_linear, segments, sunn_layer
from .mssar import (
    coordinate_sets_regional,
    coordinate_sets_sliding,
    dense_layer,
    dense_layer_recalibrated,
    mssar,
    se,
    sliding_radius,
)
from .seqconv import downsampling_block, residual_block, seqconv, wseqconv


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def ones(*shape):
    return torch.ones(*shape, dtype=torch.float64)


def rand(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed + sum(shape)))


def identity_bn(c, *prefixes):
    """A batch norm that changes nothing in evaluation mode."""
    weights = {}
    for prefix in prefixes:
        weights[f"{prefix}_weight"] = ones(c)
        weights[f"{prefix}_bias"] = torch.zeros(c, dtype=torch.float64)
        weights[f"{prefix}_running_mean"] = torch.zeros(c, dtype=torch.float64)
        weights[f"{prefix}_running_var"] = ones(c) - EPS
    return weights


def random_bn(c, *prefixes, seed=0):
    weights = {}
    for i, prefix in enumerate(prefixes):
        weights[f"{prefix}_weight"] = rand(c, seed=seed + i)
        weights[f"{prefix}_bias"] = rand(c, seed=seed + i + 100)
        weights[f"{prefix}_running_mean"] = rand(c, seed=seed + i + 200)
        weights[f"{prefix}_running_var"] = rand(c, seed=seed + i + 300).abs() + 0.5
    return weights


def pixel(values):
    """One image of one pixel: only the centre tap of a padded 3x3 kernel matters."""
    return tensor(values).reshape(1, -1, 1, 1)


def same(a, b):
    torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


# --- shared operations


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "groups"), [(1, 1, 0, 1), (3, 1, 1, 2), (3, 2, 1, 3), (3, 2, 0, 6)]
)
@pytest.mark.parametrize("size", [(5, 7), (6, 4)])
def test_conv_by_taps(kernel, stride, padding, groups, size):
    x, weight = rand(2, 6, *size), rand(12, 6 // groups, kernel, kernel)
    same(conv2d(x, weight, stride, padding, groups), F.conv2d(x, weight, None, stride, padding, groups=groups))


def test_conv_rejects_wrong_width():
    with pytest.raises(ValueError):
        conv2d(rand(1, 3, 4, 4), rand(2, 4, 3, 3))


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm(training):
    x, w = rand(3, 4, 2, 5), random_bn(4, "bn")
    expected = F.batch_norm(
        x,
        w["bn_running_mean"].clone(),
        w["bn_running_var"].clone(),
        w["bn_weight"],
        w["bn_bias"],
        training,
        eps=EPS,
    )
    same(batch_norm(x, w, training=training), expected)


# --- MS-SAR


def test_regions_where_k_does_not_divide():
    assert coordinate_sets_regional(3, 4, 2) == [
        [(0, 0), (0, 1), (1, 0), (1, 1)],
        [(0, 2), (0, 3), (1, 2), (1, 3)],
        [(2, 0), (2, 1)],
        [(2, 2), (2, 3)],
    ]


@pytest.mark.parametrize(("h", "w", "k"), [(1, 1, 1), (7, 5, 3), (4, 4, 4), (2, 6, 4), (7, 7, 5)])
def test_regions_are_a_partition(h, w, k):
    members = [position for region in coordinate_sets_regional(h, w, k) for position in region]
    assert sorted(members) == [(r, c) for r in range(h) for c in range(w)]
    assert len(coordinate_sets_regional(h, w, k)) == min(k, h) * min(k, w)


def test_sliding_radius():
    assert [sliding_radius(8, 8, k) for k in (1, 2, 3, 4, 8, 9)] == [8, 4, 2, 2, 1, 0]
    assert sliding_radius(2, 4, 1) == 2  # sqrt(8) = 2.83


def test_sliding_sets():
    square = coordinate_sets_sliding(4, 4, 4)
    diamond = coordinate_sets_sliding(4, 4, 4, "diamond")
    assert square[0] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert diamond[0] == [(0, 0), (0, 1), (1, 0)]
    assert diamond[5] == [(0, 1), (1, 0), (1, 1), (1, 2), (2, 1)]
    assert len(square[5]) == 9


def gate(d_source, d_hidden, d, seed=0):
    return {
        "w1": rand(d_hidden, d_source, seed=seed),
        "w2": rand(d, d_hidden, seed=seed + 1),
        **random_bn(d_hidden, "bn1", seed=seed + 2),
        **random_bn(d, "bn2", seed=seed + 3),
    }


def unit_gate():
    return {"w1": ones(1, 1), "w2": ones(1, 1), **identity_bn(1, "bn1", "bn2")}


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


def test_mssar_by_hand_in_evaluation():
    x = tensor([[1.0, 2.0], [3.0, -6.0]]).reshape(1, 1, 2, 2)
    out = mssar(x, x, [1, 2], [unit_gate(), unit_gate()], training=False)
    # the mean over the lattice is 0; at scale 2 every position is its own region, and ReLU cuts off -6
    expected = [v * (0.5 + sigmoid(max(v, 0.0))) / 2 for v in (1.0, 2.0, 3.0, -6.0)]
    same(out, tensor(expected).reshape(1, 1, 2, 2))


def test_mssar_sliding_by_hand():
    x = tensor([1.0, 2.0, 6.0, 3.0]).reshape(1, 1, 1, 4)
    out = mssar(x, x, [2], [unit_gate()], pool="sliding", training=False)
    means = [1.5, 3.0, 11 / 3, 4.5]  # T = floor(2/2) = 1
    same(
        out,
        tensor([v * sigmoid(m) for v, m in zip([1.0, 2.0, 6.0, 3.0], means, strict=True)]).reshape(1, 1, 1, 4),
    )


def test_mssar_normalises_over_coordinate_sets():
    x = tensor([1.0, 3.0, 6.0]).reshape(1, 1, 3, 1)
    out = mssar(x, x, [2], [unit_gate()])
    # the regions {0, 1} and {2} have the means 2 and 6 and count once each: mean 4, variance 4
    hidden = 2 / math.sqrt(4 + EPS)
    z = (hidden / 2) / math.sqrt(hidden**2 / 4 + EPS)
    expected = [1 * sigmoid(-z), 3 * sigmoid(-z), 6 * sigmoid(z)]
    same(out, tensor(expected).reshape(1, 1, 3, 1))


def test_mssar_reads_source():
    x, source = rand(2, 3, 4, 4), rand(2, 5, 4, 4)
    out = mssar(x, source, [1], [gate(5, 2, 3)])
    z = out / x
    same(z, z[:, :, :1, :1].expand_as(z))
    same(mssar(2 * x, source, [1], [gate(5, 2, 3)]), 2 * out)


def test_mssar_single_scale_formula():
    x, w = rand(3, 4, 4, 4), gate(4, 2, 4)
    pooled = F.avg_pool2d(x, 2)
    hidden = F.batch_norm(F.conv2d(pooled, w["w1"][:, :, None, None]), None, None, w["bn1_weight"], w["bn1_bias"], True)
    z = F.conv2d(hidden.relu(), w["w2"][:, :, None, None])
    z = F.batch_norm(z, None, None, w["bn2_weight"], w["bn2_bias"], True).sigmoid()
    same(mssar(x, x, [2], [w]), x * F.interpolate(z, scale_factor=2, mode="nearest"))


def test_se_by_hand():
    x = tensor([[[1.0, 3.0]], [[2.0, 6.0]]]).reshape(1, 2, 1, 2)
    w = {
        "fc1_weight": tensor([[1.0, -1.0]]),
        "fc1_bias": tensor([3.0]),
        "fc2_weight": tensor([[2.0], [0.0]]),
        "fc2_bias": tensor([-1.0, 0.0]),
    }
    # means 2 and 4; 2 - 4 + 3 = 1; 2*1 - 1 = 1 and 0
    s = sigmoid(1.0)
    same(se(x, w), tensor([1 * s, 3 * s, 2 * 0.5, 6 * 0.5]).reshape(1, 2, 1, 2))


def dense_weights(d, k):
    return {
        "conv1_weight": rand(4 * k, d, 1, 1),
        "conv2_weight": rand(k, 4 * k, 3, 3),
        **random_bn(d, "bn1"),
        **random_bn(4 * k, "bn2", seed=7),
    }


@pytest.mark.parametrize("multi_stage", [True, False])
def test_dense_layer(multi_stage):
    main, w = rand(2, 5, 4, 4), dense_weights(5, 2)
    gates = [gate(5 if multi_stage else 2, 1, 2, seed=s) for s in (0, 10)]
    out = dense_layer_recalibrated(main, w, [1, 2], gates, multi_stage)
    same(out[:, :5], main)
    new = dense_layer(main, w)
    same(out[:, 5:], mssar(new, main if multi_stage else new, [1, 2], gates))
    hidden = F.batch_norm(main, None, None, w["bn1_weight"], w["bn1_bias"], True).relu()
    hidden = F.conv2d(hidden, w["conv1_weight"])
    hidden = F.batch_norm(hidden, None, None, w["bn2_weight"], w["bn2_bias"], True).relu()
    same(new, F.conv2d(hidden, w["conv2_weight"], padding=1))


# --- SeqConv


def unit_groups(widths, k=1, c=1):
    return [{"weight": ones(k, v // c, 3, 3), **identity_bn(k, "bn")} for v in widths]


def unit_bottlenecks(widths, k, c=1):
    groups = []
    for v in widths:
        group = {"reduce_weight": ones(k, v, 1, 1), "weight": ones(k, k // c, 3, 3)}
        groups.append({**group, **identity_bn(k, "bn", "reduce_bn")})
    return groups


def test_seqconv_by_hand():
    same(seqconv(pixel([1.0, 2.0]), 1, unit_groups([2, 3, 4]), training=False), pixel([3.0, 6.0, 12.0]))


def test_wseqconv_by_hand():
    same(wseqconv(pixel([1.0, 2.0]), 1, unit_groups([2, 2, 2]), training=False), pixel([3.0, 5.0, 8.0]))


def test_wseqconv_drops_the_oldest():
    groups = unit_groups([3, 3])
    groups[1]["weight"] = tensor([1.0, 10.0, 100.0]).reshape(1, 3, 1, 1).expand(1, 3, 3, 3)
    # group 2 reads [x0 channel 1, x0 channel 2, x1] = [2, 4, 7]
    same(wseqconv(pixel([1.0, 2.0, 4.0]), 1, groups, training=False), pixel([7.0, 742.0]))


def test_window_of_a_group_wider_than_the_input():
    # [1] -> [1, 1, 1], of which the window keeps the newest channel
    same(wseqconv(pixel([1.0]), 3, unit_groups([1, 1], k=3), training=False), pixel([1.0] * 6))


def test_bottleneck_by_hand():
    groups = unit_bottlenecks([2, 4], k=2)
    # 1x1: [3, 3], 3x3: [6, 6]; then 1x1 of [1, 2, 6, 6]: 15, 3x3: 30
    same(seqconv(pixel([1.0, 2.0]), 2, groups, bottleneck=True, training=False), pixel([6.0, 6.0, 30.0, 30.0]))
    groups = unit_bottlenecks([2, 4], k=2, c=2)
    out = seqconv(pixel([1.0, 2.0]), 2, groups, bottleneck=True, c=2, training=False)
    same(out, pixel([3.0, 3.0, 9.0, 9.0]))


def test_first_group_is_conv_bn_relu():
    x, w = rand(2, 3, 5, 4), {"weight": rand(2, 3, 3, 3), **random_bn(2, "bn")}
    out = F.batch_norm(F.conv2d(x, w["weight"], padding=1), None, None, w["bn_weight"], w["bn_bias"], True).relu()
    same(seqconv(x, 2, [w]), out)
    same(wseqconv(x, 2, [w]), out)


def test_residual_block_by_hand():
    raw, activated = residual_block(
        pixel([10.0, 20.0]), pixel([1.0, 2.0]), 1, unit_groups([2, 2]), unit_groups([2, 2]), training=False
    )
    # layer 1: 3, 5; layer 2: 3 + 5 + 10 = 18, then 5 + 18 + 20 = 43
    same(raw, pixel([18.0, 43.0]))
    same(activated, pixel([18.0, 43.0]))


def test_residual_block_reads_activated_sum():
    raw, activated = residual_block(
        pixel([-10.0, 20.0]), pixel([1.0, 2.0]), 1, unit_groups([2, 2]), unit_groups([2, 2]), training=False
    )
    same(raw, pixel([-2.0, 25.0]))  # 8 - 10; then 5 + ReLU(-2) + 20
    same(activated, pixel([0.0, 25.0]))


def test_zero_second_layer_passes_raw():
    raw, activated = rand(2, 4, 3, 3), rand(2, 4, 3, 3, seed=5)
    layer1, layer2 = ([{"weight": rand(2, 4, 3, 3), **random_bn(2, "bn")} for _ in range(2)] for _ in range(2))
    for group in layer2:
        group["weight"] = torch.zeros(2, 4, 3, 3, dtype=torch.float64)
    out, out_activated = residual_block(raw, activated, 2, layer1, layer2)
    same(out, raw)
    parts = [batch_norm(raw[:, i : i + 2], layer2[i // 2]).relu() for i in (0, 2)]
    same(out_activated, torch.cat(parts, dim=1))


def test_downsampling_by_hand():
    x = ones(1, 2, 2, 2)
    downsize = {"weight": ones(4, 2, 3, 3), **identity_bn(4, "bn")}
    downsize["bn_bias"] = tensor([0.0, 0.0, -50.0, -200.0])
    raw, activated = downsampling_block(x, 4, 1, 2, unit_groups([2, 2]), downsize, training=False)
    # every 3x3 at a 2x2 map sums the 4 cells: extension group 1 = 2*4 = 8, group 2 = 4*(1 + 8) = 36;
    # downsizing in two groups: (1 + 1)*4 and (8 + 36)*4
    same(raw, pixel([8.0, 8.0, 176.0, 176.0]))
    same(activated, pixel([8.0, 8.0, 126.0, 0.0]))


def test_downsampling_without_extension_and_with_subgroups():
    x = rand(2, 8, 5, 4)
    downsize = {"weight": rand(8, 2, 3, 3), **random_bn(8, "bn")}
    raw, activated = downsampling_block(x, 8, 4, 4, [], downsize, downsize_c=2)
    same(raw, F.conv2d(x, downsize["weight"], stride=2, padding=1, groups=4))
    same(activated, batch_norm(raw, downsize).relu())
    assert raw.shape == (2, 8, 3, 2)


# --- GUNN


def unit_triple(n_in, hidden, n_out):
    return {
        "conv1_weight": ones(hidden, n_in, 1, 1),
        "conv2_weight": ones(hidden, hidden, 3, 3),
        "conv3_weight": ones(n_out, hidden, 1, 1),
        **identity_bn(hidden, "bn1", "bn2"),
        **identity_bn(n_out, "bn3"),
    }


def unit_units(n, p, m=1):
    units = []
    for _ in range(p):
        triples = [unit_triple(n if i == 0 else n // p, n // p, n // p) for i in range(m)]
        proj = {"proj_weight": ones(n // p, n, 1, 1), **identity_bn(n // p, "proj_bn")}
        units.append({"triples": triples, **proj})
    return units


def test_segments():
    assert segments(10, 3) == [0, 3, 6, 10]
    assert segments(240, 20) == list(range(0, 241, 12))


@pytest.mark.parametrize(
    ("shortcut", "gradual", "simultaneous"),
    [
        ("identity", [4.0, 8.0], [4.0, 5.0]),  # 1 + 3, 2 + (4 + 2)
        ("none", [3.0, 5.0], [3.0, 3.0]),
        ("identity+projection", [7.0, 20.0], [7.0, 8.0]),  # 1 + 3 + 3, 2 + 9 + 9
    ],
)
def test_gunn_layer_by_hand(shortcut, gradual, simultaneous):
    x = pixel([1.0, 2.0])
    same(gunn_layer(x, 2, unit_units(2, 2), shortcut, training=False), pixel(gradual))
    same(sunn_layer(x, 2, unit_units(2, 2), shortcut, training=False), pixel(simultaneous))


def test_no_relu_between_triples():
    units = unit_units(2, 1, m=2)
    first, second = units[0]["triples"]
    first["conv3_weight"] = -first["conv3_weight"]
    second["conv1_weight"] = -second["conv1_weight"]
    # [1, 2] -> [3, 3] -> [6, 6] -> -[12, 12] -> [24, 24] -> [48, 48] -> [96, 96]
    same(gunn_layer(pixel([1.0, 2.0]), 1, units, "none", training=False), pixel([96.0, 96.0]))


def test_unknown_shortcut():
    with pytest.raises(ValueError):
        gunn_layer(pixel([1.0]), 1, unit_units(1, 1), "other")


def random_units(n, p, expansion=2):
    cuts = segments(n, p)
    units = []
    for i in range(p):
        out = cuts[i + 1] - cuts[i]
        hidden = expansion * out
        weights = {
            "conv1_weight": rand(hidden, n, 1, 1, seed=i),
            "conv2_weight": rand(hidden, hidden, 3, 3, seed=i),
            "conv3_weight": rand(out, hidden, 1, 1, seed=i),
            **random_bn(hidden, "bn1", "bn2", seed=i),
            **random_bn(out, "bn3", seed=i),
        }
        units.append({"triples": [weights]})
    return units


def test_one_segment_is_sunn():
    x = rand(2, 4, 3, 3)
    same(gunn_layer(x, 1, random_units(4, 1)), sunn_layer(x, 1, random_units(4, 1)))


def test_uneven_segments_are_written_in_place():
    x, units = rand(2, 5, 3, 3), random_units(5, 2)
    out = gunn_layer(x, 2, units)
    sunn = sunn_layer(x, 2, units)
    same(out[:, :2], sunn[:, :2])
    second = torch.cat([out[:, :2], x[:, 2:]], dim=1)
    same(out[:, 2:], sunn_layer(second, 2, units)[:, 2:])


def test_gunn_linear_by_hand():
    y = gunn_linear(pixel([1.0, 1.0]), tensor([[1.0, 2.0], [3.0, 4.0]]))
    same(y, pixel([4.0, 17.0]))  # 1 + 1 + 2; 1 + 3*4 + 4*1


def test_gunn_conv_with_single_channels_is_equation_9():
    omega, x = rand(4, 4), rand(2, 4, 3, 5)
    weight = torch.zeros(4, 4, 3, 3, dtype=torch.float64)
    weight[:, :, 1, 1] = omega
    same(gunn_conv(x, 4, {"weight": weight}), gunn_linear(x, omega))


def test_gunn_conv_in_one_segment_is_plain():
    x, w = rand(2, 4, 3, 5), {"weight": rand(4, 4, 3, 3), **random_bn(4, "bn")}
    plain = F.conv2d(x, w["weight"], padding=1)
    same(gunn_conv(x, 1, {"weight": w["weight"]}, residual=False), plain)
    same(gunn_conv(x, 1, w), x + batch_norm(plain, w))


def test_gunn_conv_in_two_segments():
    x, weight = rand(1, 3, 4, 4), rand(3, 3, 3, 3)
    first = x[:, :1] + F.conv2d(x, weight[:1], padding=1)
    state = torch.cat([first, x[:, 1:]], dim=1)
    second = x[:, 1:] + F.conv2d(state, weight[1:], padding=1)
    same(gunn_conv(x, 2, {"weight": weight}), torch.cat([first, second], dim=1))


# --- derivatives and dependencies


def test_gradients():
    x = rand(2, 2, 3, 2).requires_grad_()
    groups = [{"weight": rand(2, 2, 3, 3), **random_bn(2, "bn")}]
    downsize = {"weight": rand(4, 2, 3, 3), **random_bn(4, "bn")}
    functions = [
        lambda x: mssar(x, x, [1, 2], [gate(2, 2, 2), gate(2, 2, 2, seed=4)]),
        lambda x: wseqconv(x, 2, groups),
        lambda x: residual_block(x, x.relu(), 2, groups, groups),
        lambda x: downsampling_block(x, 4, 2, 2, groups, downsize),
        lambda x: gunn_layer(x, 2, random_units(2, 2)),
    ]
    for function in functions:
        assert torch.autograd.gradcheck(function, (x,))


def test_gradients_reach_every_weight():
    w = {key: value.requires_grad_() for key, value in gate(3, 2, 3).items() if "running" not in key}
    x = rand(4, 3, 4, 4)
    grads = torch.autograd.grad(mssar(x, x, [2], [w]).pow(2).sum(), list(w.values()))
    assert all(grad.abs().sum() > 0 for grad in grads)


def position_jacobian(function, x):
    """bool [H*W, H*W]: has any channel of an output position a derivative by an input position's."""
    jacobian = torch.autograd.functional.jacobian(function, x)
    c, size = x.shape[1], x.shape[2] * x.shape[3]
    return (jacobian.reshape(-1, size, c, size) != 0).any(dim=2).any(dim=0)


@pytest.mark.parametrize("scales", [[2], [2, 3], [1, 4]])
def test_position_dependencies_are_those_of_mssar(scales):
    x = rand(1, 2, 4, 5)
    gates = [unit_gate() for _ in scales]
    for g in gates:
        g.update(w1=ones(3, 2), w2=ones(2, 3), **identity_bn(3, "bn1"), **identity_bn(2, "bn2"))
        g["bn1_bias"] = 100 * ones(3)
        g["bn2_running_mean"] = 300 * ones(2)
    for pool, shape in (("regional", "square"), ("sliding", "square"), ("sliding", "diamond")):
        seen = position_jacobian(lambda x, p=pool, s=shape: mssar(x, x, scales, gates, p, s, training=False), x)
        if pool == "regional":
            assert torch.equal(seen, dependency.regional_dependency(4, 5, scales))
        else:
            assert torch.equal(seen, dependency.sliding_dependency(4, 5, scales, shape))


def test_regional_dependency_by_hand():
    depends = dependency.regional_dependency(1, 3, [2])
    assert depends.tolist() == [[True, True, False], [True, True, False], [False, False, True]]


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_conv_reach(steps):
    weight = ones(1, 1, 3, 3)

    def chain(x):
        for _ in range(steps):
            x = conv2d(x, weight, padding=1)
        return x

    assert torch.equal(position_jacobian(chain, rand(1, 1, 4, 5)), dependency.conv_reach(4, 5, steps))


def test_direct_view():
    dense = dependency.direct_view(2, 3, 1, windowed=False)
    assert dense.int().tolist() == [[1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 1, 1, 1, 0]]
    window = dependency.direct_view(2, 3, 1, windowed=True)
    assert window.int().tolist() == [[1, 1, 0, 0, 0], [0, 1, 1, 0, 0], [0, 0, 1, 1, 0]]
    assert (dependency.direct_view(6, 5, 2, windowed=True).sum(dim=1) == 6).all()


def test_channel_dependencies():
    assert dependency.dense_seqconv_channels(3, 2, 2).tolist() == [[True] * 3] * 4
    assert dependency.windowed_seqconv_channels(3, 4, 2).tolist() == [[True] * 3] * 8
    expected = [[True, True, False, False]] * 2 + [[False, False, True, True]] * 2
    assert dependency.grouped_channels(4, 2).tolist() == expected


def test_gunn_view():
    assert dependency.gunn_view(3, 2).int().tolist() == [[1, 1, 1, 0, 0, 0], [0, 1, 1, 1, 0, 0]]
    assert dependency.gunn_view(3, 2, gradual=False).int().tolist() == [[1, 1, 1, 0, 0, 0]] * 2


def test_gunn_reach():
    gunn, sunn = dependency.gunn_reach(3)
    assert gunn.tolist() == [[1, 1, 1], [2, 2, 2], [3, 3, 3]]
    assert sunn.tolist() == [[1, 1, 1]] * 3


def test_gunn_reach_is_that_of_gunn_conv():
    gunn, _ = dependency.gunn_reach(3)
    x = torch.zeros(1, 3, 1, 9, dtype=torch.float64)
    for j in range(3):
        x[:] = 0
        x[0, j, 0, 0] = 1
        out = gunn_conv(x, 3, {"weight": ones(3, 3, 3, 3)})
        for i in range(3):
            assert out[0, i, 0].nonzero().max() == gunn[i, j]
