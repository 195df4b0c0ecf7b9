"""The layers that are walked, as text. What repeats is given as a plain number and fitted afterwards."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Layer:
    """A chain of the grammar on a symbolic input, and how its formula is written in the paper's symbols."""

    text: str
    input: str = "D x H x W"
    counts: tuple[str, ...] = ()  # symbols that decide how often something repeats
    first: Mapping[str, int] = field(default_factory=dict)  # where their fit begins, if not at 1
    scales: str | None = None  # the count that is the length of the list K
    modifier: str = ""
    paper: Mapping[str, str] = field(default_factory=dict)  # symbols of the walk in those of the paper
    given: tuple[str, ...] = ()  # what holds by the choice of symbols


GROUPS = {"g": "C/k", "n": "Cout/k"}
WHOLE_GROUPS = ("k divides C", "k divides Cout")
FIXED = {"n": "Cout/k"}
SQUARE = {"n": "C/k"}
EXTENDED = {"g": "C/k", "n": "(Cout - C)/k"}

LAYERS = {
    # MS-SAR, sections 3.2 to 3.5
    "conv": Layer("conv(3x3, in)"),
    "scales": Layer("mssar(*K, width = d)", counts=("L",), scales="L"),
    "sliding": Layer("mssar(*K, width = d, pool = sliding)", counts=("L",), scales="L"),
    "shared": Layer("mssar(*K)", counts=("L",), scales="L"),
    "floored": Layer(
        "mssar(*K)",
        "L*q + D_mod_L x H x W",
        counts=("L", "q", "D_mod_L"),
        first={"L": 4, "D_mod_L": 0},
        scales="L",
        paper={"q": "(D - D_mod_L)/L"},
        given=("D_mod_L < L", "L <= D"),
    ),
    "narrow": Layer("mssar(*K)", counts=("L", "D"), first={"L": 5}, scales="L", given=("D < L",)),
    "neighbourhoods": Layer(
        "sliding(K)",
        "D x K*R x K*R",
        counts=("K", "R"),
        first={"K": 2},
        paper={"R": "s/K"},
        given=("2 <= K", "K divides s"),
    ),
    "whole": Layer("sliding(1)", "D x s x s", counts=("s",)),
    "squeeze": Layer("se(ratio = r)"),
    "alone": Layer("mssar(1, ratio = r)"),
    "block": Layer("basic(in)"),
    "recalibrated": Layer("basic(in)", counts=("L",), scales="L", modifier="mssar(*K)"),
    "recalibrated_sliding": Layer("basic(in)", counts=("L",), scales="L", modifier="mssar(*K, pool = sliding)"),
    "dense_step": Layer("grow(1) { dense_layer(D) }", "C x H x W"),
    "dense_recalibrated": Layer(
        "grow(1) { dense_layer(D) }", "C x H x W", counts=("L",), scales="L", modifier="mssar(*K)"
    ),
    # SeqConv, sections 3.1 and 3.2
    "regular": Layer("conv(3x3, n*k), bn, relu", "g*k x H x W", paper=GROUPS, given=WHOLE_GROUPS),
    "windowed": Layer("windowed(n*k, k) { group }", "g*k x H x W", ("g", "n"), paper=GROUPS, given=WHOLE_GROUPS),
    "fixed": Layer("conv(3x3, n*k), bn, relu", "C x H x W", paper=FIXED, given=WHOLE_GROUPS[1:]),
    "dense": Layer("aggregate(n*k, k) { group }", "C x H x W", ("n",), paper=FIXED, given=WHOLE_GROUPS[1:]),
    "square": Layer("conv(3x3, in), bn, relu", "n*k x H x W", paper=SQUARE, given=WHOLE_GROUPS[:1]),
    "dense_square": Layer("aggregate(in, k) { group }", "n*k x H x W", ("n",), paper=SQUARE, given=WHOLE_GROUPS[:1]),
    "windowed_square": Layer("windowed(in, k) { group }", "n*k x H x W", ("n",), paper=SQUARE, given=WHOLE_GROUPS[:1]),
    "windowed_b": Layer("windowed(n*k, k) { group(yes) }", "g*k x H x W", ("g", "n"), paper=GROUPS, given=WHOLE_GROUPS),
    "dense_b": Layer("aggregate(n*k, k) { group(yes) }", "C x H x W", ("n",), paper=FIXED, given=WHOLE_GROUPS[1:]),
    "subgroups": Layer(
        "windowed(n*k, k) { group(no, c) }", "g*k x H x W", ("g", "n"), paper=GROUPS, given=WHOLE_GROUPS
    ),
    "subgroups_b": Layer(
        "windowed(n*k, k) { group(yes, c) }", "g*k x H x W", ("g", "n"), paper=GROUPS, given=WHOLE_GROUPS
    ),
    "down": Layer("seq_down((g + n)*k, k, k2)", "g*k x H x W", ("g", "n"), paper=EXTENDED, given=WHOLE_GROUPS),
    "down_b": Layer(
        "seq_down((g + n)*k, k, k2, c, c2, yes)", "g*k x H x W", ("g", "n"), paper=EXTENDED, given=WHOLE_GROUPS
    ),
    "strided": Layer("conv(3x3, (g + n)*k, /2), bn, relu", "g*k x H x W", paper=EXTENDED, given=WHOLE_GROUPS),
    "residual": Layer(
        "windowed(in, k) { first_group }, seq_block(k)", "n*k x H x W", ("n",), paper=SQUARE, given=WHOLE_GROUPS[:1]
    ),
    # GUNN, sections 3.2 and 5.1
    "gunn": Layer("gunn_layer(P, K, M)", "N x H x W", ("P", "M")),
    "gunn_p": Layer("gunn_layer(P, K, M, projection = yes)", "N x H x W", ("P", "M")),
    "sunn": Layer("gunn_layer(P, K, M, reads = original)", "N x H x W", ("P", "M")),
    "sunn_p": Layer("gunn_layer(P, K, M, projection = yes, reads = original)", "N x H x W", ("P", "M")),
    "simultaneous": Layer("gunn_layer(1, K, M)", "N x H x W", ("M",)),
    "simultaneous_p": Layer("gunn_layer(1, K, M, projection = yes)", "N x H x W", ("M",)),
    "plain": Layer("update(P) { conv(3x3, out), bn }", "N x H x W", ("P",)),
    "plain_one": Layer("conv(3x3, in), bn", "N x H x W"),
    "plain_uneven": Layer(
        "update(P) { conv(3x3, out), bn }",
        "P*q + N_mod_P x H x W",
        counts=("P", "q", "N_mod_P"),
        first={"P": 4, "N_mod_P": 0},
        paper={"q": "(N - N_mod_P)/P"},
        given=("N_mod_P < P", "P <= N"),
    ),
}
