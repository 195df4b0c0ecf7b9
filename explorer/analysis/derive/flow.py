"""Which channels every layer reads: a graph run on channels instead of numbers, so that two graphs can be compared."""

from typing import Any, NamedTuple, Protocol

from explorer.blocks.graph import Graph, Op, flatten

LAYERS = ("conv", "linear")

Channel = Any
Channels = tuple[Channel, ...]


class Algebra(Protocol):
    """What channels are, and what layers and other ops make of them."""

    def layer(self, op: Op, read: Channels) -> Channels:
        """What a convolution or a linear layer makes."""

    def each(self, op: Op, channels: Channels) -> Channel:
        """What an op that works on each channel alone makes of one channel of each of its inputs."""


def run(graph: Graph, algebra: Algebra, image: Channels) -> Channels:
    """The channels of the main output. Raises ArithmeticError for an op that mixes channels in a way of its own."""
    flat, inputs, outputs = flatten(graph)
    values: dict[int, Channels] = {inputs[0]: image}
    for node in flat:
        made = _made(node.op, tuple(values[i] for i in node.inputs), algebra)
        if len(made) != node.op.out[0]:
            raise ArithmeticError(f"{node.op.kind} makes {node.op.out[0]} channels, not {len(made)}")
        values[node.output] = made
    return values[outputs[0]]


def _made(op: Op, given: tuple[Channels, ...], algebra: Algebra) -> Channels:
    first = given[0]
    if op.kind in LAYERS:
        return algebra.layer(op, first)
    if op.kind == "concat":
        return sum(given, ())
    if op.kind == "slice":
        return first[op.attrs["start"] : op.attrs["stop"]]
    if op.kind == "update":
        start, part = op.attrs["start"], given[1]
        return first[:start] + part + first[start + len(part) :]
    return tuple(algebra.each(op, channels) for channels in zip(*given, strict=True))


class Flow(NamedTuple):
    """What each layer reads, in the order of the layers, and what comes out."""

    reads: tuple[Channels, ...]
    outputs: Channels


class Names:
    """Channels as terms: equal terms are equal computations, given that the layers have equal weights."""

    def __init__(self, without: tuple[str, ...] = ()) -> None:
        self.without = without  # kinds that are looked through
        self.reads: list[Channels] = []

    def layer(self, op: Op, read: Channels) -> Channels:
        """The channels (layer, number)."""
        self.reads.append(read)
        return tuple((len(self.reads), number) for number in range(op.out[0]))

    def each(self, op: Op, channels: Channels) -> Channel:
        """The op's kind and its operands; a global mean is the mean over one region."""
        if op.kind in self.without:
            return channels[0]
        kind = "gap" if op.kind == "regional" and op.attrs["scale"] == 1 else op.kind
        return (kind, *channels)


def flow(graph: Graph, without: tuple[str, ...] = ()) -> Flow:
    """The channels that layers read and that come out; `without` names kinds that are looked through."""
    names = Names(without)
    outputs = run(graph, names, tuple(("input", number) for number in range(graph.input[0])))
    return Flow(tuple(names.reads), outputs)
