"""What the papers say about cost, as formulas: each claim beside what is derived from the blocks.

`claim` and `derived` are expressions in the papers' symbols; `weights(x)`, `norms(x)`, `params(x)`, `macs(x)`,
`pooled(x)` and `partial(x)` are quantities of the layer x (layers.py), derived by walking it.
"""

from dataclasses import dataclass

IMPLIED = "follows from the text"  # the paper describes the layer and prints no formula
OURS = "not in the paper"  # a comparison that the paper's words suggest


@dataclass(frozen=True)
class Formula:
    """One claim. `about` names the symbol that grows where the claim is an approximation."""

    paper: str
    where: str
    name: str
    claim: str
    derived: str
    about: str | None = None
    example: str = ""  # a point at which both are evaluated
    stated: str = "stated in the paper"


MSSAR = (
    Formula("ms-sar", "3.5", "weights of a 3x3 convolution from D to D channels", "9*D**2", "weights(conv)"),
    Formula("ms-sar", "3.5", "extra weights of one scale", "2*D*d", "weights(scales)/L"),
    Formula("ms-sar", "3.5", "extra weights of all L scales", "2*L*D*d", "weights(scales)"),
    Formula("ms-sar", "3.5", "extra parameters of all L scales, batch norm's included", "2*L*D*d", "params(scales)"),
    Formula(
        "ms-sar",
        "3.5",
        "fully-connected layers, regional, all scales (MACs)",
        "2*D*d*sumK2",
        "macs(scales)",
    ),
    Formula(
        "ms-sar",
        "3.5",
        "fully-connected layers, sliding, all scales (MACs)",
        "2*L*W*H*D*d",
        "macs(sliding)",
    ),
    Formula(
        "ms-sar",
        "3.5",
        "elements that regional pooling adds up, all scales",
        "L*W*H*D",
        "pooled(scales)",
        stated=IMPLIED,
    ),
    Formula(
        "ms-sar",
        "3.5, footnote 3",
        "additions of sliding pooling by partial sums, W = H = s, K at least 2",
        "s**2*D",
        "partial(neighbourhoods)",
        about="s",
        example="D = 1, s = 32, K = 4",
    ),
    Formula(
        "ms-sar",
        "3.5, footnote 3",
        "additions of sliding pooling by partial sums, W = H = s, K = 1",
        "s**2*D",
        "partial(whole)",
        about="s",
        example="D = 1, s = 32",
    ),
    Formula(
        "ms-sar",
        "3.5, footnote 3",
        "elements that sliding pooling adds up without partial sums, W = H = s, K at least 2",
        "s**2*D",
        "pooled(neighbourhoods)",
        about="s",
        example="D = 1, s = 32, K = 4",
        stated=OURS,
    ),
    Formula("ms-sar", "3.5", "with D' = D/L the extra weights do not grow with L", "2*D**2", "weights(shared)"),
    Formula(
        "ms-sar",
        "3.5",
        "with D' = floor(D/L) the extra weights do not grow with L",
        "2*D**2",
        "weights(floored)",
        example="D = 16, L = 3, D_mod_L = 1",
        stated=IMPLIED,
    ),
    Formula(
        "ms-sar",
        "3.5",
        "with more scales than channels, so D' = 1, the extra weights do not grow with L",
        "2*D**2",
        "weights(narrow)",
        example="D = 2, L = 3",
        stated=IMPLIED,
    ),
    Formula(
        "ms-sar",
        "3.5",
        "with D' = D/L the extra parameters, batch norm's included, do not grow with L",
        "2*D**2 + 4*D",
        "params(shared)",
        example="D = 64, L = 3",
    ),
    Formula(
        "ms-sar",
        "3.5",
        "extra weights of a residual block over its own",
        "2*L*D*(D/L)/(2*9*D**2)",
        "(weights(recalibrated) - weights(block))/weights(block)",
        stated=IMPLIED,
    ),
    Formula(
        "ms-sar",
        "3.5",
        "extra parameters of a residual block over its own",
        "2*L*D*(D/L)/(2*9*D**2)",
        "(params(recalibrated) - params(block))/params(block)",
        about="D",
        example="D = 16, L = 3",
        stated=IMPLIED,
    ),
    Formula(
        "ms-sar",
        "3.5",
        "extra MACs of a residual block over its own, regional",
        "2*D*(D/L)*sumK2/(2*9*D**2*W*H)",
        "(macs(recalibrated) - macs(block))/macs(block)",
        example="L = 3, sumK2 = 21, W = 8, H = 8",
        stated=IMPLIED,
    ),
    Formula(
        "ms-sar",
        "3.5",
        "extra MACs of a residual block over its own, sliding",
        "2*L*W*H*D*(D/L)/(2*9*D**2*W*H)",
        "(macs(recalibrated_sliding) - macs(block))/macs(block)",
        stated=IMPLIED,
    ),
    Formula(
        "ms-sar",
        "3.4",
        "extra weights in a dense block that makes D channels from C, multi-stage",
        "L*(D/L)*(C + D)",
        "weights(dense_recalibrated) - weights(dense_step)",
        stated=IMPLIED,
    ),
    Formula("ms-sar", "3.3", "scales {1} have the weights of SE", "weights(squeeze)", "weights(alone)"),
    Formula("ms-sar", "3.3", "scales {1} have the MACs of SE", "macs(squeeze)", "macs(alone)"),
    Formula(
        "ms-sar",
        "3.3",
        "scales {1} have the parameters of SE, its biases and MS-SAR's batch norms included",
        "params(squeeze)",
        "params(alone)",
        stated=OURS,
    ),
)

SEQCONV = (
    Formula(
        "seqconv",
        "3.1, equation 1",
        "weights of a dense layer",
        "Sum(9*k*(C + i*k), (i, 0, Cout/k - 1))",
        "weights(dense)",
        stated=IMPLIED,
    ),
    Formula(
        "seqconv",
        "3.1",
        "power of the width in a dense layer's weights; input width and k fixed",
        "2",
        "degree(weights(dense), Cout)",
    ),
    Formula(
        "seqconv",
        "3.1",
        "power of the width in a regular layer's weights; input width fixed",
        "1",
        "degree(weights(fixed), Cout)",
    ),
    Formula(
        "seqconv",
        "3.1",
        "power of the width in a windowed layer's weights; input width and k fixed",
        "1",
        "degree(weights(windowed), Cout)",
    ),
    Formula(
        "seqconv",
        "3.1",
        "dense over regular as the width grows; input width and k fixed",
        "oo",
        "limit(weights(dense)/weights(fixed), Cout, oo)",
        stated=IMPLIED,
    ),
    Formula(
        "seqconv",
        "3.1",
        "dense over regular as the width grows; input as wide as the output, k fixed",
        "oo",
        "limit(weights(dense_square)/weights(square), C, oo)",
        stated=OURS,
    ),
    Formula(
        "seqconv",
        "3.1",
        "dense over regular; input as wide as the output",
        "1",
        "weights(dense_square)/weights(square)",
        example="C = 64, k = 8",
        stated=OURS,
    ),
    Formula(
        "seqconv", "3.1", "parameters of a windowed layer and a regular one", "params(regular)", "params(windowed)"
    ),
    Formula("seqconv", "3.1", "MACs of a windowed layer and a regular one", "macs(regular)", "macs(windowed)"),
    Formula(
        "seqconv",
        "3.1",
        "weights of a windowed bottleneck layer and a regular one",
        "weights(regular)",
        "weights(windowed_b)",
        example="C = 64, Cout = 64, k = 8",
        stated=OURS,
    ),
    Formula(
        "seqconv",
        "3.1",
        "weights of a windowed bottleneck layer",
        "Cout/k*(C*k + 9*k**2)",
        "weights(windowed_b)",
        stated=IMPLIED,
    ),
    Formula(
        "seqconv",
        "3.1, equation 1",
        "weights of a dense bottleneck layer",
        "Sum(k*(C + i*k) + 9*k**2, (i, 0, Cout/k - 1))",
        "weights(dense_b)",
        stated=IMPLIED,
    ),
    Formula(
        "seqconv",
        "3.1",
        "power of the width in a dense bottleneck layer's weights; input width and k fixed",
        "2",
        "degree(weights(dense_b), Cout)",
        stated=IMPLIED,
    ),
    Formula(
        "seqconv",
        "3.2",
        "weights of a windowed layer with c subgroups",
        "weights(windowed)/c",
        "weights(subgroups)",
        stated=IMPLIED,
    ),
    Formula(
        "seqconv",
        "3.2",
        "weights of a windowed bottleneck layer with c subgroups",
        "Cout/k*(C*k + 9*k**2/c)",
        "weights(subgroups_b)",
        stated=IMPLIED,
    ),
    Formula(
        "seqconv",
        "3.2, figure 3",
        "weights of a down-sampling block",
        "9*C*(Cout - C) + 9*Cout*k2",
        "weights(down)",
        stated=IMPLIED,
    ),
    Formula(
        "seqconv",
        "3.2, figure 3",
        "MACs of a down-sampling block",
        "9*H*W*C*(Cout - C) + 9*(H/2)*(W/2)*Cout*k2",
        "macs(down)",
        stated=IMPLIED,
    ),
    Formula(
        "seqconv",
        "3.2, figure 3",
        "weights of a down-sampling block, bottleneck and subgroups",
        "(Cout - C)/k*(C*k + 9*k**2/c) + 9*Cout*k2/c2",
        "weights(down_b)",
        stated=IMPLIED,
    ),
    Formula(
        "seqconv",
        "3.2, figure 3",
        "weights of a down-sampling block and a strided convolution",
        "weights(strided)",
        "weights(down)",
        example="C = 64, Cout = 128, k2 = 8",
        stated=OURS,
    ),
    Formula(
        "seqconv",
        "3.2",
        "a residual block's shortcut has no parameters: it has those of its layers",
        "2*params(windowed_square)",
        "params(residual) - params(windowed_square)",
    ),
)

UNIT = "K*N*(N/P) + (9*K**2 + K)*(N/P)**2 + (M - 1)*(9*K**2 + 2*K)*(N/P)**2"

GUNN = (
    Formula("gunn", "5.1", "weights of an update unit", UNIT, "weights(gunn)/P", stated=IMPLIED),
    Formula(
        "gunn",
        "5.1",
        "batch norm's parameters in an update unit",
        "2*M*(2*K + 1)*N/P",
        "norms(gunn)/P",
        stated=IMPLIED,
    ),
    Formula(
        "gunn",
        "5.2",
        "weights of an update unit with a 1x1 projection",
        f"{UNIT} + N*(N/P)",
        "weights(gunn_p)/P",
        stated=IMPLIED,
    ),
    Formula("gunn", "5.1", "weights of a layer {N, P, K, M}", f"P*({UNIT})", "weights(gunn)", stated=IMPLIED),
    Formula("gunn", "5.1", "MACs of a layer {N, P, K, M}", f"H*W*P*({UNIT})", "macs(gunn)", stated=IMPLIED),
    Formula("gunn", "3.2", "parameters of GUNN and of SUNN with the same segments", "params(sunn)", "params(gunn)"),
    Formula("gunn", "3.2", "MACs of GUNN and of SUNN with the same segments", "macs(sunn)", "macs(gunn)"),
    Formula(
        "gunn",
        "3.2",
        "parameters of GUNN and of SUNN with the same segments, with projections",
        "params(sunn_p)",
        "params(gunn_p)",
    ),
    Formula(
        "gunn",
        "3.2",
        "MACs of GUNN and of SUNN with the same segments, with projections",
        "macs(sunn_p)",
        "macs(gunn_p)",
    ),
    Formula("gunn", "3.2", "a convolution has its parameters in any P segments", "params(plain_one)", "params(plain)"),
    Formula("gunn", "3.2", "a convolution has its MACs in any P segments", "macs(plain_one)", "macs(plain)"),
    Formula(
        "gunn",
        "3.2",
        "a convolution has its weights in segments of unequal size",
        "weights(plain_one)",
        "weights(plain_uneven)",
    ),
    Formula(
        "gunn",
        "3.2",
        "bottleneck units have the same parameters in any P segments as in one",
        "params(simultaneous)",
        "params(gunn)",
        example="N = 240, P = 20, K = 2, M = 1",
    ),
    Formula(
        "gunn",
        "3.2",
        "bottleneck units have the same MACs in any P segments as in one",
        "macs(simultaneous)",
        "macs(gunn)",
    ),
    Formula(
        "gunn",
        "3.2",
        "bottleneck units with projections have the same parameters in any P segments as in one",
        "params(simultaneous_p)",
        "params(gunn_p)",
        example="N = 240, P = 20, K = 2, M = 1",
    ),
)

FORMULAS = (*MSSAR, *SEQCONV, *GUNN)
