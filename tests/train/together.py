"""What torch's launcher starts in the tests: the same training in each process. Not tests."""

import sys
from dataclasses import replace
from pathlib import Path

from stripes import striped

from explorer.train.budget import parse_budget
from explorer.train.execution import Execution
from explorer.train.launcher import rank, size
from explorer.train.loop import Host, train
from explorer.train.recipes import RECIPES

NETWORK = """network smooth(classes = 2) {
  input 3x8x8
  conv(3x3, 8), relu, auxiliary(0.3) { gap, linear(classes) }
  conv(3x3, 8), relu, gap, linear(classes)
}
"""


def main(folder, budget):
    """Two epochs and a bit; 70 images leave a last batch of 6, of which each of two processes gets 3."""
    net = folder / "smooth.arch"
    recipe = replace(RECIPES["nesterov"], batch=16)
    host = Host(weights=folder / f"weights{rank()}.safetensors")
    return train(
        str(net), striped(train=70, size=8), parse_budget(budget), recipe, 0, Execution(processes=size()), host
    )


if __name__ == "__main__":
    outcome = main(Path(sys.argv[1]), sys.argv[2])
    Path(sys.argv[1], f"outcome{rank()}").write_text(repr([epoch.train_loss for epoch in outcome.history]))
