"""Auxiliary heads: beside the network in the graph, in the module, in every count."""

import json

import pytest
import torch
import torch.nn.functional as F
from typer.testing import CliRunner

import explorer
from explorer.analysis.ledger import Totals
from explorer.analysis.verify import verify
from explorer.blocks.graph import flatten
from explorer.cli.app import app
from explorer.errors import UserError
from explorer.reports.diagram.structure import diagram_of

BODY = """
  input 3x8x8
  conv1: conv(3x3, 4){first}, relu
  for w in [6, 8] {{ down: conv(3x3, w, /2){second}, bn }}
  head: gap, linear(classes)
"""
PLAIN = "network plain(classes = 5) {" + BODY.format(first="", second="") + "}"
HEADED = (
    "network headed(classes = 5) {"
    + BODY.format(
        first=", auxiliary(0.3) { gap, linear(classes) }", second=", auxiliary(1/4) { relu, flatten, linear(7) }"
    )
    + "}"
)
X = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def test_heads_change_no_count_of_the_network():
    plain, headed = explorer.cost(PLAIN), explorer.cost(HEADED, batch=3)
    for quantity in ("params", "depth", "chain", "ledger"):
        assert getattr(headed, quantity) == getattr(plain, quantity)
    assert headed.macs == 3 * plain.macs and headed.activations == 3 * plain.activations
    assert [f.op.kind for f in flatten(headed.graph)[0]] == [f.op.kind for f in flatten(plain.graph)[0]]
    assert headed.auxiliaries == {
        "auxiliary1": Totals(4 * 5 + 5, 3 * 4 * 5, 3 * 5),
        "auxiliary2": Totals(6 * 16 * 7 + 7, 3 * 6 * 16 * 7, 3 * 7),
        "auxiliary3": Totals(8 * 4 * 7 + 7, 3 * 8 * 4 * 7, 3 * 7),
    }
    assert plain.auxiliaries == {}


def test_heads_make_another_network():
    headed = explorer.expand(HEADED)
    weighted = explorer.expand(HEADED.replace("0.3", "0.4"))
    elsewhere = explorer.expand(HEADED.replace(", auxiliary(0.3) { gap, linear(classes) }, relu",
                                               ", relu, auxiliary(0.3) { gap, linear(classes) }"))  # fmt: skip
    digests = {graph.digest for graph in (explorer.expand(PLAIN), headed, weighted, elsewhere)}
    assert len(digests) == 4 and explorer.expand(HEADED).digest == headed.digest
    assert not headed.main.auxiliaries and headed.main.root is headed.root


def test_heads_read_where_they_stand():
    net = explorer.build(HEADED).eval()
    first = net.conv1.conv(X)
    hidden = first.relu()
    reads = [first.mean((2, 3))]
    for stage in (net.down1, net.down2):
        hidden = stage.conv(hidden)
        reads.append(hidden.relu().flatten(1))
        hidden = stage.bn(hidden)
    main, heads = net.with_auxiliaries(X)
    assert torch.allclose(main, net.head.linear(hidden.mean((2, 3))))
    assert [weight for weight, _ in heads] == [0.3, 0.25, 0.25]
    for (_, got), read, head in zip(heads, reads, net.auxiliaries.values(), strict=True):
        assert torch.allclose(got, head.linear(read))


def test_a_call_gives_the_main_output_alone_and_the_loss_of_heads_reaches_the_body():
    net = explorer.build(HEADED).train()
    assert net(X).shape == (2, 5)
    net(X).sum().backward()
    assert all((p.grad is None) == name.startswith("auxiliaries.") for name, p in net.named_parameters())
    alone = net.conv1.conv.weight.grad.clone()
    net.zero_grad()
    main, heads = net.with_auxiliaries(X)
    (main.sum() + sum(weight * out.square().sum() for weight, out in heads)).backward()
    assert all(p.grad is not None for p in net.parameters())
    assert not torch.equal(net.conv1.conv.weight.grad, alone)


def test_the_main_network_is_what_other_counters_see():
    cost = explorer.cost(HEADED)
    net = explorer.build(HEADED)
    own = sum(p.numel() for p in net.parameters()) - sum(p.numel() for p in net.auxiliaries.parameters())
    assert own == cost.params
    assert sum(p.numel() for p in net.auxiliaries.parameters()) == sum(t.params for t in cost.auxiliaries.values())
    assert all(row.explained for row in verify(cost))


def test_heads_are_listed_in_json_and_drawn():
    result = CliRunner().invoke(app, ["cost", "dsn", "--format", "json"])
    listed = json.loads(result.output)["auxiliaries"]
    assert listed["auxiliary3"] == {"params": 122_890, "macs": 122_880, "activations": 10}
    diagram = diagram_of(explorer.expand(HEADED))
    rows = {row.name: row for row in diagram.rows}
    asides = [name for name, row in rows.items() if row.aside]
    assert asides == ["auxiliary1", "auxiliary2", "auxiliary3"]
    assert diagram.params == explorer.cost(HEADED).params and rows["auxiliary1"].params == 25
    position = {row.name: index for index, row in enumerate(diagram.rows)}
    assert (position["conv1"], position["auxiliary1"]) in diagram.links


def test_modifiers_leave_heads_alone():
    text = "network n { input 4x8x8, conv(1x1, 4)MORE, auxiliary(1) { conv(3x3, 4) }, gap }"
    text += "\nnetwork m = n + seqconv(k = 2)"
    with pytest.raises(UserError, match="changes nothing"):
        explorer.expand(text.replace("MORE", ""))
    graph = explorer.expand(text.replace("MORE", ", conv(3x3, 4)"))
    assert [change.places for change in graph.root.changes if change.reason is None] == [1]
    assert [entry.name for entry in graph.auxiliaries[0].scope.body] == ["conv"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("network n { input 3x4x4, auxiliary { gap } }", "write auxiliary"),
        ("network n { input 3x4x4, auxiliary(1) }", "write auxiliary"),
        ("network n { input 3x4x4, auxiliary(1, 2) { gap } }", "write auxiliary"),
        ("network n { input 3x4x4, auxiliary(1) { gap | relu } }", "write auxiliary"),
        ("network n { input 3x4x4, auxiliary(0) { gap } }", "weight of auxiliary"),
        ("network n { input 3x4x4, auxiliary(yes) { gap } }", "weight of auxiliary"),
        ("network n { input 3x4x4, auxiliary(1) { linear(3) } }", "linear reads a vector"),
        ("block b { auxiliary(1) { gap } }\nnetwork n { input 3x4x4, b }", "not in a block"),
        ("network n { input 3x4x4, grow(2) { auxiliary(1) { gap }, relu } }", "not in a block, a fold"),
        ("network n { input 3x4x4, auxiliary(1) { auxiliary(1) { gap } } }", "another auxiliary"),
        ("network n { input 3x4x4, mean K in [1, 2] { auxiliary(1) { gap }, relu } }", "for each value of a list"),
        ("block auxiliary { relu }\nnetwork n { input 3x4x4, auxiliary }", "grammar's own word"),
    ],
)
def test_what_is_refused(text, message):
    with pytest.raises(UserError, match=message):
        explorer.expand(text)


def test_heads_in_loops_and_branches_keep_their_places():
    text = """network n { input 2x4x4
  for w in [3, 4] { stage: conv(1x1, w), auxiliary(w) { gap } }
  add { conv(1x1, 2), auxiliary(9) { gap } | conv(1x1, 2) }
}"""
    graph = explorer.expand(text)
    assert [(head.weight, head.scope.out) for head in graph.auxiliaries] == [
        (3, (3, 1, 1)),
        (4, (4, 1, 1)),
        (9, (2, 1, 1)),
    ]
    net = explorer.build(text).eval()
    x = torch.randn(1, 2, 4, 4)
    hidden = net.stage1.conv(x)
    wanted = [hidden, net.stage2.conv(hidden)]
    wanted.append(net.conv1(wanted[-1]))
    for (_, got), read in zip(net.with_auxiliaries(x)[1], wanted, strict=True):
        assert torch.allclose(got, F.adaptive_avg_pool2d(read, 1).flatten(1))
