"""Texts with random edits: whatever they mean now, the answer is a cost or one message with a place."""

import random
import re

import pytest

import explorer
from explorer.grammar.library import SHIPPED

FILES = [path.read_text() for folder in SHIPPED for path in sorted(folder.glob("*.arch"))]
DEFINITIONS = [d for text in FILES for d in re.split(r"(?m)^(?=network |block |unit |rewrite )", text) if d[:1] != "#"]
EXPRESSIONS = [
    "resnet20 + se(ratio=4)",
    "seqresnet(k=8, r=4, N=1, bottleneck=yes, rate=0.1)",
    "gunn15 + mssar(1,2)",
    "cifar_resnet(n = 1, widths = [8,16,32], option = A) + wseqconv(k=8)",
]
WORDS = [
    "it", "entry", "part", "in", "out", "main", "yes", "0", "-1", "2.5", "0.0", "999999999999999999", "[1,2]",
    "[]", "regional", "{", "}", "(", ")", "|", ",", "\n", "/", "*", "//", "==", "not", "when", "for", "3x3",
    "tap(raw)", "slot(x)", "update(2)", "grow", "followers", "é", "\t", "#", '"', "range(5)", "max",
    "channels", "*it", "/it", "input 3x8x8", "expect 1", "only 1 == 1", "relu", "conv", "upsample", "add",
    ".", "=", ":", "entry.raw", "gap",
]  # fmt: skip
USES = {"block": "x: {}(8)", "unit": "aggregate(8, 4) {{ {}(1) }}"}


def mutated(draw, text):
    tokens = re.findall(r"[A-Za-z_][\w-]*|\d+|\s+|.", text)
    for _ in range(draw.choice([1, 1, 2, 3])):
        place = draw.randrange(len(tokens))
        tokens[place] = draw.choice([draw.choice(WORDS), "", f" {draw.choice(WORDS)} ", draw.choice(tokens)])
    return "".join(tokens)


def candidate(draw):
    if draw.random() < 0.4:
        return mutated(draw, draw.choice(EXPRESSIONS))
    definition = draw.choice(DEFINITIONS)
    kind, name = re.match(r"(\w+) ([\w-]+)", definition).groups()
    text = mutated(draw, re.sub(r"(?m)^#.*\n", "", definition))
    if kind == "rewrite":
        return f"{text}\nnetwork used = resnet20 + {name}({draw.choice(['k = 8', 'parts = 4'])})"
    use = USES.get(kind)
    return f"{text}\nnetwork used {{ input 8x8x8\n {use.format(name)} }}" if use else text


def check(seed, number):
    draw = random.Random(seed)
    refused = 0
    for _ in range(number):
        text = candidate(draw)
        try:
            assert explorer.cost(text).params >= 0
        except explorer.UserError as error:
            refused += 1
            message = str(error)
            assert len(message) < 2000
            assert not text.strip() or re.match(r"\S+:\d+:\d+: ", message), (text, message)
    assert number // 10 < refused < number


def test_mutated_texts():
    check(1, 1500)


@pytest.mark.slow
def test_many_mutated_texts():
    check(2, 100_000)
