"""Generated cases: syntax trees of any shape, and texts of networks that can exist."""

from fractions import Fraction

from hypothesis import strategies as st

from explorer.grammar import syntax as s
from explorer.grammar.lexer import KEYWORDS

names = st.from_regex(r"[A-Za-z_][A-Za-z_0-9]{0,8}", fullmatch=True).filter(lambda n: n not in KEYWORDS)
network_names = st.one_of(names, st.from_regex(r"[a-z][a-z0-9]{0,4}(-[a-z0-9]{1,4}){1,2}", fullmatch=True))
reasons = st.from_regex(r"[a-z ]{1,20}", fullmatch=True)
decimals = st.integers(0, 999).map(lambda n: Fraction(n, 1000)).filter(lambda f: f.denominator != 1)
numbers = st.one_of(st.integers(0, 10**6), decimals).map(s.Number)
sizes = st.lists(st.integers(0, 99), min_size=2, max_size=4).map(lambda v: s.Size(tuple(v)))
ATOMS = st.one_of(numbers, sizes, st.one_of(names, st.just("in")).map(s.Name))


def _arguments(expressions):
    plain = expressions.map(s.Arg)
    marked = st.builds(s.Arg, ATOMS, st.none(), st.sampled_from(["/", "*"]))
    positional = st.lists(st.one_of(plain, marked), max_size=3)
    named = st.dictionaries(names, expressions, max_size=2).map(lambda d: [s.Arg(v, n) for n, v in d.items()])
    return st.builds(lambda a, b: (*a, *b), positional, named)


def _larger(expressions):
    operators = st.sampled_from(["or", "and", "==", "!=", "<", "<=", ">", ">=", "+", "-", "*", "/", "//", "%"])
    return st.one_of(
        st.builds(s.Binary, operators, expressions, expressions),
        st.builds(s.Unary, st.sampled_from(["-", "not"]), expressions),
        st.builds(s.Function, names, _arguments(expressions)),
        st.lists(expressions, max_size=3).map(lambda v: s.List(tuple(v))),
        st.builds(s.Field, expressions, names),
        st.builds(s.Index, expressions, expressions),
    )


expressions = st.recursive(ATOMS, _larger, max_leaves=6)
arguments = _arguments(expressions)
bare_steps = st.builds(s.Step, names, arguments)
field_steps = st.builds(lambda n, f: s.Step(n, fields=tuple(f)), names, st.lists(names, min_size=1, max_size=2))
operands = st.one_of(numbers, names.map(s.Name))


def _chain(steps):
    labelled = st.builds(s.Section, names, st.lists(steps, min_size=1, max_size=2).map(tuple))
    loops = st.builds(
        lambda n, v, c: s.For(tuple(n), tuple(v), c),
        st.lists(names, min_size=1, max_size=2, unique=True),
        st.lists(expressions, min_size=1, max_size=2),
        st.lists(steps, max_size=2).map(tuple),
    )
    plain = st.lists(steps, max_size=3)
    rest = st.lists(st.one_of(labelled, loops), max_size=2)
    return st.builds(lambda a, b: (*a, *b), plain, rest)


def _larger_steps(steps):
    chains = _chain(steps)
    full = chains.filter(bool)
    branches = st.lists(full, min_size=1, max_size=3).map(tuple)
    times = st.one_of(operands, st.builds(s.Binary, st.just("-"), operands, operands))
    repeatable = steps.filter(lambda x: isinstance(x, s.Step | s.Group) and not isinstance(x, s.Repeat))
    return st.one_of(
        chains.map(s.Group),
        st.builds(s.Repeat, repeatable, times),
        st.builds(s.When, expressions, chains, st.one_of(st.none(), chains)),
        st.builds(lambda n, b: s.Step(n, branches=b), names, branches),
        st.builds(lambda n, a, b: s.Step(n, a, branches=b), names, arguments, branches),
        st.builds(lambda n, v, e, b: s.Step(n, each=(v, e), branches=b), names, names, expressions, branches),
    )


steps = st.recursive(st.one_of(bare_steps, field_steps), _larger_steps, max_leaves=5)
chains = _chain(steps)
parameters = st.lists(
    st.builds(s.Param, names, st.one_of(st.none(), expressions)), max_size=3, unique_by=lambda p: p.name
).map(tuple)
calls = st.builds(s.Call, network_names, arguments)
modifiers = st.builds(s.Modifier, st.builds(s.Call, names, arguments), st.one_of(st.none(), names))
network_expressions = st.builds(lambda c, m: s.Expression(c, tuple(m)), calls, st.lists(modifiers, max_size=2))
inputs = st.lists(st.integers(0, 300), min_size=2, max_size=3).map(lambda v: s.Input(tuple(v)))
network_bodies = st.builds(
    lambda i, c, e: (*i, *c, *e),
    st.lists(inputs, max_size=1),
    chains,
    st.lists(expressions.map(s.Expect), max_size=1),
)
rewrite_bodies = st.builds(
    lambda o, c: (*o, *c),
    st.lists(st.builds(s.Only, expressions, st.one_of(st.none(), reasons)), max_size=2),
    chains,
)
definitions = st.one_of(
    st.builds(s.Block, names, parameters, chains, st.booleans()),
    st.builds(s.Rewrite, names, parameters, st.lists(names, min_size=1, max_size=3).map(tuple), rewrite_bodies),
    st.builds(s.Network, network_names, parameters, network_bodies, st.none()),
    st.builds(s.Network, network_names, parameters, st.none(), network_expressions),
)


# --- networks that can exist ---


class _Walk:
    """Draws legal steps, keeping track of the shape."""

    def __init__(self, draw, channels, height, width):
        self.draw, self.channels, self.height, self.width = draw, channels, height, width

    def pick(self, *values):
        return self.draw(st.sampled_from(values))

    def step(self):
        options = [self.conv, self.norm, self.block, self.group_fold, self.update, self.dense, self.join]
        if min(self.height, self.width) >= 2:
            options += [self.pool, self.strided]
        if self.channels >= 2:
            options += [self.gate]
        return self.pick(*options)()

    def conv(self):
        kernel, groups = self.pick(1, 3, 5), self.pick(1, 1, 2)
        if self.channels % groups:
            groups = 1
        self.channels = self.pick(2, 4, 6, 8)
        bias = self.pick("", ", bias = yes")
        return f"conv({kernel}x{kernel}, {self.channels}, groups = {groups}{bias})"

    def _halve(self, stride=2):
        self.height, self.width = -(-self.height // stride), -(-self.width // stride)

    def strided(self):
        self.channels = self.pick(2, 4, 8)
        self._halve()
        return self.pick("conv(3x3, {0}, /2)", "basic({0}, 2)", "preact_basic({0}, /2)").format(self.channels)

    def norm(self):
        return self.pick("bn", "relu", "bn, relu", "sigmoid", "dropout(0.3)", "{ bn, relu } * 2")

    def pool(self):
        name = self.pick("maxpool", "avgpool")
        if self.draw(st.booleans()):
            self.height, self.width = self.height // 2, self.width // 2
            return f"{name}(2)"
        self._halve()
        return f"{name}(3x3, /2, pad = 1)"

    def block(self):
        option = "A" if self.channels <= 4 else "B"
        if option == "A":
            self.channels = self.pick(4, 6)
            return f"basic({self.channels}, 1, A)"
        self.channels = 4 * self.pick(1, 2)
        return f"bottleneck({self.channels // 4}, 1)"

    def group_fold(self):
        k = self.pick(*[k for k in (1, 2, 3, 4) if self.channels % k == 0])
        width = k * self.pick(1, 2, 3)
        fold = self.pick("aggregate", "windowed")
        self.channels = width
        return f"{fold}({width}, {k}) {{ {self.pick('group', 'group(yes)', 'conv(3x3, out), bn')} }}"

    def update(self):
        parts = self.draw(st.integers(1, min(self.channels, 4)))
        unit = self.pick("bottleneck_update(2)", "add { part | project | bottleneck_update(1, 2) }",
                         "add { part | conv(3x3, out), bn }")  # fmt: skip
        return f"update({parts}, {self.pick('current', 'original')}) {{ {unit} }}"

    def dense(self):
        layers, k = self.pick(1, 2, 3), self.pick(1, 2)
        self.channels += layers * k
        return f"grow({layers}) {{ {self.pick('dense_layer', 'plain_dense_layer')}({k}) }}"

    def gate(self):
        side = min(self.height, self.width)
        scales = sorted(self.draw(st.sets(st.integers(1, min(side, 5)), min_size=1, max_size=3)))
        pool = self.pick("", ", pool = sliding", ", pool = sliding, shape = diamond")
        mssar = f"mssar({', '.join(map(str, scales))}{pool})"
        return self.pick(mssar, mssar, "se(2)")

    def join(self):
        kind = self.pick("add", "mean", "concat", "multiply")
        shown = self.pick("conv(1x1, {0})", "conv(3x3, {0}), bn", "relu").format(self.channels)
        if kind == "concat":
            self.channels *= 2
        return f"{kind} {{ it | {shown} }}"


@st.composite
def networks(draw):
    """Text of a network that can be built, ending in a classifier."""
    channels, height, width = draw(st.integers(1, 4)), draw(st.integers(4, 9)), draw(st.integers(4, 9))
    walk = _Walk(draw, channels, height, width)
    steps = [walk.step() for _ in range(draw(st.integers(1, 5)))]
    labels = [f"  part{i}: {step}" for i, step in enumerate(steps)]
    return "\n".join(
        [
            "network generated {",
            f"  input {channels}x{height}x{width}",
            *labels,
            "  head: gap, linear(3)",
            "}",
        ]
    )
