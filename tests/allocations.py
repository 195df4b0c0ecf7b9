"""What torch really allocates and keeps on the CPU: oracles for predicted memory. They know nothing of our graphs.

A dispatch mode would disturb what it counts: under any mode the engine no longer adds gradients in place (torch's
isTensorSubclassLike). So the allocator's own events are read, as the profiler records them.
"""

import weakref
from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch.profiler import ProfilerActivity, profile

CONVOLUTIONS = ("aten::mkldnn_convolution", "aten::convolution_backward")  # oneDNN's: they reorder maps and weights


TENSOR, WORKSPACE, COPY = range(3)


class Allocation(NamedTuple):
    """An event of the allocator: a block comes (size > 0) or goes.

    WORKSPACE: a convolution took it for itself; COPY: it is a convolution's copy of its result, which it then gives up.
    """

    time: int
    block: int
    size: int
    kind: int


class Peak(NamedTuple):
    """Bytes at the worst time, beside what was there before: of tensors, and with the convolutions' workspace."""

    tensors: int
    with_workspace: int


def allocations(step, module):
    """The allocator's events while a step of a module runs, in order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2 if any(map(_grouped_points, module.modules())) else 1)
    try:
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
            step()
    finally:
        torch.set_num_threads(threads)
    roots = recorded.profiler.kineto_results.experimental_event_tree()
    return sorted(_walk(roots, kernel=False, copying=False), key=lambda event: event.time)


def _grouped_points(layer):
    """With a single thread torch runs grouped 1x1 convolutions group by group, and concatenates."""
    return isinstance(layer, torch.nn.Conv2d) and layer.kernel_size == (1, 1) and layer.groups > 1


def _walk(events, kernel, copying) -> Iterator[Allocation]:
    """`kernel`: the events are right below a convolution's; `copying`: they belong to a copy of its result.

    A convolution's tensors are made by aten::empty. Copies it makes before are of operands that are not contiguous;
    copies it makes later are of its results.
    """
    works = False
    for event in sorted(events, key=lambda e: e.start_time_ns):
        if event.name == "[memory]":
            what = event.extra_fields
            kind = COPY if copying else WORKSPACE if kernel else TENSOR
            yield Allocation(event.start_time_ns, what.ptr, what.alloc_size, kind)
            continue
        below = copying or (kernel and works and event.name == "aten::contiguous")
        yield from _walk(event.children, event.name in CONVOLUTIONS, below)
        works = works or event.name == "aten::empty"


def peak_of(step, module) -> Peak:
    """The most that is allocated at any time of a step. Blocks that were there before do not count."""
    blocks, copies = {}, {}  # kinds; the sizes of copies
    live = tensors = high = high_tensors = 0
    for _, block, size, kind in allocations(step, module):
        if size > 0:
            blocks[block] = kind
            if kind == COPY:
                copies[block] = size
        elif block in blocks:
            kind = blocks.pop(block)
            copies.pop(block, None)
            heirs = [copy for copy, its in copies.items() if its == -size]
            if kind == TENSOR and heirs:  # the copy takes its place
                blocks[heirs[0]] = TENSOR
                tensors += copies.pop(heirs[0])
        else:
            continue
        live += size
        tensors += size if kind == TENSOR else 0
        high, high_tensors = max(high, live), max(high_tensors, tensors)
    return Peak(high_tensors, high)


class _Packed:
    def __init__(self, tensor):
        self.tensor = tensor


def saved_bytes(module, image):
    """Bytes of the storages that a forward pass in training leaves saved for the backward pass.

    Each counts once; those of parameters, buffers and the image do not. On any device, meta too.
    """
    known = {_storage(t) for t in [*module.parameters(), *module.buffers(), image]}
    packed = weakref.WeakSet()

    def pack(tensor):
        held = _Packed(tensor.detach())  # an output as it is would keep the call that saved it, and itself
        packed.add(held)  # it lives as long as that call
        return held

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda held: held.tensor):
        results = forward(module, image)  # noqa: F841  (the graph hangs on them)
    sizes = {_storage(p.tensor): p.tensor.untyped_storage().nbytes() for p in packed}
    return sum(size for storage, size in sizes.items() if storage not in known)


def _storage(tensor):
    return tensor.untyped_storage()._cdata


def forward(module, image):
    """[weight of a loss, output] of the main output and of auxiliary heads."""
    if not module.auxiliaries:
        return [(1.0, module(image))]
    main, heads = module.with_auxiliaries(image)
    return [(1.0, main), *heads]


class Step:
    """A training step: gradients cleared, forward pass, cross-entropy, backward pass, SGD with momentum.

    Two have been made, so that momentum is there and gradients are cleared.
    """

    def __init__(self, module, image):
        self.module, self.image = module.train(), image
        self.optimiser = torch.optim.SGD(module.parameters(), lr=1e-3, momentum=0.9)
        output = module(image)
        self.labels = torch.zeros(len(image), *output.shape[2:], dtype=torch.int64, device=image.device)
        del output
        self()
        self.optimiser.zero_grad()

    def __call__(self):
        self.optimiser.zero_grad()
        losses = [weight * F.cross_entropy(y, self.labels) for weight, y in forward(self.module, self.image)]
        sum(losses).backward()
        self.optimiser.step()

    def constant(self):
        """Bytes that are there all the time."""
        state = [slot["momentum_buffer"] for slot in self.optimiser.state.values()]
        return bytes_of([*self.module.parameters(), *self.module.buffers(), *state, self.image, self.labels])


def bytes_of(tensors):
    """Bytes of the tensors' storages."""
    return sum(tensor.untyped_storage().nbytes() for tensor in tensors)
