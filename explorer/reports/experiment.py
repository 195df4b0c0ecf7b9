"""An experiment of the papers: what was measured here beside what the paper prints, which is never mixed with it."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from explorer.errors import UserError
from explorer.reports.study import Row, Study
from explorer.sweep.files import SweepFile, experiments


@dataclass(frozen=True)
class Beside:
    """A network of an experiment: its name in the paper, printed errors in percent by data set, and our row."""

    name: str
    network: str
    printed: dict[str, str]  # by data set; with the printed deviation, if there is one
    row: Row  # of those under several recipes each has a line


@dataclass(frozen=True)
class Experiment:
    """An experiment, its networks, and what the paper claims of them."""

    file: SweepFile
    lines: tuple[Beside, ...]
    claims: tuple[tuple[str, str], ...]  # section and claim

    @property
    def datasets(self) -> list[str]:
        """The data sets that errors are printed for."""
        return list(dict.fromkeys(dataset for line in self.lines for dataset in line.printed))

    def printed_difference(self, row: Row, reference: Row | None, dataset: str) -> float | None:
        """The printed error of a network less that of another, a fraction; None where one of them is not printed."""
        found: dict[str, str] = {}
        for line in reversed(self.lines):
            if dataset in line.printed:
                found[line.row.network.digest] = line.printed[dataset].split()[0]
        digests = [one.network.digest for one in (row, reference) if one is not None]
        if len(digests) < 2 or not found.keys() >= set(digests):
            return None
        ours, other = (float(found[digest]) / 100 for digest in digests)
        return ours - other


def experiments_of(study: Study) -> list[Experiment]:
    """The experiments that a study's runs belong to."""
    names = dict.fromkeys(str(run.config["experiment"]) for run in study.runs if run.config.get("experiment"))
    return [experiment_of(name, study) for name in names if name in experiments()]


def experiment_of(name: str, study: Study) -> Experiment:
    """The experiment of that name, with what a study holds of it."""
    file = experiments()[name]
    lines = [
        Beside(name, network, printed, row)
        for (name, network), printed in printed_errors(file).items()
        for row in rows_of(network, study)
    ]
    ours = {line.row.network.digest for line in lines}
    asked = {_digest(text, study) for text in file_texts(file)} - ours
    lines += [Beside("", row.text, {}, row) for row in study.rows if row.network.digest in asked]
    return Experiment(file, tuple(lines), claims_of(file))


def rows_of(text: str, study: Study) -> list[Row]:
    """The rows of a network, one for each recipe, however its text is written."""
    digest = _digest(text, study)
    return [row for row in study.rows if row.network.digest == digest]


def file_texts(file: SweepFile) -> list[str]:
    """Every network of an experiment as text."""
    from explorer.sweep.candidates import scale_candidates

    return [candidate.text for candidate in scale_candidates(file.selection.texts, file.selection.scales)]


def _digest(text: str, study: Study) -> str | None:
    """The digest of a network on the study's images; None where it does not fit them."""
    channels, height, width = study.data.shape
    return _digest_of(text, (channels, height, width), study.data.classes)


@cache
def _digest_of(text: str, shape: tuple[int, int, int], classes: int) -> str | None:
    from explorer.api import expand

    try:
        return expand(text, input=shape, classes=classes).digest
    except UserError:
        return None


def printed_errors(file: SweepFile) -> dict[tuple[str, str], dict[str, str]]:
    """By name in the paper and network: printed errors by data set, of the tables that an experiment names."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for row in _csv("reported.csv"):
        if f"{row['paper']} {row['table']}" not in file.reported or row["metric"] not in ("error", "error_std"):
            continue
        own = found.setdefault((row["name_in_paper"], row["network"]), {})
        spread = row["metric"] == "error_std"
        own[row["dataset"]] = f"{own[row['dataset']]} ± {row['printed']}" if spread else row["printed"]
    return found


def claims_of(file: SweepFile) -> tuple[tuple[str, str], ...]:
    """Section, claim and values of the rows of claims.csv that an experiment is about."""
    paper = file.name.partition("/")[0]
    rows: Sequence[dict[str, str]] = [row for row in _csv("claims.csv") if row["paper"] == paper]
    chosen = [row for begin in file.claims for row in rows if row["claim"].startswith(begin)]
    return tuple(
        (_place(row["where"]), row["claim"] + (f" ({row['values']})" if row["values"] else "")) for row in chosen
    )


def _place(where: str) -> str:
    """A place in a paper, in words: 4.2 is a section, table 5 says itself what it is."""
    return f"section {where}" if where[0].isdigit() else where


@cache
def _csv(name: str) -> tuple[dict[str, str], ...]:
    text = files("explorer.catalog").joinpath(name).read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines()))
