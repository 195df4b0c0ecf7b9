"""The counting conventions as data: what each counts of every kind of op, in integer weights over the ledger.

A rule is a kind of op, or a kind at a place (`relu@reused`); what a table does not name it counts as zero. The
columns are the ledger's, and `pooled`: what average-pooling functions read in the built module's regional and sliding.
`tests/analysis/test_conventions_peers.py` compares each table with its tool.
"""

from typing import NamedTuple

from explorer.analysis.units import Amount, Flops, Macs

Weights = dict[str, dict[str, int]]

COLUMNS = {
    "macs": "multiply-adds",
    "inputs": "elements read",
    "outputs": "elements made",
    "windows": "window size x elements made",
    "bias_adds": "additions of a bias",
    "weights": "weights",
    "biases": "biases",
    "norms": "scales and shifts",
    "copied": "elements moved",
    "pooled": "elements read by functions that pool",
}
PLACES = {  # and what is left of their kinds
    "conv@transition": "conv of a dense transition",
    "conv": "conv outside dense transitions",
    "relu@reused": "relu that its block applies again",
    "relu": "relu that its block does not apply again",
}
TRANSITIONS = frozenset(("dense_transition",))
# Blocks with one ReLU module, applied several times, in the code that the SeqConv paper counted.
ONE_RELU = frozenset(
    ("basic", "bottleneck", "preact_basic", "preact_bottleneck", "group", "first_group", "residual_group")
)


class Table(NamedTuple):
    """A convention as it is written here; `train` replaces weights in training mode (None: evaluation only)."""

    unit: type[Amount]
    source: str
    counts: str
    weights: Weights
    note: str = ""
    train: Weights | None = None
    binary: bool = False  # printed in units of 2^30


_MACS: Weights = {"conv": {"macs": 1}, "linear": {"macs": 1}}
_TWICE: Weights = {"conv": {"macs": 2}, "linear": {"macs": 2}}
# Products of two values, as in attention: only traced modules have them.
_PRODUCTS: Weights = {"matmul": {"macs": 1}}
_TWICE_PRODUCTS: Weights = {"matmul": {"macs": 2}}

TABLES: dict[str, Table] = {
    "macs": Table(
        Macs,
        "explorer",
        "multiply-adds of convolutions and linear layers, without biases",
        {**_MACS, **_PRODUCTS},
        train={},
    ),
    "flops": Table(
        Flops,
        "explorer",
        "twice the multiply-adds of convolutions and linear layers",
        {**_TWICE, **_TWICE_PRODUCTS},
        train={},
    ),
    "torch": Table(
        Flops,
        "torch 2.13.0, torch.utils.flop_counter.FlopCounterMode, forward",
        "twice the multiply-adds of convolutions and matrix products, nothing else",
        {**_TWICE, **_TWICE_PRODUCTS},
        "Its backward count is wrong for grouped convolutions: see Training cost below.",
        train={},
    ),
    "fvcore": Table(
        Macs,
        "fvcore 0.1.5.post20221221, FlopCountAnalysis",
        "multiply-adds, 2 per batch-norm element (5 in training mode), 1 per element that global pooling reads",
        {**_MACS, **_PRODUCTS, "bn": {"outputs": 2}, "gap": {"inputs": 1}},
        "It calls its unit flop. Other pooling, activations and element-wise operations count nothing.",
        train={"bn": {"outputs": 5}},
    ),
    "torchinfo": Table(
        Macs,
        "torchinfo 1.8.0, summary(...).total_mult_adds",
        "multiply-adds, additions of biases, and the number of batch-norm parameters",
        {"conv": {"macs": 1, "bias_adds": 1}, "linear": {"macs": 1, "biases": 1}, "bn": {"norms": 1}},
        "A batch norm counts its parameters once, whatever the size of the map.",
        train={},
    ),
    "thop": Table(
        Macs,
        "thop 0.1.1.post2209072238, profile",
        "multiply-adds, 4 per batch-norm element, 1 per average-pool output, window + 1 per global-pool output",
        {**_MACS, "bn": {"outputs": 4}, "avgpool": {"outputs": 1}, "gap": {"inputs": 1, "outputs": 1}},
        "Its README calls the unit flops. ReLU, max-pooling and biases count nothing. "
        "It switches the module to evaluation by itself, so training mode counts the same.",
        train={},
    ),
    "ptflops": Table(
        Macs,
        "ptflops 0.7.5, get_model_complexity_info(backend='pytorch')",
        "multiply-adds, additions of biases, 2 per batch-norm element, 2 per ReLU element, "
        "2 per element that a pooling module reads (1 where pooling is a function)",
        {
            "conv": {"macs": 1, "bias_adds": 1},
            "linear": {"macs": 1, "biases": 1},
            "bn": {"outputs": 2},
            "relu": {"outputs": 2},
            "maxpool": {"inputs": 2},
            "avgpool": {"inputs": 2},
            "gap": {"inputs": 2},
            "regional": {"pooled": 1},
            "sliding": {"pooled": 1},
        },
        "ReLU and pooling modules are counted twice: by a hook on the module and by a patch of the function it "
        "calls. It switches the module to evaluation by itself, so training mode counts the same.",
        train={},
    ),
    "ptflops_aten": Table(
        Macs,
        "ptflops 0.7.5, get_model_complexity_info(backend='aten')",
        "multiply-adds and additions of biases",
        {"conv": {"macs": 1, "bias_adds": 1}, "linear": {"macs": 1, "biases": 1}},
        "It switches the module to evaluation by itself, so training mode counts the same.",
        train={},
    ),
    "calflops": Table(
        Flops,
        "calflops 0.3.2, calculate_flops, FLOPs",
        "twice the multiply-adds, additions of convolutions' biases, 2 per batch-norm element (5 in training mode), "
        "1 per ReLU element, 1 per element that pooling reads",
        {
            "conv": {"macs": 2, "bias_adds": 1},
            "linear": {"macs": 2},
            "bn": {"outputs": 2},
            "relu": {"outputs": 1},
            "maxpool": {"inputs": 1},
            "avgpool": {"inputs": 1},
            "gap": {"inputs": 1},
            "regional": {"pooled": 1},
            "sliding": {"pooled": 1},
        },
        "Sigmoid and the linear layers' biases count nothing. calculate_flops switches the module to evaluation; "
        "the count in training mode is that of its CalFlopsPipline.",
        train={"bn": {"outputs": 5}},
    ),
    "calflops_macs": Table(
        Macs,
        "calflops 0.3.2, calculate_flops, MACs",
        "multiply-adds of convolutions and linear layers",
        _MACS,
        train={},
    ),
    "ms-sar": Table(
        Macs,
        "MS-SAR paper, the FLOPs columns of CIFAR",
        "multiply-adds of convolutions and linear layers, without the 1x1 convolutions of dense transitions",
        {**_MACS, "conv@transition": {}},
        "The paper heads the column FLOPs.",
    ),
    "seqconv": Table(
        Macs,
        "SeqConv paper, the FLOPs columns of ImageNet: thop as of 2019",
        "multiply-adds of convolutions, 4 per batch-norm element, 1 per ReLU element (of a ReLU module that a block "
        "applies several times the last time only), window per max-pool output, window + 1 per average-pool output, "
        "2 inputs - 1 per linear output",
        {
            "conv": {"macs": 1},
            "bn": {"outputs": 4},
            "relu": {"outputs": 1},
            "relu@reused": {},
            "maxpool": {"windows": 1},
            "avgpool": {"windows": 1, "outputs": 1},
            "gap": {"inputs": 1, "outputs": 1},
            "linear": {"macs": 2, "outputs": -1},
        },
        "The paper heads the column FLOPs and prints it in units of 2^30. The rules are in thop's source of 2019; "
        "versions differ in whether a module's second call adds to its count or replaces it; here it replaces. A "
        "max-pooling whose kernel is given as one number k counted k, not its window: the printed digits do not tell.",
        binary=True,
    ),
}
