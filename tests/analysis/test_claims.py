"""The claims: every one has a verdict, verdicts follow from evidence, and a change of any verdict is noticed."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from explorer.analysis.audit.reported import PAPERS, reported
from explorer.analysis.claims import VERDICTS, claims, counts
from explorer.analysis.claims import verdicts as module
from explorer.analysis.claims.evidence import Evidence, ledger
from explorer.analysis.claims.verdicts import DERIVED, check_of, checks, claim_rows, judged
from explorer.errors import UserError

KEPT = Path(__file__).with_name("claims_verdicts.csv")
COPIED = ("paper", "where", "kind", "claim", "values")
CHECKED = [row for row in claim_rows() if row["kind"] not in DERIVED]
AS_IS = Evidence(reported(), ledger)


def claim(paper, starts):
    (row,) = [row for row in CHECKED if row["paper"] == paper and row["claim"].startswith(starts)]
    return row


# --- every claim, once ---


def test_every_claim_has_one_check_and_every_check_a_claim():
    used = [id(check_of(row)) for row in CHECKED]
    assert sorted(used) == sorted(id(check) for paper in PAPERS for check in checks(paper))


@pytest.fixture
def derivations(monkeypatch):
    """Verdicts on formulas and identities without deriving them."""
    derived = [row for row in claim_rows() if row["kind"] in DERIVED]
    found = {(row["paper"], row["where"], row["claim"]): Derivation("fails", row["claim"][::-1]) for row in derived}
    monkeypatch.setattr(module, "derived_verdicts", lambda paper: found)
    return found


class Derivation(NamedTuple):
    verdict: str
    detail: str


def test_formulas_and_identities_get_what_was_derived(derivations):
    found = {(row.paper, row.where, row.claim): (row.verdict, row.detail) for row in claims() if row.kind in DERIVED}
    assert found == derivations
    gone = derivations.popitem()[0]
    with pytest.raises(ValueError, match="no derivation"):
        claims(gone[0])


def test_rows_are_copied_unchanged_and_verdicts_are_of_the_vocabulary(derivations):
    found = claims()
    assert [tuple(getattr(row, name) for name in COPIED) for row in found] == [
        tuple(row[name] for name in COPIED) for row in claim_rows()
    ]
    for row in found:
        assert row.verdict in VERDICTS and row.detail, row
        assert all(isinstance(value, str) for value in row.as_dict().values())
        assert row.expression or row.verdict == "not decidable by cost", row
    assert sum(counts(found).values()) == len(found)
    assert [row for row in found if row.paper == "gunn"] == claims("gunn")


def test_an_unknown_paper_is_refused():
    with pytest.raises(UserError, match="did you mean 'gunn'"):
        claims("gun")


def test_verdicts_are_those_reviewed():
    with KEPT.open(newline="") as file:
        kept = list(csv.reader(file))
    found = [[row["paper"], row["where"], row["claim"], judged(row, AS_IS).verdict] for row in CHECKED]
    assert found == kept


def test_what_fails_says_by_how_much_and_which_reading_would_hold():
    without_reading = {
        ("ms-sar", "ResNeXt-50: price over SE"),  # no hidden width gives it
    }
    for row in CHECKED:
        found = judged(row, AS_IS)
        if found.verdict == "fails" and (row["paper"], row["claim"].split(",")[0]) not in without_reading:
            assert check_of(row).beside, row
            assert " (holds" in found.detail, row
        if found.verdict == "not decidable by cost":
            assert "what would decide it: " in found.detail, row


# --- verdicts follow from evidence ---


def printed(changes):
    """Evidence in which other figures are printed: {(paper, table, network, dataset, metric): figure}."""

    def key(row):
        return row.paper, row.table, row.network, row.dataset, row.metric

    rows = tuple(row._replace(printed=changes.get(key(row), row.printed)) for row in reported())
    assert sum(old != new for old, new in zip(reported(), rows, strict=True)) >= len(changes)
    return AS_IS._replace(rows=rows)


def counted(**factors):
    """Evidence in which networks cost a multiple; _ stands for a hyphen."""
    times = {name.replace("_", "-"): factor for name, factor in factors.items()}

    def cost(network, classes=None):
        found, factor = ledger(network, classes), times.get(network, 1)
        return replace(found, params=int(found.params * factor), macs=int(found.macs * factor))

    return AS_IS._replace(cost=cost)


def built(**others):
    """Evidence in which a name means another network."""
    names = {name.replace("_", "-"): other for name, other in others.items()}
    return AS_IS._replace(cost=lambda network, classes=None: ledger(names.get(network, network), classes))


R20 = "resnet20+mssar(1,2,4)"
R32 = "resnet32+mssar(1,2,4)"
D100 = "densenet-bc-100-12+mssar(1,2,4)"
CHANGES = [
    ("ms-sar", "MS-SAR beats the baseline", "holds", "fails",
     printed({("ms-sar", "2", R20, "cifar10", "error"): "8.70"})),
    ("ms-sar", "relative drop of the CIFAR10 error", "holds", "fails",
     printed({("ms-sar", "2", R20, "cifar10", "error"): "7.75"})),
    ("ms-sar", "relative drop of the CIFAR100 error", "fails", "holds",
     printed({("ms-sar", "2", R32, "cifar100", "error"): "29.40"})),
    ("ms-sar", "ResNet-56 baseline errors", "fails", "holds",
     printed({("ms-sar", "3", "resnet56", "cifar100", "error"): "29.07"})),
    ("ms-sar", "DenseNet-100 with MS-SAR errors", "fails", "holds",
     printed({("ms-sar", "2", D100, "cifar10", "error"): "4.06"})),
    ("ms-sar", "FLOPs of ResNet-56 agree", "fails", "holds",
     printed({("ms-sar", "1", "resnet56", "cifar10", "flops"): "125.7M"})),
    ("ms-sar", "FLOPs of DenseNet-190 agree", "holds after rounding", "fails",
     printed({("ms-sar", "1", "densenet-bc-190-40", "cifar10", "flops"): "7.8G"})),
    ("ms-sar", "MS-SAR is applied to half", "holds after rounding", "fails",
     built(**{"resnet20+mssar(1,2,4)": "resnet32+mssar(1,2,4)"})),
    ("ms-sar", "dense-3 and dense-4", "fails", "holds",
     built(densenet_bc_100_12="densenet-as-printed(100, 12)", densenet_bc_190_40="densenet-as-printed(190, 40)")),
    ("ms-sar", "extra FLOPs of the ResNets", "fails", "holds after rounding",
     built(**{f"resnet{n}+mssar(1,2,4)": f"resnet{n}+mssar(1,2,4, ratio = 6)" for n in (20, 32, 56)})),
    ("seqconv", "SeqResNet-B42 against the larger", "holds after rounding", "fails", counted(seqresnet_b42=1.1)),
    ("seqconv", "SeqResNeXt-24 has lower FLOPs", "holds", "fails", counted(seqresnext24=2)),
    ("seqconv", "S1 beats S2", "holds", "fails",
     printed({("seqconv", "5", "seqresnet-s4", "cifar10", "error"): "4.5"})),
    ("seqconv", "parameters and FLOPs agree", "holds", "fails",
     printed({("seqconv", "2", "seqresnet-b22", "imagenet", "params"): "11.9M"})),
    ("seqconv", "equal number of residual blocks", "fails", "holds",
     built(seqresnet_s2="seqresnet-s1", seqresnet_s4="seqresnet-s3")),
    ("seqconv", "groups of the downsizing", "holds", "fails", built(seqresnet_b42="seqresnext24")),
    ("seqconv", "two layers per residual block", "holds", "fails", built(seqresnet_b22="resnet50")),
    ("seqconv", "SeqResNeXt-24 has the best", "not decidable by cost", "fails",
     printed({("ms-sar", "5", "resnext50-32x4d+se", "imagenet", "top1_error"): "21.00"})),
    ("gunn", "GUNN-15 {N,P,K,M}", "holds", "fails", built(gunn15="gunn24")),
    ("gunn", "GUNN-15 {N,P,K,M}", "holds", "fails",
     printed({("gunn", "text 5.2", "gunn15", "cifar10", "params"): "1585747"})),
    ("gunn", "GUNN-15 and GUNN-24 have 15", "holds", "fails",
     printed({("gunn", "3", "gunn24", "cifar10", "layers"): "25", ("gunn", "5", "gunn24", "cifar10", "layers"): "25"})),
    ("gunn", "converting to GUNN", "holds", "fails", counted(sunn18=1.1)),
    ("gunn", "GUNN-15 beats every method", "holds", "fails",
     printed({("gunn", "3", "resnet1202-sd", "cifar100", "error"): "20.0"})),
    ("gunn", "printed parameters of GUNN-24", "fails", "holds",
     printed({("gunn", table, "gunn24", "cifar10", "params"): "29534106" for table in ("3", "5")})),
    ("gunn", "networks before conversion", "holds after rounding", "fails", built(sunn24="resnet56")),
]  # fmt: skip


@pytest.mark.parametrize(("paper", "starts", "before", "after", "evidence"), CHANGES)
def test_verdicts_react_to_the_evidence(paper, starts, before, after, evidence):
    row = claim(paper, starts)
    assert judged(row, AS_IS).verdict == before
    assert judged(row, evidence).verdict == after


def test_a_missing_figure_is_not_passed_over():
    rows = tuple(row for row in reported() if row.network != "seqresnet-s4")
    with pytest.raises(ValueError, match=r"seqresnet-s4.*not printed"):
        judged(claim("seqconv", "S1 beats S2"), AS_IS._replace(rows=rows))
