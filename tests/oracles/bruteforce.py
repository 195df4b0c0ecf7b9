"""Training cost by counting: every multiplication that a network of scalars makes, forward and backward.

A map is a list [C][H][W] of `Scalar`s, a vector a list of them. Each convolution and linear layer multiplies one pair
of numbers at a time in `Run.times`, which is where they are counted: by no formula. Backward is reverse-mode
differentiation of the very same steps, so that its result can be compared with torch's gradients.

Gradients are dense, as libraries compute them: a layer takes the gradient of its whole input (zero padding included) if
anything learned stands behind a part of it, and an output that nothing reads has the gradient zero.
"""

from collections import Counter


class Scalar:
    """A number, whether anything learned stands behind it, and its gradient once one has arrived."""

    def __init__(self, value, learned_behind):
        self.value, self.learned_behind, self.grad = value, learned_behind, None

    def receive(self, grad):
        self.grad = grad if self.grad is None else self.grad + grad


class Run:
    """One forward pass and, by `backward`, one backward pass. `weights`: nested lists, in the order of the layers."""

    def __init__(self, weights):
        self.weights = iter(weights)
        self.learned = []  # the weights as nested lists of Scalars, in order
        self.made = Counter()  # multiplications: forward, input_gradients, weight_gradients
        self.steps = []  # a layer each: pairs of an output scalar and what passes its gradient on

    def times(self, a, b, what):
        self.made[what] += 1
        return a * b

    def image(self, values):
        return each(lambda value: Scalar(value, False), values)

    def next_weights(self):
        """The next weights; what follows is a layer's arithmetic."""
        self.steps.append([])
        self.learned.append(each(lambda value: Scalar(value, True), next(self.weights)))
        return self.learned[-1]

    def dot(self, pairs, wanted, bias=None):
        """sum of w x: a multiplication for each pair forward, and for each of the gradients; x's only if wanted."""
        total = sum(self.times(w.value, x.value, "forward") for w, x in pairs)
        out = Scalar(total if bias is None else total + bias.value, True)

        def back(grad):
            for w, x in pairs:
                w.receive(self.times(x.value, grad, "weight_gradients"))
                if wanted:
                    x.receive(self.times(w.value, grad, "input_gradients"))
            if bias is not None:
                bias.receive(grad)

        self.steps[-1].append((out, back))
        return out

    def through(self, sources, value, back):
        """A step without weights of its own: `back` gives each source its gradient."""
        out = Scalar(value, any(s.learned_behind for s in sources))
        self.steps.append([(out, lambda grad: [s.receive(back(s, grad)) for s in sources if s.learned_behind])])
        return out

    def conv(self, x, stride=1, groups=1, pad=0):
        """Weights [out][in / groups][k][k], no bias."""
        weights = self.next_weights()
        size, share, kernel = len(x), len(weights[0]), len(weights[0][0])
        wanted = any(s.learned_behind for channel in x for row in channel for s in row)
        x = [padded(channel, pad) for channel in x]
        rows = range(0, len(x[0]) - kernel + 1, stride)
        columns = range(0, len(x[0][0]) - kernel + 1, stride)
        assert size == share * groups

        def position(o, i, j):
            first = o // (len(weights) // groups) * share
            return self.dot(
                [
                    (weights[o][c][a][b], x[first + c][i + a][j + b])
                    for c in range(share)
                    for a in range(kernel)
                    for b in range(kernel)
                ],
                wanted,
            )

        return [[[position(o, i, j) for j in columns] for i in rows] for o in range(len(weights))]

    def linear(self, x):
        """Weights [out][in] and a bias [out]."""
        weights, bias = self.next_weights(), self.next_weights()
        wanted = any(s.learned_behind for s in x)
        return [self.dot(list(zip(row, x, strict=True)), wanted, b) for row, b in zip(weights, bias, strict=True)]

    def norm(self, x, scale):
        """A batch norm in evaluation mode whose learned scale and shift are 1 and 0; its products are not counted."""

        def step(s):
            out = self.through([s], s.value * scale, lambda _, grad: grad * scale)
            out.learned_behind = True
            return out

        return each(step, x)

    def relu(self, x):
        return each(lambda s: self.through([s], max(s.value, 0.0), lambda s, grad: grad if s.value > 0 else 0.0), x)

    def add(self, a, b):
        return each(lambda s, t: self.through([s, t], s.value + t.value, lambda _, grad: grad), a, b)

    def gap(self, x):
        return [self.mean([s for row in channel for s in row]) for channel in x]

    def mean(self, scalars):
        n = len(scalars)
        return self.through(scalars, sum(s.value for s in scalars) / n, lambda _, grad: grad / n)

    def backward(self, outputs):
        """Gradients of the sum of the outputs. A layer that no gradient reaches passes none on."""
        for out in outputs:
            out.receive(1.0)
        for layer in reversed(self.steps):
            if any(out.grad is not None for out, _ in layer):
                for out, back in layer:
                    back(out.grad or 0.0)


def each(function, *nested):
    """A function of every scalar of equally nested lists."""
    if isinstance(nested[0], list):
        return [each(function, *parts) for parts in zip(*nested, strict=True)]
    return function(*nested)


def padded(channel, pad):
    """A channel with `pad` zeros on every side."""

    def zeros(n):
        return [Scalar(0.0, False) for _ in range(n)]

    rows = [[*zeros(pad), *row, *zeros(pad)] for row in channel]
    width = len(rows[0])
    return [*(zeros(width) for _ in range(pad)), *rows, *(zeros(width) for _ in range(pad))]
