"""What a check can ask: what the papers print, what the ledger counts, and what the graph looks like."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache, partial
from importlib.resources import files
from typing import Any, NamedTuple

from explorer.analysis.audit.counting import macs_in
from explorer.analysis.audit.measure import cost
from explorer.analysis.audit.reported import Reported
from explorer.analysis.claims import structure
from explorer.analysis.claims.judge import WORDS, Figure
from explorer.analysis.cost import Cost, cost_of
from explorer.analysis.memory import INFER, TRAIN, memory
from explorer.grammar.expand import expand
from explorer.grammar.library import Library
from explorer.grammar.parser import parse_expression, parse_file

NETWORKS = "networks.arch"
LEDGER, PRINTED, NUMBERS = "ledger", "printed", "numbers"


def ledger(network: str, classes: int | None = None) -> Cost:
    """The cost of a network's text, which may name the constructions of `networks.arch`."""
    name = network.split("(")[0].split("+")[0].strip()
    return _own(network, classes) if name in _library().own else cost(network, classes)


@cache
def _own(network: str, classes: int | None) -> Cost:
    values = {} if classes is None else {"classes": classes}
    return cost_of(expand(parse_expression(network), _library(), values=values), network)


@cache
def _library() -> Library:
    text = files("explorer.analysis.claims").joinpath(NETWORKS).read_text(encoding="utf-8")
    return Library(parse_file(text, NETWORKS))


class Evidence(NamedTuple):
    """Printed rows and a way to count a network: what verdicts rest on."""

    rows: Sequence[Reported]
    cost: Callable[..., Cost]

    def names(self, paper: str, source: str) -> dict[str, Any]:
        """The functions of a check about one paper. `params` and `flops` are printed ones, or the ledger's."""
        figure = partial(self.figure, paper=paper)
        columns = {"params": _column("params", figure), "flops": _column("flops", figure)}
        return {
            **WORDS,
            **self._structure(),
            **(columns if source == PRINTED else {"params": self.params, "flops": self.macs}),
            **{f"printed_{name}": column for name, column in columns.items()},
            "macs": self.macs,
            "train_memory": partial(self.memory, mode=TRAIN),
            "infer_memory": partial(self.memory, mode=INFER),
            "printed": figure,
            "every": self.every,
            "networks": partial(self.networks, paper),
            "c10": _named("CIFAR10", partial(figure, "error", dataset="cifar10")),
            "c100": _named("CIFAR100", partial(figure, "error", dataset="cifar100")),
            "top1": _named("top-1", partial(figure, "top1_error")),
            "top5": _named("top-5", partial(figure, "top5_error")),
            "extra": lambda count, more, less, **where: Fraction(count(more, **where)) / count(less, **where) - 1,
            "drop": lambda before, after: 1 - after / before,
            "rounded": lambda value, step: round(value / Figure(step)) * Figure(step),
            "plain": lambda network: network.partition("+")[0],
            "narrowed": narrowed,
            **_in_numbers(),
        }

    def _structure(self) -> dict[str, Any]:
        def of(read: Callable[..., Any]) -> Callable[..., Any]:
            return lambda network, *args, **options: read(self.cost(network).graph.root, *args, **options)

        found = {read.__name__: of(read) for read in structure.READERS}
        return {**found, "depth": lambda network: self.cost(network).depth, "sliding_sets": structure.sliding_sets}

    def params(self, network: str, classes: int | None = None, table: Any = None) -> int:
        """Parameters by the ledger. `table` says where the printed ones stand."""
        return int(self.cost(network, classes).params)

    def memory(self, network: str, layers: str = "reference", batch: int = 64, mode: str = TRAIN) -> int:
        """Predicted peak bytes of a training step or an inference, in single precision on CUDA's allocator."""
        return memory(self.cost(network).graph, batch, mode, device="cuda", layers=layers).peak

    def macs(self, network: str, classes: int | None = None, without: str | None = None, table: Any = None) -> int:
        """MACs by the ledger; `without` leaves out what stands in blocks of one name."""
        found = self.cost(network, classes)
        return int(found.macs) - (macs_in(found.graph.root, without) if without else 0)

    def figure(
        self,
        metric: str,
        network: str,
        *,
        paper: str,
        table: Any = None,
        dataset: str | None = None,
        epochs: int | None = None,
    ) -> Figure:
        """The one figure that a paper prints. `epochs`: of the rows trained for 100 epochs, or of the others.

        Raises ValueError where there is none, or different ones.
        """
        found = {
            row.printed
            for row in self.rows
            if (row.paper, row.network, row.metric) == (paper, network, metric)
            and (table is None or row.table == str(table))
            and dataset in (None, row.dataset)
            and (epochs is None or (epochs == 100) == row.name_in_paper.endswith("(100 epochs)"))
        }
        if len(found) != 1:
            where = f"{paper}, table {table}, {network}, {dataset or ''} {metric}"
            raise ValueError(f"{where}: {', '.join(sorted(found)) or 'not printed'}")
        return Figure(found.pop())

    def networks(self, paper: str, table: Any, metric: str | None = None, having: str = "") -> list[str]:
        """The networks of a paper's table, in order: those with a metric, and with a modifier."""
        rows = [row for row in self.rows if (row.paper, row.table) == (paper, str(table))]
        return list(dict.fromkeys(r.network for r in rows if metric in (None, r.metric) and having in r.network))

    def every(self, metric: str) -> list[list[Any]]:
        """All printed values of a metric, in all papers: the network and the figure."""
        return [[row.network, Figure(row.printed)] for row in self.rows if row.metric == metric]


def _in_numbers() -> dict[str, Any]:
    """What small random layers do; needs numpy, so it is loaded late."""
    from explorer.analysis.claims import backward, singularities

    functions = (backward.exact_gradients, singularities.stay_collapsed, singularities.squared_gap)
    return {function.__name__: function for function in functions}


def _column(metric: str, figure: Callable[..., Figure]) -> Callable[..., Figure]:
    """A printed column; what only the ledger can leave out is in no printed figure."""
    return lambda network, table=None, dataset=None, without=None: figure(metric, network, table=table, dataset=dataset)


def _named(name: str, function: Callable[..., Figure]) -> Callable[..., Figure]:
    """A function that labels the cases of a statement about several columns."""

    def column(network: str, **where: Any) -> Figure:
        return function(network, **where)

    column.__name__ = name
    return column


def narrowed(network: str, times: int) -> str:
    """The network with MS-SAR's hidden width D' = D / (times L), to the nearest integer, in place of D / L."""
    scales = network.count(",") + 1
    return f"{network.removesuffix(')')}, width = max(1, floor(channels(it) / {times * scales} + 1/2)))"
