"""Every reader of the graph handles every kind of op."""

import numpy as np
import pytest
import sympy
from catalog.test_facts import NAMED

import explorer
from explorer.analysis.ledger import ROWS, Row, ledger_of, totals_of
from explorer.blocks.graph import flatten
from explorer.blocks.ops import PRIMITIVES
from explorer.nn.layers import LAYERS


def test_no_kind_is_forgotten():
    assert set(ROWS) == set(PRIMITIVES) == set(LAYERS)


def test_the_ledger_of_a_scope_is_the_sum_over_the_flattened_graph():
    for name in NAMED:
        cost = explorer.cost(name)
        sums = {}
        for node in flatten(cost.graph)[0]:
            row = ROWS[node.op.kind]
            values = row(node.op, *_elements(node.op))
            sums[node.op.kind] = [
                a + b for a, b in zip(sums.get(node.op.kind, [0] * len(Row._fields)), values, strict=True)
            ]
        assert {kind: Row(*total) for kind, total in sums.items()} == cost.ledger, name


def _elements(op):
    read = sum(c * h * w for c, h, w in op.ins)
    return read, op.out[0] * op.out[1] * op.out[2]


def test_paths_are_unique():
    for name in ("gunn15", "resnet20 + mssar(1,2,4)", "seqresnet-k8-r4-n1"):
        paths = [node.path for node in flatten(explorer.expand(name))[0]]
        assert len(paths) == len(set(paths))


# --- the same walk on arrays and on symbols ---

SWEEPS = [
    ("wrn(depth = 16, k = 2)", "k", [2, 4, 10]),
    ("densenet_bc(depth = 16, k = 4)", "k", [4, 12, 40]),
    ("cifar_resnet(n = 2) + mssar(1, 2, 4)", "classes", [2, 10, 100]),
    ("gunn15", "classes", [10, 100]),
    ("vgg16", "classes", [10, 1000]),
    ("wrn(depth = 16, k = 2) + se", "k", [2, 4]),
]


@pytest.mark.parametrize(("text", "name", "values"), SWEEPS)
def test_an_array_walk_gives_every_row(text, name, values):
    together = explorer.cost(text, values={name: np.array(values, dtype=np.int64)})
    for row, value in enumerate(values):
        alone = explorer.cost(text, values={name: value})
        for column in ("params", "macs", "activations"):
            total = np.broadcast_to(getattr(together, column), len(values))
            assert total[row] == getattr(alone, column), (column, value)


@pytest.mark.parametrize(("text", "name", "values"), SWEEPS)
def test_a_symbolic_walk_gives_the_formula(text, name, values):
    symbol = sympy.Symbol(name, integer=True, positive=True)
    formula = explorer.cost(text, values={name: symbol})
    for value in values:
        alone = explorer.cost(text, values={name: value})
        for column in ("params", "macs", "activations"):
            assert sympy.sympify(getattr(formula, column)).subs(symbol, value) == getattr(alone, column)


def test_rows_that_cannot_exist_are_masked():
    with pytest.raises(explorer.UserError, match="differ in structure"):
        explorer.cost("wrn(depth = 10, k = 1)", values={"k": np.array([1, 2])})  # k = 1 needs no projection
    text = "network n(k) { input 3x8x8\n conv(1x1, 12)\n conv(3x3, 12, groups = k) }"
    cost = explorer.cost(text + "\nnetwork m = n(k = 1)", values={"k": np.array([1, 2, 5, 6])})
    assert list(cost.graph.valid) == [True, True, False, True]


def test_arrays_that_would_overflow_are_refused():
    with pytest.raises(explorer.UserError, match="does not fit an array walk"):
        explorer.cost("wrn(depth = 10, k = 1)", values={"k": np.array([2, 10**9])})
    assert explorer.cost("wrn(depth = 10, k = 1000000000)").params > 10**20


def test_counts_are_plain_integers():
    with pytest.raises(explorer.UserError, match="one plain integer"):
        explorer.cost("cifar_resnet(n = 1)", values={"n": sympy.Symbol("n", integer=True, positive=True)})


@pytest.mark.parametrize("kind", ["int", "array", "symbol"])
def test_totals_of_an_empty_ledger_are_zero(kind):
    assert totals_of({}) == (0, 0, 0)
    assert ledger_of(explorer.expand("network n { input 3x4x4, relu }").root)["relu"] == Row(0, 48, 48)


def test_arrays_that_die_on_the_way_are_not_mistaken_for_others():
    text = """block b(x) { conv(3x3, 2 * x) }
network n(w) { input 3x8x8
  for d in [1, 5, 9, 30, 2, 7] { add { b(w + d), conv(1x1, 3) | it } } }
network m = n(w = 1)"""
    together = explorer.cost(text, values={"w": np.array([1, 2, 3])}).params
    assert list(together) == [explorer.cost(text, values={"w": w}).params for w in (1, 2, 3)]


def test_repetitions_and_gates_on_arrays():
    text = "network n(w) { input 3x8x8, conv(1x1, w), basic(w) * 3, mssar(1, 2) * 2 }\nnetwork m = n(w = 2)"
    together = explorer.cost(text, values={"w": np.array([4, 8])})
    assert list(together.macs) == [explorer.cost(text, values={"w": w}).macs for w in (4, 8)]


def test_classes_replace_what_is_given_by_position():
    assert explorer.cost("wrn(10, 1, 10)", classes=100).params == explorer.cost("wrn(10, 1, 100)").params


def test_names_never_collide():
    steps = "".join("  a: conv(3x3, 4), bn\n" for _ in range(12)) + "  a1: conv(3x3, 4), bn\n" * 2
    text = f"network n {{ input 3x8x8\n{steps}  half: relu\n  half_: relu\n  outputs: relu\n  _modules: relu }}"
    cost = explorer.cost(text)
    module = explorer.build(text)
    assert sum(p.numel() for p in module.parameters()) == cost.params
    names = [child["name"] for child in cost.tree()["children"]]
    assert len(names) == len(set(names))


def test_stages_are_numbered_alike_everywhere():
    text = "network n { input 3x8x8, stage: it, stage: basic(8), stage: basic(8) }"
    changed = explorer.cost(text + "\nnetwork m = n + se(ratio = 2) on stage3").tree()["children"]
    plain = explorer.cost(text).tree()["children"]
    assert [a["name"] for a in changed] == ["stage2", "stage3"]
    assert changed[0]["columns"] == plain[0]["columns"] and changed[1]["columns"] != plain[1]["columns"]


def test_labels_do_not_change_what_a_block_returns():
    inner = "block keep(w) { conv(3x3, w), tap(raw), relu }\n"
    for body in ("keep(4), conv(3x3, 4)", "a: keep(4)\n b: conv(3x3, 4)"):
        with pytest.raises(explorer.UserError, match="tapped as 'raw'"):
            explorer.cost(
                f"{inner}block use {{ entry.raw }}\nblock two {{ {body} }}\nnetwork n {{ input 3x8x8, two, use }}"
            )


def test_a_seqconv_layer_counts_as_many_layers_as_run_in_it_but_at_most_one():
    text = "block a { aggregate(8, 8) { tap(x), conv(3x3, 8) } }\nblock b { entry.x }\nnetwork n { input 8x4x4, a, b }"
    cost = explorer.cost(text + "\nnetwork m = n")
    assert cost.depth == cost.chain == 0


def test_a_padded_image_is_still_the_image():
    text = "network n { input 3x8x8, pad(4), conv(3x3, 4), conv(3x3, 4) }\nnetwork m = n + seqconv(k = 2)"
    changes = {c.reason: c.places for c in explorer.expand(text).root.changes}
    assert changes == {None: 1, "it reads the image": 1}
