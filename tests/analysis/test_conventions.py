"""Counting conventions: names, differences that add up, places, and the papers' own columns."""

import csv
from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import numpy as np
import pytest
import sympy
from catalog.test_facts import NAMED
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import networks

import explorer
from explorer.analysis.convention_tables import COLUMNS, ONE_RELU, PLACES, TABLES, TRANSITIONS
from explorer.analysis.conventions import (
    convention,
    convention_names,
    count,
    count_of,
    counts_of,
    difference,
    kind_of,
)
from explorer.analysis.ledger import Row, ledger_of
from explorer.blocks.ops import PRIMITIVES
from explorer.errors import UserError
from explorer.grammar.library import shipped

REPORTED = list(csv.DictReader((Path(explorer.__file__).parent / "catalog" / "reported.csv").open()))
ALL = [convention(name) for name in convention_names()]


# --- the tables ---


def test_tables_speak_of_what_there_is():
    for table in TABLES.values():
        for weights in (table.weights, table.train or {}):
            assert {kind_of(rule) for rule in weights} <= {*PRIMITIVES, "matmul"}  # the latter of traced modules
            assert all(rule == kind_of(rule) or rule in PLACES for rule in weights)
            assert all(set(columns) <= set(COLUMNS) for columns in weights.values())
    assert tuple(COLUMNS) == (*Row._fields, "pooled")
    blocks = {name for name, place in shipped().items() if place.kind in ("block", "unit")}
    assert blocks >= ONE_RELU | TRANSITIONS


def test_every_tool_has_a_training_mode_and_no_paper_has():
    assert set(convention_names()) - set(TABLES) == {f"{name}_train" for name in set(TABLES) - {"ms-sar", "seqconv"}}
    for wrong, meant in (("fvcor", "fvcore"), ("torch_trian", "torch_train"), ("seqconv_train", ""), ("", "known:")):
        with pytest.raises(UserError, match=f"unknown convention '{wrong}'.*{meant}"):
            convention(wrong)


def test_macs_and_flops_are_the_cost():
    for name in NAMED:
        cost = explorer.cost(name, batch=3)
        assert count_of(convention("macs"), cost) == cost.macs
        assert count_of(convention("flops"), cost) == count_of(convention("torch"), cost) == 2 * cost.macs


@given(st.sampled_from(ALL), networks())
@settings(max_examples=30, deadline=None)
def test_a_count_is_the_weighted_sum_over_the_ledger(known, text):
    """A bare ledger has no places: the same sum where no place has weights of its own."""
    root = explorer.expand(text).root
    plain = sum(
        weight * getattr(row, column)
        for kind, row in ledger_of(root).items()
        for column, weight in known.weights.get(kind, {}).items()
        if column != "pooled"
    )
    assert count(known, ledger_of(root)) == plain
    pooled = sum(v[-1] * known.weight(rule, "pooled") for rule, v in counts_of(root).items())
    if not any("@" in rule for rule in known.weights):
        assert count(known, root) == plain + pooled


def test_the_refined_ledger_is_the_ledger():
    for name in NAMED:
        root = explorer.expand(name).root
        merged = {}
        for rule, values in counts_of(root).items():
            known = merged.setdefault(kind_of(rule), [0] * len(Row._fields))
            merged[kind_of(rule)] = [a + b for a, b in zip(known, values, strict=False)]
        assert {kind: Row(*values) for kind, values in merged.items()} == ledger_of(root), name


def test_arrays_and_symbols_are_counted_too():
    text = "wrn(depth = 10, k = 2) + se(8)"
    widths = np.array([2, 3, 5])
    k = sympy.Symbol("k", integer=True, positive=True)
    together, formula = (explorer.cost(text, values={"k": value}) for value in (widths, k))
    for name in ("fvcore", "ptflops", "seqconv"):
        alone = [count(convention(name), explorer.cost(text, values={"k": int(w)}).graph.root) for w in widths]
        assert list(count(convention(name), together.graph.root)) == alone
        symbolic = sympy.sympify(count(convention(name), formula.graph.root))
        assert [symbolic.subs(k, int(w)) for w in widths] == alone


# --- differences ---


@given(st.sampled_from(ALL), st.sampled_from(ALL), networks(), st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_differences_add_up(first, second, text, batch):
    cost = explorer.cost(text, batch=batch)
    rows = difference(first, second, cost)
    assert sum(row.contribution for row in rows) == count_of(second, cost) - count_of(first, cost)
    assert all(row.contribution == (row.second - row.first) * row.elements != 0 for row in rows)
    assert len({(row.rule, row.column) for row in rows}) == len(rows)


def test_a_difference_names_the_place_only_where_it_matters():
    cost = explorer.cost("densenet100")
    (row,) = difference(convention("macs"), convention("ms-sar"), cost)
    assert (row.rule, row.column, row.first, row.second) == ("conv of a dense transition", "macs", 1, 0)
    assert {row.rule for row in difference(convention("macs"), convention("flops"), cost)} == {"conv", "linear"}
    rules = {row.rule for row in difference(convention("macs"), convention("seqconv"), explorer.cost("resnet50"))}
    assert rules == {"bn", "relu that its block does not apply again", "maxpool", "gap", "linear"}


# --- places ---


def test_a_block_with_one_relu_module_counts_its_last_call():
    def relus(text):
        found = counts_of(explorer.expand(f"network n {{ input 8x4x4, {text} }}").root)
        return found["relu"][2], found.get("relu@reused", (0, 0, 0))[2]

    assert relus("basic(8)") == (128, 128)
    assert relus("bottleneck(4)") == (16 * 16, 2 * 64)
    assert relus("aggregate(8, 4) { group(yes) }") == (128, 128)
    assert relus("dense_layer(4)") == (8 * 16 + 16 * 16, 0)
    assert relus("conv(3x3, 8), bn, relu, conv(3x3, 8), relu") == (256, 0)


def test_equal_ops_at_different_places_are_told_apart():
    """The two ReLUs of a basic block are one shared op."""
    scope = next(e.node for e in explorer.expand("cifar_resnet(n = 1)").root.body if e.node.title == "basic")
    relus = [entry.node for entry in scope.body if entry.node.kind == "relu"]
    assert relus[0] is relus[1]
    assert counts_of(scope)["relu"] == counts_of(scope)["relu@reused"]


# --- the papers' columns ---


def printed(count, digits, unit):
    """A count as a paper prints it, rounded half up."""
    shown = Decimal(count) / unit
    return str(shown.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP))


def column(paper, networks):
    """Network -> printed FLOPs figures."""
    return {(r["network"], r["printed"]) for r in REPORTED if r["paper"] == paper and r["metric"] == "flops"
            and networks in r["network"]}  # fmt: skip


def reproduced(known, network, figure, binary):
    unit = {"M": 10**6, "G": 2**30 if binary else 10**9}[figure[-1]]
    digits = len(figure[:-1].partition(".")[2])
    return printed(count(known, explorer.expand(network).root), digits, unit) == figure[:-1]


MS_SAR = column("ms-sar", "densenet")
SEQCONV = column("seqconv", "")


def test_ms_sar_leaves_the_transitions_out():
    """All FLOPs figures of its DenseNets, recalibrated or not."""
    assert len(MS_SAR) == 11
    assert all(reproduced(convention("ms-sar"), *row, binary=False) for row in MS_SAR)
    assert not any(reproduced(convention("macs"), *row, binary=False) for row in MS_SAR)


# What else might have been counted, and how many of the nine networks' figures then come out.
READINGS = {
    "each call of a shared ReLU": ({"relu@reused": {"outputs": 1}}, 6),
    "no ReLU": ({"relu": {}}, 1),
    "3 per batch-norm element": ({"bn": {"outputs": 3}}, 0),
    "5 per batch-norm element": ({"bn": {"outputs": 5}}, 0),
    "the inputs per linear output": ({"linear": {"macs": 1}}, 8),
    "no linear layer": ({"linear": {}}, 7),
    "no pooling": ({"maxpool": {}, "avgpool": {}, "gap": {}}, 9),
}


def test_seqconv_counts_as_thop_did():
    assert len(SEQCONV) == 9
    assert all(reproduced(convention("seqconv"), *row, binary=True) for row in SEQCONV)
    for name in set(TABLES) - {"seqconv"}:
        assert sum(reproduced(convention(name), *row, binary=False) for row in SEQCONV) == 0, name
    assert sum(reproduced(convention("seqconv"), *row, binary=False) for row in SEQCONV) == 0


@pytest.mark.parametrize("reading", READINGS)
def test_other_readings_of_seqconv_reproduce_less(reading):
    """Only whether pooling counts cannot be seen in the printed digits."""
    weights, expected = READINGS[reading]
    known = convention("seqconv")
    other = replace(known, weights={**known.weights, **weights})
    assert sum(reproduced(other, *row, binary=True) for row in SEQCONV) == expected


def test_the_old_thop_rules_by_hand():
    """On one small network: convolutions, norms, ReLU once, max-pool, global pool and linear layer."""
    text = "network n { input 2x8x8, conv(3x3, 4, bias = yes), maxpool(2), basic(4), gap, linear(3) }"
    conv, pool = 9 * 2 * 4 * 64 + 2 * 9 * 4 * 4 * 16, 4 * 4 * 16
    norms, relu, gap, linear = 4 * 2 * 4 * 16, 4 * 16, 4 * (16 + 1), 3 * (2 * 4 - 1)
    assert count(convention("seqconv"), explorer.expand(text).root) == conv + pool + norms + relu + gap + linear
