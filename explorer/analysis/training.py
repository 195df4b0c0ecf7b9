"""What a training step costs: multiply-adds of the forward pass and of both gradients, from the graph alone.

y = w x appears three times in training: the forward pass, the gradient with respect to x (w dy) and the one with
respect to w (x dy). Each takes one multiply-add for every pair of a weight and an output element that it reaches, so
each costs what the forward pass costs, whatever the stride and the number of groups. Padding counts as part of the
map in all three, as it does in the forward pass. What is left out: the loss, the optimiser, and all ops but
convolutions and linear layers.
"""

from typing import NamedTuple

from explorer.analysis.ledger import row_of
from explorer.blocks.graph import Flat, Graph, flatten
from explorer.blocks.quantity import Quantity

LEARNED = frozenset(("conv", "linear", "bn"))  # ops with parameters


class TrainingCost(NamedTuple):
    """Multiply-adds of convolutions and linear layers in one training step of one image."""

    forward: Quantity
    input_gradients: Quantity
    weight_gradients: Quantity

    @property
    def backward(self) -> Quantity:
        """Both gradients."""
        return self.input_gradients + self.weight_gradients

    @property
    def total(self) -> Quantity:
        """Forward and backward."""
        return self.forward + self.backward


def training_macs(graph: Graph) -> TrainingCost:
    """The cost of a step in which every parameter learns from the main output and from auxiliary heads.

    A gradient with respect to a layer's input is taken if something before that input learns; so never for what
    reads only the image. What reaches no loss has no gradients.
    """
    flat, _, outputs = flatten(graph)
    sources = [outputs[graph.root.outputs.index(head.source)] for head in graph.auxiliaries]
    learned: set[int] = set()
    costs = [_cost(flat, learned, {outputs[0], *sources})]
    for head, source in zip(graph.auxiliaries, sources, strict=True):
        inner, ports, ends = flatten(graph._replace(root=head.scope))
        costs.append(_cost(inner, set(ports) if source in learned else set(), {ends[0]}))
    return TrainingCost(*(sum(column) for column in zip(*costs, strict=True)))


def _cost(flat: list[Flat], learned: set[int], ends: set[int]) -> TrainingCost:
    """`learned`: values that depend on a parameter, to be completed; `ends`: those that have a loss."""
    for node in flat:
        if node.op.kind in LEARNED or not learned.isdisjoint(node.inputs):
            learned.add(node.output)
    reached = _reaching(flat, ends)
    forward = inputs = weights = 0
    for node in flat:
        macs = row_of(node.op).macs
        forward = forward + macs
        if node.output in reached:
            weights = weights + macs
            if node.inputs[0] in learned:
                inputs = inputs + macs
    return TrainingCost(forward, inputs, weights)


def _reaching(flat: list[Flat], ends: set[int]) -> set[int]:
    """Values that some end depends on, the ends included."""
    found = set(ends)
    for node in reversed(flat):
        if node.output in found:
            found.update(node.inputs)
    return found


def torch_training_flops(graph: Graph) -> int:
    """What torch's FlopCounterMode counts of the same step on the built module, in FLOPs.

    Up to torch 2.13 it counts the weight gradient of a grouped convolution `groups` times.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from explorer.nn.module import NetworkModule

    with torch.device("meta"):
        module = NetworkModule(graph)
        image = torch.empty(2, *graph.input)
    counter = FlopCounterMode(display=False)
    with counter:
        main, heads = module.with_auxiliaries(image)
        loss = sum((head.sum() for _, head in heads), main.sum())
        if loss.requires_grad:
            loss.backward()  # type: ignore[no-untyped-call]
    return int(counter.get_total_flops()) // 2
