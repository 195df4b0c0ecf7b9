"""Verdicts on the papers' formulas and identities (`catalog/claims.csv`), from derived formulas and from data flow."""

from collections.abc import Callable, Iterable
from itertools import product
from typing import NamedTuple

from explorer.analysis.claims import singularities
from explorer.analysis.derive.chains import graph_of_chain
from explorer.analysis.derive.flow import Flow, flow
from explorer.analysis.derive.formulas import FORMULAS
from explorer.analysis.derive.judge import FAILS, HOLDS
from explorer.analysis.derive.linear import collapse, gradient_step, weight
from explorer.analysis.derive.rows import Row, row_of
from explorer.analysis.derive.symbols import pretty

ABOUT = "holds where 'about' means"
FORMULA = {formula.name: formula for formula in FORMULAS}


class ClaimVerdict(NamedTuple):
    """A verdict on one claim; the first three fields are copied unchanged from the file of claims."""

    paper: str
    where: str
    claim: str
    verdict: str
    detail: str


class Decided(NamedTuple):
    """A claim that formulas decide: all of `by` must hold; `besides` are said too. Both are names of formulas."""

    paper: str
    where: str
    claim: str
    by: tuple[str, ...]
    besides: tuple[str, ...] = ()


BY_FORMULAS = (
    Decided(
        "ms-sar",
        "3.5",
        "parameters of a 3x3 convolution with D channels in and out",
        ("weights of a 3x3 convolution from D to D channels",),
    ),
    Decided(
        "ms-sar",
        "3.5",
        "extra parameters per scale; for all L scales",
        ("extra weights of one scale", "extra weights of all L scales"),
        ("extra parameters of all L scales, batch norm's included",),
    ),
    Decided(
        "ms-sar",
        "3.5",
        "with D' = D/L the number of extra parameters does not grow with L",
        ("with D' = D/L the extra weights do not grow with L",),
        (
            "with D' = floor(D/L) the extra weights do not grow with L",
            "with more scales than channels, so D' = 1, the extra weights do not grow with L",
            "with D' = D/L the extra parameters, batch norm's included, do not grow with L",
        ),
    ),
    Decided(
        "ms-sar",
        "3.5",
        "spatial pooling for all positions (sliding, partial sums)",
        (
            "additions of sliding pooling by partial sums, W = H = s, K at least 2",
            "additions of sliding pooling by partial sums, W = H = s, K = 1",
        ),
        ("elements that regional pooling adds up, all scales",),
    ),
    Decided(
        "ms-sar",
        "3.5",
        "extra computation of the fully-connected layers, sliding, all scales",
        ("fully-connected layers, sliding, all scales (MACs)",),
    ),
    Decided(
        "ms-sar",
        "3.5",
        "extra computation of the fully-connected layers, regional, all scales",
        ("fully-connected layers, regional, all scales (MACs)",),
    ),
    Decided(
        "seqconv",
        "3.1",
        "parameters of a dense SeqConv layer grow quadratically with its width, those of a regular convolution "
        "linearly (input width fixed)",
        (
            "power of the width in a dense layer's weights; input width and k fixed",
            "power of the width in a regular layer's weights; input width fixed",
        ),
        (
            "power of the width in a windowed layer's weights; input width and k fixed",
            "dense over regular; input as wide as the output",
        ),
    ),
    Decided(
        "seqconv",
        "3.1",
        "a windowed layer has the parameters and the computation of a regular convolution",
        ("parameters of a windowed layer and a regular one", "MACs of a windowed layer and a regular one"),
        ("weights of a windowed bottleneck layer and a regular one",),
    ),
    Decided(
        "gunn",
        "3.2",
        "parameters and computation of a GUNN layer equal those of the simultaneous layer for any partition",
        (
            "bottleneck units have the same parameters in any P segments as in one",
            "bottleneck units have the same MACs in any P segments as in one",
        ),
        (
            "a convolution has its parameters in any P segments",
            "a convolution has its weights in segments of unequal size",
            "parameters of GUNN and of SUNN with the same segments",
        ),
    ),
)


def claim_verdicts(paper: str | None = None) -> list[ClaimVerdict]:
    """A verdict on every claim of the kinds formula and identity, of one paper or all."""
    derived = [_decided(decided) for decided in BY_FORMULAS if paper in (None, decided.paper)]
    by_graph = [(claim, decide) for claim, decide in BY_GRAPH.items() if paper in (None, claim[0])]
    return derived + [ClaimVerdict(*claim, *decide()) for claim, decide in by_graph]


def _decided(decided: Decided) -> ClaimVerdict:
    found = [row_of(FORMULA[name], verify=False) for name in decided.by]
    verdict = HOLDS if all(row.verdict == HOLDS or row.verdict.startswith(ABOUT) for row in found) else FAILS
    besides = [row_of(FORMULA[name], verify=False) for name in decided.besides]
    detail = "; ".join(map(_said, found)) + (". Beside it: " + "; ".join(map(_said, besides)) if besides else "")
    return ClaimVerdict(decided.paper, decided.where, decided.claim, verdict, detail)


def _said(row: Row) -> str:
    """One formula as a sentence: extra weights of all L scales: 2*D*D'*L, holds."""
    text = f"{row.name}: {pretty(row.derived)}, {pretty(row.verdict)}"
    return text if row.difference in ("", "0") else f"{text} (claimed {pretty(row.claim)})"


# --- identities: what reads what ---


def _flow(text: str, channels: int, values: dict[str, int], without: tuple[str, ...] = ()) -> Flow:
    return flow(graph_of_chain(text, (channels, 4, 4), values), without)


def _agree(pairs: Iterable[tuple[Flow, Flow]]) -> tuple[int, int]:
    """Pairs of layers with the same data flow, of how many."""
    found = [one == other for one, other in pairs]
    return sum(found), len(found)


def _verdict(agreed: tuple[int, int], says: str) -> tuple[str, str]:
    right, number = agreed
    return HOLDS if right == number else FAILS, f"{says}: in {right} of {number} layers that were walked"


def _groups() -> list[dict[str, int]]:
    return [{"g": g, "n": n, "k": k} for g, n, k in product((1, 2, 3), (1, 2, 3, 5), (1, 2, 4))]


def _window_of_dense() -> tuple[str, str]:
    """Each group reads the last Cin channels that the dense layer's group reads; all else is alike."""

    def windowed(sizes: dict[str, int]) -> tuple[Flow, Flow]:
        channels = sizes["g"] * sizes["k"]
        values = {"n": sizes["n"], "k": sizes["k"]}
        dense = _flow("aggregate(n*k, k) { group }", channels, values)
        seen = dense._replace(reads=tuple(read[-channels:] for read in dense.reads))
        return _flow("windowed(n*k, k) { group }", channels, values), seen

    says = "group i reads the last Cin channels of [x0, x1, ..., x(i-1)], as the mask leaves them, and its output alike"
    return _verdict(_agree(windowed(sizes) for sizes in _groups()), says)


def _dense_block() -> tuple[str, str]:
    """A dense block beside the input and an aggregated layer, with the same unit."""

    def both(sizes: dict[str, int]) -> tuple[Flow, Flow]:
        values = {"n": sizes["n"], "k": sizes["k"]}
        block = _flow("grow(n) { conv(3x3, k), bn, relu }", sizes["g"], values)
        return block, _flow("concat { it | aggregate(n*k, k) { group } }", sizes["g"], values)

    says = "with one unit in both, every layer reads the same channels, and the outputs agree once the input is kept"
    return _verdict(_agree(both(sizes) for sizes in _groups()), says)


ONE_SEGMENT = (
    ("update(1) { conv(3x3, out), bn }", "conv(3x3, in), bn"),
    ("update(1) { add { part | conv(3x3, out), bn } }", "add { it | conv(3x3, in), bn }"),
    ("gunn_layer(1, 2, 2)", "gunn_layer(1, 2, 2, reads = original)"),
    ("gunn_layer(1, 2, projection = yes)", "gunn_layer(1, 2, projection = yes, reads = original)"),
)


def _one_segment() -> tuple[str, str]:
    pairs = ((_flow(a, n, {}), _flow(b, n, {})) for a, b in ONE_SEGMENT for n in (1, 2, 5, 12))
    says = "every layer reads the same channels, and the outputs agree (plain, residual and bottleneck units)"
    return _verdict(_agree(pairs), says)


def _squeeze() -> tuple[str, str]:
    """MS-SAR with one scale of 1 beside SE, looking through MS-SAR's batch norms and the up-sampling of its weights."""
    through = ("bn", "upsample")
    pairs = (
        (
            _flow("mssar(1, ratio = r)", channels, {"r": ratio}, without=through),
            _flow("se(ratio = r)", channels, {"r": ratio}, without=through),
        )
        for channels, ratio in product((4, 8, 24), (1, 2, 4))
    )
    verdict, says = _verdict(_agree(pairs), "global mean, two layers, sigmoid, product")
    costs = ("scales {1} have the weights of SE", "scales {1} have the MACs of SE")
    apart = "scales {1} have the parameters of SE, its biases and MS-SAR's batch norms included"
    found = [row_of(FORMULA[name], verify=False) for name in (*costs, apart)]
    if any(row.verdict != HOLDS for row in found[:2]):
        verdict = FAILS
    return verdict, "; ".join((says, *map(_said, found)))


def _threshold() -> tuple[str, str]:
    """Which positions each mean of the built layer depends on, beside those within sqrt(WH)/K."""
    lattices = [(h, w, k) for h, w in product(range(1, 8), repeat=2) for k in range(1, min(h, w) + 1)]
    balls = sum(_reach(*lattice, "diamond") == _ball(*lattice, sum) for lattice in lattices)
    squares = sum(_reach(*lattice, "square") == _ball(*lattice, max) for lattice in lattices)
    right = balls == squares == len(lattices)
    detail = (
        f"radius floor(sqrt(W H)/K), distances being whole; what the means depend on is the L1 ball of the equation "
        f"(shape = diamond) on {balls} of {len(lattices)} maps, and the square that footnote 1 speaks of on {squares}"
    )
    return HOLDS if right else FAILS, detail


def _reach(height: int, width: int, scale: int, shape: str) -> list[list[bool]]:
    """For each input position which output positions depend on it."""
    import torch

    from explorer.nn.module import NetworkModule

    module = NetworkModule(graph_of_chain(f"sliding({scale}, {shape})", (1, height, width)))
    single = torch.eye(height * width).reshape(-1, 1, height, width)
    found: list[list[bool]] = (module(single).reshape(height * width, -1) != 0).tolist()
    return found


def _ball(height: int, width: int, scale: int, norm: Callable[[tuple[int, int]], int]) -> list[list[bool]]:
    places = list(product(range(height), range(width)))
    return [[(norm((abs(a - c), abs(b - d))) * scale) ** 2 <= width * height for c, d in places] for a, b in places]


# --- equations ---


def _collapse() -> tuple[str, str]:
    p, q, channels = 0, 1, 4
    printed = {weight(p, p) + 1 - weight(q, p), weight(p, q) - weight(q, q) - 1}
    found = collapse(channels, p, q)
    others = {weight(p, j) - weight(q, j) for j in range(2, channels)}
    share = singularities.meet_equation_8()
    rest = "and besides them w_pj = w_qj for all other j" if found == printed | others else "and others"
    detail = (
        f"y_p = y_q on all inputs of a walked layer of {channels} channels needs both conditions, {rest}; "
        f"of random layers solved for y_p = y_q, {float(share):.0%} meet both"
    )
    return HOLDS if printed <= found and share == 1 else FAILS, detail


# The readings of equation 10: the sign of the change, what dL/dy_i is, and how to say it. The first is as printed.
STEPS = (
    (1, singularities.TOTAL, "as printed, a step of descent, with dL/dy_i through the later channels too"),
    (-1, singularities.TOTAL, "the same for the change taken as before minus after, or for a step of ascent"),
    (1, singularities.DIRECT, "as printed with dL/dy_i of the layer's own output alone"),
    (-1, singularities.DIRECT, "that for the change taken as before minus after"),
)


def _gradient() -> tuple[str, str]:
    """Equation 10 beside measured steps: a reading holds if what it misses falls with the square of epsilon."""
    verdicts, said = [], []
    for sign, derivative, words in STEPS:
        low, high, layers = singularities.order(sign, derivative)
        verdicts.append(HOLDS if low == high == 2 else FAILS)
        said.append(f"{words} ({verdicts[-1]}): misses the measured change by epsilon^{low:.2f} to epsilon^{high:.2f}")
    change, printed = gradient_step(3)
    opposite = all(a == -b for a, b in zip(change, printed, strict=True))
    said.append(
        f"measured on {layers} random layers of 2 to 9 channels as epsilon -> 0; 2 is agreement to first order. "
        f"In symbols, on a walked layer of 3 channels, descent gives {'its negative' if opposite else 'another change'}"
    )
    return verdicts[0], " | ".join(said)


BY_GRAPH: dict[tuple[str, str, str], Callable[[], tuple[str, str]]] = {
    ("ms-sar", "3.3", "scales {1} degenerate to squeeze-and-excitation"): _squeeze,
    ("ms-sar", "3.2", "sliding threshold of distance"): _threshold,
    (
        "seqconv",
        "3.1",
        "the windowed layer is the dense layer with a rectangular window mask over groups (equations 3 to 5)",
    ): _window_of_dense,
    ("seqconv", "3.1", "a dense block is a SeqConv layer whose output keeps the input"): _dense_block,
    ("gunn", "3.2", "GUNN with one segment (l = 1) is the simultaneous layer"): _one_segment,
    ("gunn", "4.1", "collapse condition of two neurons of a linear residual layer (equation 8)"): _collapse,
    (
        "gunn",
        "4.1",
        "change of an output after one gradient step, equation 10, for a linear GUNN layer",
    ): _gradient,
}
