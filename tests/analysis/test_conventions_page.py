"""docs/conventions.md is what the tables, the counts and the oracles say; UPDATE_DOCS=1 writes it anew."""

import os
from pathlib import Path

from analysis.test_conventions import MS_SAR, READINGS, SEQCONV
from analysis.test_training_cost import TINY, counted

import explorer
from explorer.analysis.convention_tables import COLUMNS, ONE_RELU, PLACES, TABLES
from explorer.analysis.conventions import convention, count, kind_of
from explorer.analysis.training import torch_training_flops, training_macs
from explorer.analysis.units import Macs, decimal, exact
from explorer.blocks.ops import PRIMITIVES

PAGE = Path(__file__).parent.parent.parent / "docs" / "conventions.md"
RULES = [*dict.fromkeys(rule for table in TABLES.values() for rule in table.weights)]
TRAINED = ("resnet50", "resnext50-32x4d", "resnext29-8x64d", "igc-l450m2")

HEAD = """# Counting conventions

Tools and papers count different things under one name. Here each is a table of integer weights over one ledger, and
each tool's table equals the tool to the unit: `tests/analysis/test_conventions_peers.py` runs them beside each other
(`pip install -e '.[peers]'`). This page is written from the tables, the counts and the oracles by
`UPDATE_DOCS=1 pytest tests/analysis/test_conventions_page.py`.

```
explorer cost resnet50 --as fvcore              # what fvcore would say
explorer cost resnet50 --as fvcore,ptflops      # and the rows that make up the difference; they add up exactly
```

A name with `_train` counts the module in training mode; only fvcore and calflops differ there. Auxiliary heads are not
counted.
"""

PLACES_TEXT = """A rule is a kind of op, or a kind at a place. A place has its kind's weights unless it is given others:

* **conv of a dense transition**: the convolutions of `dense_transition`.
* **relu that its block applies again**: in code that gives a block one ReLU module and calls it several times,
  all calls but the last. Such blocks: {blocks}.

`pooled` is about the built module: where the scale divides the map, `regional` is one call of `avg_pool2d`, which
ptflops and calflops count; elsewhere it is sums over bands, which nobody counts. The square of `sliding` is two calls;
its diamond is one for each row, of the map and of a map of ones.

No table counts {uncounted}.
"""

PAPERS_TEXT = """## The papers' own columns

MS-SAR's DenseNets (tables 1 to 3) are `ms-sar`: multiply-adds without the transitions' 1x1 convolutions. All
figures come out.

{ms_sar}

SeqConv's ImageNet networks (tables 2 and 4) are `seqconv` in units of 2^30. All figures come out; in units of 10^9, or
by what the tools count today, none does.

{seqconv}

Which details the digits decide: with one rule changed, the figures that still come out.

{readings}
"""

TRAINING_TEXT = """## Training cost

y = w x is met three times in training: forward, in the gradient with respect to x, and in the one with respect to w.
Each takes one multiply-add for every pair of a weight and an output element that it reaches, so each costs what
the forward pass costs, for any stride and number of groups; padding counts as part of the map in all three. A
layer that reads only the image needs no gradient of its input. `explorer/analysis/training.py` computes this from the
graph alone.

An oracle (`tests/oracles/bruteforce.py`) runs tiny networks on single numbers, forward and backward, and counts each
multiplication as it is made; its gradients are compared with autograd's. torch's FlopCounterMode, halved, agrees where
nothing is grouped. It counts the weight gradient of a grouped convolution `groups` times.

{tiny}

{trained}
"""


def table(headers, rows, left=1):
    """Markdown; the first `left` columns are words."""
    rows = [[str(cell).replace("|", "\\|") for cell in row] for row in rows]
    rule = ["---"] * left + ["---:"] * (len(headers) - left)
    return "\n".join(f"| {' | '.join(row)} |" for row in (headers, rule, *rows))


def cell(known, rule):
    """2 macs + bias_adds"""
    parts = [(known.weight(rule, column), column) for column in COLUMNS]
    terms = [
        f"{weight} {column}" if abs(weight) > 1 else f"{'-' * (weight < 0)}{column}"
        for weight, column in parts
        if weight
    ]
    return " + ".join(terms).replace("+ -", "- ")


def overview():
    root = explorer.expand("resnet50").root
    rows = []
    for name, known in TABLES.items():
        amount = known.unit(count(convention(name), root))
        train = "" if known.train is None else f"{count(convention(f'{name}_train'), root):,}"
        if train == f"{amount.number:,}":
            train = "the same"
        rows.append([f"`{name}`", known.source, exact(amount), train])
    return table(["convention", "source", "ResNet-50, 3x224x224", "in training mode"], rows, left=2)


def weights():
    rows = [[f"`{name}`", *(cell(convention(name), rule) for rule in RULES)] for name in TABLES]
    return table(["", *(PLACES[rule] if "@" in rule else rule for rule in RULES)], rows, left=len(RULES) + 1)


def ms_sar():
    rows = [
        [f"`{network}`", figure, f"{counted_as('ms-sar', network):,}", f"{counted_as('macs', network):,}"]
        for network, figure in sorted(MS_SAR)
    ]
    return table(["network", "printed", "ms-sar", "macs"], rows)


def seqconv():
    rows = [
        [f"`{network}`", figure, f"{counted_as('seqconv', network) / 2**30:.4f}", f"{counted_as('seqconv', network):,}"]
        for network, figure in sorted(SEQCONV)
    ]
    return table(["network", "printed", "seqconv / 2^30", "seqconv"], rows)


def counted_as(name, network):
    return count(convention(name), explorer.expand(network).root)


def readings():
    rows = [[reading, f"{n} of {len(SEQCONV)}"] for reading, (_, n) in READINGS.items()]
    return table(["instead", "figures"], rows)


def tiny():
    rows = []
    for name in TINY:
        graph, run, _ = counted(name)
        passes = [run.made[key] for key in ("forward", "input_gradients", "weight_gradients")]
        theirs = torch_training_flops(graph) // 2
        rows.append([f"{name}: `{TINY[name][0]}`", *passes, sum(passes), training_macs(graph).total, theirs])
    passes = ["forward", "gradients of inputs", "of weights", "multiplications made"]
    return table(["tiny network", *passes, "explorer", "torch / 2"], rows)


def trained():
    rows = []
    for net in TRAINED:
        graph = explorer.expand(net)
        cost, theirs = training_macs(graph), torch_training_flops(graph) // 2
        shown = [decimal(Macs(n)) for n in (*cost, cost.total, theirs)]
        rows.append([f"`{net}`", *shown, f"{theirs / cost.total:.3f}"])
    return table(["network", "forward", "gradients of inputs", "of weights", "step", "torch / 2", "factor"], rows)


def page():
    named = {kind_of(rule) for known in TABLES.values() for rule in known.weights}
    uncounted = ", ".join(f"`{kind}`" for kind in PRIMITIVES if kind not in named)
    blocks = ", ".join(f"`{title}`" for title in sorted(ONE_RELU))
    counted_things = [f"* **`{name}`** ({t.unit.unit}): {t.counts}. {t.note}".rstrip() for name, t in TABLES.items()]
    used = {column for known in TABLES.values() for columns in known.weights.values() for column in columns}
    legend = [f"* `{column}`: {meaning}" for column, meaning in COLUMNS.items() if column in used]
    parts = [
        HEAD,
        f"## One network, every number\n\n{overview()}\n",
        "## What each counts\n\n" + "\n".join(counted_things) + "\n",
        f"## Weights\n\n{weights()}\n\n" + "\n".join(legend) + "\n",
        PLACES_TEXT.format(blocks=blocks, uncounted=uncounted),
        PAPERS_TEXT.format(ms_sar=ms_sar(), seqconv=seqconv(), readings=readings()),
        TRAINING_TEXT.format(tiny=tiny(), trained=trained()),
    ]
    return "\n".join(parts)


def test_the_page_is_what_the_tables_say():
    text = page()
    if os.environ.get("UPDATE_DOCS"):
        PAGE.write_text(text)
    assert PAGE.read_text() == text, "run UPDATE_DOCS=1 pytest tests/analysis/test_conventions_page.py"
