"""The cost of anyone's module, by name and at hand: loading, the graph and its paths, bad input."""

import importlib.util
import json
import subprocess
import sys

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from explorer.analysis.foreign import foreign_cost, is_foreign, module_cost, remarks, trace_dict, trace_of
from explorer.analysis.ledger import row_of
from explorer.blocks.graph import flatten
from explorer.errors import UserError
from explorer.nn.tracing.load import foreign_module

NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.conv = nn.Conv2d(width, width, 3, padding=1)
        self.fc = nn.Linear(width, 10)
        self.aux = nn.Linear(width, 4)

    def forward(self, x):
        x = self.stem(x)
        x = torch.relu(self.conv(x)) + x + torch.relu(self.conv(x))
        return self.fc(x.mean((2, 3)))

def make():
    print("made")
    return Net()

def wide(width):
    return Net(width)

def broken():
    return nn.Linear("a", 2)

def nothing():
    pass

ready = Net()
number = 3
"""
MACS = 27 * 8 * 256 + 2 * 72 * 8 * 256 + 80
PARAMS = 27 * 8 + 16 + 72 * 8 + 8 + 90 + 36


@pytest.fixture
def net(tmp_path):
    (tmp_path / "net.py").write_text(NET)
    return tmp_path / "net.py"


def error_of(text, size=(3, 32, 32)):
    with pytest.raises(UserError) as caught:
        foreign_cost(text, size)
    return str(caught.value)


# --- names ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("net.py:make", True), ("a b/net.py", True), ("timm:resnet50", True), (" net.py:make + se", True),
        ("resnet50 + se", False), ("my.arch:net", False), ("seqresnet(k = 8)", False), ("py", False), ("", False),
        ("network n { input 3x8x8 }", False),
    ],
)  # fmt: skip
def test_what_is_foreign(text, expected):
    assert is_foreign(text) is expected


def test_asking_loads_no_torch():
    code = (
        "import sys; from explorer.analysis import foreign; foreign.is_foreign('timm:a'); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("name", ["make", "Net", "ready"])
def test_a_function_a_class_or_a_module(net, name):
    cost = foreign_cost(f"{net}:{name}", (3, 32, 32))
    assert (cost.macs, cost.params, cost.chain, cost.depth) == (MACS, PARAMS, 3, 3)
    assert cost.network == cost.canonical == f"{net}:{name}" and cost.input == (3, 32, 32)


def test_what_the_file_prints_does_not_reach_stdout(net, capsys):
    foreign_cost(f"{net}:make", (3, 32, 32))
    printed = capsys.readouterr()
    assert printed.out == "" and "made" in printed.err


def test_loading_leaves_nothing_behind(net, tmp_path):
    (tmp_path / "layers_of_mine.py").write_text("from torch import nn\nclass Block(nn.Conv2d): pass\n")
    net.write_text("from layers_of_mine import Block\ndef make(): return Block(3, 4, 1)\n")
    before = set(sys.modules), list(sys.path), sys.dont_write_bytecode, torch.get_rng_state()
    first = foreign_cost(f"{net}:make", (3, 8, 8))
    assert (set(sys.modules), list(sys.path), sys.dont_write_bytecode) == before[:3]
    assert torch.equal(torch.get_rng_state(), before[3])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["layers_of_mine.py", "net.py"]
    other = tmp_path / "other"
    other.mkdir()
    (other / "layers_of_mine.py").write_text(
        "from torch import nn\nclass Block(nn.Conv2d):\n  def forward(self, x): return x\n"
    )
    (other / "net.py").write_text(net.read_text())
    assert first.macs == 768 and foreign_cost(f"{other}/net.py:make", (3, 8, 8)).macs == 0


def test_imports_inside_a_forward_find_the_folder(net, tmp_path):
    (tmp_path / "late_of_mine.py").write_text("def twice(x): return x + x\n")
    body = "    import late_of_mine\n    return late_of_mine.twice(x)\n"
    net.write_text(f"from torch import nn\nclass Net(nn.Module):\n  def forward(self, x):\n{body}")
    assert set(foreign_cost(f"{net}:Net", (3, 8, 8)).ledger) == {"add"}


# --- bad input ---


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mke", "there is no 'mke' in '{net}'; did you mean 'make'?"),
        ("", "name a function that returns a torch module: {net}:FUNCTION; known: Net, broken, make, nothing, ready"),
        ("wide", "'wide' in '{net}' needs width: give defaults, or write a function without arguments"),
        ("broken", "broken() in '{net}' fails: "),
        ("nothing", "nothing() in '{net}' returns nothing, not a torch module"),
        ("number", "'number' in '{net}' is no function but an int"),
        ("make + se", "'make + se' is no name of a function; modifiers and arguments act on networks written in"),
    ],
)  # fmt: skip
def test_functions_that_are_none(net, name, message):
    assert error_of(f"{net}:{name}").startswith(message.format(net=net))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import no_such_thing", "ModuleNotFoundError: No module named 'no_such_thing' (net.py:1); imports are"),
        ("x = 1\ndef f(:", "SyntaxError: invalid syntax (net.py:2)"),
        ("x = 1\n1 / 0", "ZeroDivisionError: division by zero (net.py:2)"),
        ("import sys\nsys.exit()", "ends the program when it is imported; put that part under if __name__"),
    ],
)  # fmt: skip
def test_files_that_fail_to_import(net, text, message):
    net.write_text(text)
    before = set(sys.modules)
    assert message in error_of(f"{net}:make")
    assert set(sys.modules) == before


def test_missing_files_and_sizes(net):
    assert error_of(f"{net.parent}/nett.py:make") == f"there is no file '{net.parent}/nett.py'; did you mean 'net.py'?"
    assert error_of("/no/such/folder/net.py:make") == "there is no file '/no/such/folder/net.py'"
    with pytest.raises(UserError, match="does not say what it reads: give --input, such as --input 3x224x224"):
        foreign_cost(f"{net}:make")
    assert "RuntimeError" in error_of(f"{net}:make", (4, 32, 32)) and "--input" in error_of(f"{net}:make", (4, 32, 32))


def test_what_is_not_there_is_told_without_loading_torch(tmp_path):
    code = (
        "import sys, explorer\n"
        "try: explorer.cost('nowhere.py:make')\n"
        "except explorer.UserError as error: print(error, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout == "there is no file 'nowhere.py' False\n"


def test_without_timm(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    assert error_of("timm:resnet50") == "timm is not installed: pip install 'explorer[timm]'"


def test_a_timm_that_does_not_import(tmp_path, monkeypatch):
    (tmp_path / "timm.py").write_text("raise OSError('no library')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "timm", raising=False)
    assert error_of("timm:resnet50") == "timm cannot be imported: OSError: no library (timm.py:1)"


def test_timm():
    if importlib.util.find_spec("timm") is None:
        pytest.skip("timm is not installed")
    cost = foreign_cost("timm:resnet18")
    assert (cost.macs, cost.params, cost.depth, cost.input) == (1_814_073_344, 11_689_512, 18, (3, 224, 224))
    assert "did you mean 'resnet50'?" in error_of("timm:resnet5o")
    assert "modifiers and arguments" in error_of("timm:resnet50 + se")


# --- the graph ---


def test_the_tree_follows_the_modules(net):
    cost = foreign_cost(f"{net}:make", (3, 32, 32), batch=4)
    tree = cost.tree()
    assert [(child["name"], child["kind"]) for child in tree["children"]] == [
        ("stem", "Sequential"), ("conv", "conv"), ("relu1", "relu"), ("add1", "add"), ("conv#2", "conv"),
        ("relu2", "relu"), ("add2", "add"), ("gap", "gap"), ("fc", "linear"), ("unused", "unused"),
    ]  # fmt: skip
    assert [child["name"] for child in tree["children"][0]["children"]] == ["0", "1", "2"]
    assert [child["name"] for child in tree["children"][-1]["children"]] == ["aux.weight", "aux.bias"]
    for column, value in (("macs", 4 * MACS), ("params", PARAMS)):
        assert tree["columns"][column] == value == sum(child["columns"][column] for child in tree["children"])
    assert cost.macs == 4 * MACS and json.loads(json.dumps(cost.as_dict()))["tree"]["shape"] == [10, 1, 1]


def test_remarks_say_what_is_missing(net):
    lines = remarks(foreign_cost(f"{net}:make", (3, 32, 32)))
    assert lines[0].endswith("4 with multiply-adds, 9 without, for a stated reason, 0 unknown")
    assert lines[1:] == ["parameters that this pass does not read: aux.weight, aux.bias (36 elements)"]
    assert remarks(module_cost(nn.Conv2d(3, 4, 1), (3, 8, 8)))[1:] == []


def test_the_trace_as_json():
    class Fourier(nn.Module):
        def forward(self, x):
            return torch.fft.fft2(x).real

    cost = module_cost(Fourier(), (3, 8, 8))
    found = json.loads(json.dumps(trace_dict(cost)))
    assert found["unknown"] == {"aten._fft_c2c": 1} and found["unused"] == {} and found["notes"] == []
    assert sum(op["calls"] for op in found["operators"]) == sum(op.calls for op in trace_of(cost).operators)
    assert "not counted, no rule says what they compute: aten._fft_c2c x1" in remarks(cost)


def test_a_network_of_the_grammar_has_no_remarks():
    import explorer

    assert remarks(explorer.cost("resnet20")) == [] and trace_dict(explorer.cost("resnet20")) is None


def test_every_op_reads_what_was_made_before(net):
    cost = foreign_cost(f"{net}:make", (3, 32, 32))
    flat, inputs, outputs = flatten(cost.graph)
    known = set(inputs)
    for node in flat:
        assert set(node.inputs) <= known, node.path
        assert len(node.op.ins) in (0, len(node.inputs))
        known.add(node.output)
    assert set(outputs) <= known and len({node.path for node in flat}) == len(flat)
    assert sum(row_of(node.op).macs for node in flat) == cost.macs


def test_modules_without_operations():
    cost = module_cost(nn.Identity(), (3, 8, 8))
    assert (cost.macs, cost.params, cost.chain, cost.graph.root.out) == (0, 0, 0, (3, 8, 8))
    assert cost.tree()["children"] == []


def test_computed_weights_count_in_the_chain():
    class Hyper(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(8, 12), nn.Linear(12, 4 * 3)

        def forward(self, x):
            weight = self.b(self.a(x[0, 0, :1])).view(4, 3, 1, 1)
            return nn.functional.conv2d(x, weight)

    assert module_cost(Hyper(), (3, 8, 8)).chain == 3


def test_what_reads_no_image_begins_at_a_port_of_its_own():
    class LowRank(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Parameter(torch.ones(4, 2)), nn.Parameter(torch.ones(2, 3))

        def forward(self, x):
            return nn.functional.conv2d(x, (self.a @ self.b)[:, :, None, None])

    cost = module_cost(LowRank(), (3, 8, 8))
    assert [(entry.node.kind, entry.inputs) for entry in cost.graph.root.body] == [
        ("parameter", (1,)), ("parameter", (1,)), ("matmul", (2, 3)), ("conv", (0, 4)),
    ]  # fmt: skip
    assert cost.graph.root.ports == (0, 1) and module_cost(nn.ReLU(), (3, 8, 8)).graph.root.ports == (0,)
    assert (cost.macs, cost.params, cost.chain) == (24 + 12 * 64, 14, 1)


# --- the longest path, against a run in which every element carries its own depth ---


class Program(nn.Module):
    """A straight-line program over a list of maps of 4 channels; it also runs on numpy arrays of depths."""

    def __init__(self, steps):
        super().__init__()
        self.steps = steps
        self.convs = nn.ModuleList(nn.Conv2d(4, 4, 1) for _ in steps)

    def forward(self, x):
        return self.run(x, self.convs, torch.add, torch.relu_, lambda a, b: a.add_(b), torch.cat, torch.clone)

    def depths(self, x):
        deeper = [lambda a: numpy.full_like(a, a.max() + 1)] * len(self.steps)
        into = lambda a, b: numpy.maximum(a, b, out=a)  # noqa: E731
        return self.run(x, deeper, numpy.maximum, lambda a: a, into, numpy.concatenate, numpy.copy)

    def run(self, x, convs, add, relu_, add_, cat, copy):
        maps = [copy(x)]
        for (name, i, j), conv in zip(self.steps, convs, strict=True):
            a, b = maps[i % len(maps)], maps[j % len(maps)]
            if name == "conv":
                maps.append(conv(a))
            elif name == "add":
                maps.append(add(a, b))
            elif name == "add_" and a is not b:
                add_(a, b)
            elif name == "relu_":
                relu_(a)
            elif name == "halves":
                maps.append(cat((a[:, :2], b[:, 2:]), 1))
            elif name == "copy":
                maps.append(copy(a))
            elif name == "write":
                a[:] = conv(b)
            elif name == "part":
                a[:, :2] = conv(b)[:, 2:]
            elif name == "view":
                add_(a[:, 1:3], conv(b)[:, :2])
        return maps[-1]


WHOLE = ["conv", "conv", "add", "add_", "relu_", "halves", "copy", "write"]


def programs(names):
    step = st.tuples(st.sampled_from(names), st.integers(0, 9), st.integers(0, 9))
    return st.lists(step, min_size=1, max_size=12).map(Program)


def chain_and_depth(program):
    return module_cost(program, (4, 1, 1)).chain, int(program.depths(numpy.zeros((1, 4, 1, 1), int)).max())


@settings(max_examples=60, deadline=None)
@given(programs(WHOLE))
def test_chain_is_the_longest_path(program):
    chain, depth = chain_and_depth(program)
    assert chain == depth


@settings(max_examples=60, deadline=None)
@given(programs([*WHOLE, "part", "view"]))
def test_chain_is_never_shorter_where_parts_of_maps_are_written(program):
    chain, depth = chain_and_depth(program)
    assert chain >= depth


def test_a_buffer_filled_part_by_part():
    """As an implementation of SeqConv with one buffer: each group reads what is there so far."""

    class Buffered(nn.Module):
        def __init__(self):
            super().__init__()
            self.convs = nn.ModuleList(nn.Conv2d(4 + 2 * i, 2, 3, padding=1) for i in range(4))

        def forward(self, x):
            buffer = x.new_empty(1, 12, 8, 8)
            buffer[:, :4] = x
            for i, conv in enumerate(self.convs):
                buffer[:, 4 + 2 * i : 6 + 2 * i] = conv(buffer[:, : 4 + 2 * i])
            return buffer[:, 4:]

    assert module_cost(Buffered(), (4, 8, 8)).chain == 4


def test_foreign_module_gives_the_module(net):
    with foreign_module(f"{net}:ready") as module:
        assert type(module).__name__ == "Net" and module.training
