"""Random networks against an interpreter of what was drawn: blocks, folds, repetitions and taps written out flat.

Every drawn item is its text, a list of steps for the interpreter, and the channels it makes. A step is a tuple of
a kind and its arguments; steps that hold chains hold them flat, so that what directly follows a convolution is the
next step. "stop" stands where something begins that a convolution before it does not look into.
"""

import random
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from oracles.gunn import segments
from oracles.mssar import mssar

import explorer

from .support import agree, built
from .test_recalibration import gates

SIZE = (3, 4, 5)
IT = ("it", [])


class Author:
    """Draws networks whose channels are known."""

    def __init__(self, seed):
        self.draw = random.Random(seed)
        self.blocks = []  # name, channels in, channels out, steps
        self.definitions = []

    def network(self):
        lines, channels, steps = ["conv(1x1, 4)"], 4, [("conv", 1, 4, 1)]
        for i in range(self.draw.randint(1, 3)):
            text, more, channels = self.chain(channels, 3)
            lines.append(f"{self.draw.choice(['stage', f'part{i}'])}: {text}")
            steps += [*more, ("stop",)]
        head = f"network t {{ input {'x'.join(map(str, SIZE))}\n " + "\n ".join(lines) + "\n}"
        return "\n".join([*self.definitions, head]), steps

    def chain(self, channels, depth, out=None):
        """A chain on `channels`, to `out` if it is given: text, steps, channels it makes."""
        texts, steps = [], []
        for _ in range(self.draw.randint(1, 3)):
            text, more, channels = self.item(channels, depth)
            texts.append(text)
            steps += more
        if out not in (None, channels):
            texts.append(f"conv(1x1, {out})")
            steps.append(("conv", 1, out, 1))
            channels = out
        return ", ".join(texts), steps, channels

    def item(self, channels, depth):
        kinds = ["conv"] * 3 + ["pattern"] * 2 + ["norm", "mssar"]
        if depth:
            kinds += ["join", "fold", "fold", "update", "repeat", "call", "call", "loop", "streams"]
        return getattr(self, self.draw.choice(kinds))(channels, depth)

    def conv(self, channels, depth, width=None):
        kernel, width = self.draw.choice([1, 3, 3]), width or self.draw.choice([2, 3, 4, 4, 6])
        grouped = isinstance(width, int) and channels and channels % 2 == width % 2 == 0 and self.draw.random() < 0.2
        groups = 2 if grouped else 1
        text = f"conv({kernel}x{kernel}, {width}{', groups = 2' if grouped else ''})"
        return text, [("conv", kernel, width, groups)], width

    def norm(self, channels, depth):
        kind = self.draw.choice(["bn", "relu"])
        return kind, [(kind,)], channels

    def pattern(self, channels, depth, width=None):
        """A convolution and some of what usually follows."""
        text, steps, out = self.conv(channels, depth, width)
        after = self.draw.choice([["bn", "relu"], ["bn", "relu"], ["bn"], ["relu"], ["relu", "bn"], []])
        return ", ".join([text, *after]), steps + [(kind,) for kind in after], out

    def mssar(self, channels, depth):
        scales = self.draw.choice([[1], [2], [3, 1]])
        text = f"mssar({', '.join(map(str, scales))}, width = {channels + 1})"  # no equal widths to modify
        return text, [("mssar", scales)], channels

    def join(self, channels, depth):
        kind, out = self.draw.choice(["add", "mean", "concat"]), self.draw.choice([channels, 4])
        branches = [self.chain(channels, depth - 1, out) for _ in range(2)]
        if out == channels and self.draw.random() < 0.5:
            branches[self.draw.randint(0, 1)] = (*IT, channels)
        text = f"{kind} {{ {' | '.join(text for text, _, _ in branches)} }}"
        return text, [(kind, [steps for _, steps, _ in branches])], out * (2 if kind == "concat" else 1)

    def anywhere(self, out, depth):
        """A chain that reads any number of channels."""
        start, steps, channels = self.pattern(None, depth, self.draw.choice([2, 4, out]))
        text, more, _ = self.chain(channels, depth - 1, out)
        return f"{start}, {text}", steps + more

    def fold(self, channels, depth):
        kind = self.draw.choice(["grow", "aggregate", "windowed"])
        if kind == "grow":
            n, k = self.draw.randint(1, 3), self.draw.choice([2, 3])
            text, steps = self.anywhere(k, depth)
            return f"grow({n}) {{ {text} }}", [(kind, n, steps)], channels + n * k
        k = self.draw.choice([k for k in (1, 2, 3) if channels % k == 0 or kind == "aggregate"])
        width = k * self.draw.randint(1, 3)
        text, steps = self.anywhere(k, depth)
        return f"{kind}({width}, {k}) {{ {text} }}", [(kind, width, k, steps)], width

    def update(self, channels, depth):
        parts, reads = self.draw.randint(1, min(3, channels)), self.draw.choice(["current", "original"])
        text, steps, _ = self.pattern(None, depth, "out")
        if self.draw.random() < 0.7:
            text, steps = f"add {{ part | {text} }}", [("add", [[("part",)], steps])]
        return f"update({parts}, {reads}) {{ {text} }}", [("update", parts, reads, steps)], channels

    def repeat(self, channels, depth):
        n = self.draw.randint(0, 3)
        text, steps, _ = self.chain(channels, depth - 1, channels)
        return f"{{ {text} }} * {n}", [("stop",), *steps] * n, channels

    def loop(self, channels, depth):
        widths, kernel = [self.draw.choice([2, 4]) for _ in range(self.draw.randint(1, 3))], self.draw.choice([1, 3])
        after = self.draw.choice([[], ["bn"], ["bn", "relu"]])
        text = ", ".join([f"conv({kernel}x{kernel}, w)", *after])
        steps = [step for w in widths for step in [("stop",), ("conv", kernel, w, 1), *[(kind,) for kind in after]]]
        return f"for w in [{', '.join(map(str, widths))}] {{ {text} }}", steps, widths[-1]

    def call(self, channels, depth):
        """A block, new or used before, once or repeated."""
        known = [block for block in self.blocks if block[1] == channels]
        if known and self.draw.random() < 0.7:
            name, _, out, steps = self.draw.choice(known)
        else:
            text, steps, out = self.chain(channels, depth - 1, self.draw.choice([None, channels]))
            name = f"block{len(self.blocks)}"
            self.blocks.append((name, channels, out, steps))
            self.definitions.append(f"block {name} {{ {text} }}")
        n = self.draw.randint(1, 3) if out == channels else 1
        return name if n == 1 else f"{name} * {n}", [("stop",), *steps] * n, out

    def streams(self, channels, depth):
        """A tapped value that the next block adds to its own."""
        text, steps, out = self.chain(channels, depth - 1)
        start, after = f"begin{len(self.definitions)}", f"finish{len(self.definitions)}"
        self.definitions.append(f"block {start} {{ {text}, tap(raw), bn, relu }}")
        text, more, _ = self.chain(out, depth - 1, out)
        self.definitions.append(f"block {after} {{ {text}, add {{ it | entry.raw }} }}")
        return f"{start}, {after}", [("stop",), *steps, ("keep", [("bn",), ("relu",), *more])], out


class Interpreter:
    """Runs steps on a tensor with the weights of a module; `modifier` as (name, number) or None."""

    def __init__(self, weights, modifier):
        self.w = weights
        self.modifier = modifier
        self.changed = 0

    def run(self, x, steps, out=None, part=None):
        index = 0
        while index < len(steps):
            kind, *arguments = steps[index]
            index += 1
            if kind == "conv":
                x, taken = self.conv(x, arguments, steps[index:], out)
                index += taken
            elif kind == "keep":  # the rest of the block reads on; what was is added at its end
                x = self.run(x, arguments[0], out, part) + x
            elif kind == "part":
                x = part
            elif kind != "stop":
                x = getattr(self, kind)(x, *arguments, **({"given": (out, part)} if kind in JOINS else {}))
        return x

    def bn(self, x):
        return self.w.bn(x)

    def relu(self, x):
        return F.relu(x)

    def mssar(self, x, scales):
        return mssar(x, x, scales, gates(self.w, scales), training=self.w.training)

    def add(self, x, branches, given):
        first, second = (self.run(x, steps, *given) for steps in branches)
        return first + second

    def mean(self, x, branches, given):
        return self.add(x, branches, given) / 2

    def concat(self, x, branches, given):
        return torch.cat([self.run(x, steps, *given) for steps in branches], 1)

    def grow(self, x, n, steps):
        for _ in range(n):
            x = torch.cat([x, self.run(x, steps)], 1)
        return x

    def aggregate(self, x, width, k, steps):
        return self.groups(x, width // k, lambda view: self.run(view, steps, k), 0)

    def windowed(self, x, width, k, steps):
        return self.groups(x, width // k, lambda view: self.run(view, steps, k), k)

    def groups(self, view, number, make, dropped):
        outs = []
        for _ in range(number):
            outs.append(make(view))
            view = torch.cat([view, outs[-1]], 1)[:, dropped:]
        return torch.cat(outs, 1)

    def update(self, x, parts, reads, steps):
        return self.segments(x, parts, reads, lambda view, out, part: self.run(view, steps, out, part))

    def segments(self, x, parts, reads, make):
        cuts, state = segments(x.shape[1], parts), list(x.unbind(1))
        for start, stop in pairwise(cuts):
            view = torch.stack(state, 1) if reads == "current" else x
            state[start:stop] = make(view, stop - start, x[:, start:stop]).unbind(1)
        return torch.stack(state, 1)

    def conv(self, x, arguments, after, out):
        kernel, width, groups = arguments
        width = out if width == "out" else width
        name, number = self.modifier or (None, None)
        fits = groups == 1 and (
            kernel == 3 and width % number == 0 and (name == "seqconv" or x.shape[1] % number == 0)
            if name in ("seqconv", "wseqconv")
            else name and x.shape[1] == width >= number
        )
        if not fits:
            return self.w.conv(x, groups=groups), 0
        self.changed += 1
        share = following(after, ["bn", "relu"] if "seq" in name else ["bn"])

        def one(view):
            made = self.w.conv(view)
            for kind in share:
                made = getattr(self, kind)(made)
            return made

        if "seq" in name:
            return self.groups(x, width // number, one, number if name == "wseqconv" else 0), len(share)
        reads = "current" if name == "gunn" else "original"
        return self.segments(x, number, reads, lambda view, _, part: part + one(view)), len(share)


LOOSE = {"batch": 3, "alive": 0, "tolerance": 1e-7}  # batch norms of batch norms magnify rounding
JOINS = ("add", "mean", "concat")


def following(steps, kinds):
    """Which of the kinds, in this order, directly follow."""
    share = []
    for kind in kinds:
        if len(share) < len(steps) and steps[len(share)] == (kind,):
            share.append(kind)
    return share


MODIFIERS = {
    "": None,
    "wseqconv(k = 2)": ("wseqconv", 2),
    "seqconv(k = 2)": ("seqconv", 2),
    "gunn(parts = 2)": ("gunn", 2),
    "sunn(parts = 3)": ("sunn", 3),
}


@pytest.mark.parametrize("modifier", MODIFIERS)
@pytest.mark.parametrize("seed", range(12))
def test_random_network(seed, modifier):
    text, steps = Author(f"{modifier}{seed}").network()
    changed = []

    def reference(x, w):
        interpreter = Interpreter(w, MODIFIERS[modifier])
        out = interpreter.run(x, steps)
        changed.append(interpreter.changed)
        return out.flatten(1) if out.shape[2:] == (1, 1) else out

    try:
        module = built(text + (f"\nnetwork u = t + {modifier}" if modifier else ""))
    except explorer.ArchError as error:
        assert "changes nothing" in str(error)
        agree(built(text), lambda x, w: Interpreter(w, None).run(x, steps), SIZE, **LOOSE)
    else:
        agree(module, reference, SIZE, **LOOSE)
        assert not modifier or all(changed)
