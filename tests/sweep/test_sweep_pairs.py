"""What the papers' claims say of pairs of networks: the entries of the catalog, and mistakes in them."""

import csv
import re
from importlib.resources import files

import pytest

from explorer.errors import ArchError
from explorer.sweep.files import Claimed, experiments, read

SWEEP = """networks = ["resnet20", "resnet32"]
scales = [1, 2]
claims = ["one is better", "two is worse"]

[pairs]
"one is better" = [["resnet20+mssar(1)", "resnet20"], ["resnet32 + mssar( 1,2 )", "resnet32", "train_error"]]
"""


def test_pairs_are_read_with_the_experiments_own_texts():
    assert read(SWEEP, "x.toml", "x/y").pairs == (
        Claimed("one is better", "resnet20 + mssar(1)", "resnet20"),
        Claimed("one is better", "resnet32 + mssar(1,2)", "resnet32", "train_error"),
    )


WRONG = {
    '"one is better" =': ('"one is wrose" =', "6:2: 'one is wrose' is none of the claims; did you mean"),
    '"resnet20"], [': ('"resnet56"], [', "6:2: the experiment has no network 'resnet56'; did you mean 'resnet"),
    '"train_error"': ('"loss"', "6:2: a claim has a list of pairs, [lower, higher], and where it is not of the test"),
    '["resnet20+mssar(1)", "resnet20"], ': ('["resnet20"], ', "6:2: a claim has a list of pairs"),
    '[["resnet20+mssar(1)", "resnet20"], [': ('["resnet20", [', "6:2: a claim has a list of pairs"),
    "\n[pairs]\n": ("pairs = 1\n", "4:1: pairs is a table: [pairs]"),
}


@pytest.mark.parametrize("part", WRONG)
def test_a_mistake_is_told_with_its_place(part):
    good, (bad, message) = SWEEP, WRONG[part]
    assert part in good
    text = good.replace(part, bad)
    if bad == "pairs = 1\n":
        text = text[: text.index(bad) + len(bad)]
    with pytest.raises(ArchError, match=re.escape(message)):
        read(text, "x.toml", "x/y")


def test_a_users_own_file_has_no_pairs():
    own = SWEEP.replace('claims = ["one is better", "two is worse"]\n', "")
    with pytest.raises(ArchError, match="pairs is for the papers' experiments"):
        read(own, "x.toml")


def printed():
    """Printed test errors by paper and table, data set, and network without spaces."""
    found = {}
    table = files("explorer.catalog").joinpath("reported.csv").read_text()
    for row in csv.DictReader(table.splitlines()):
        if row["metric"] == "error":
            key = (f"{row['paper']} {row['table']}", row["dataset"], re.sub(r"\s", "", row["network"]))
            found.setdefault(key, float(row["printed"]))
    return found


# pairs whose claim the paper's own table contradicts: it is about these that the claim can fail as it stands
CONTRADICTED = {
    ("cifar100", "resnet56+mssar(2,4)", "resnet56+mssar(2)"),
    ("cifar100", "resnet56+mssar(2,4)", "resnet56+mssar(4)"),
    ("cifar100", "densenet-bc-100-12+mssar(1,2)", "densenet-bc-100-12+mssar(2)"),
}


def test_pairs_say_what_the_papers_print():
    """The first of each pair has the lower printed error, wherever both are printed; exceptions are the paper's own."""
    errors, against, checked = printed(), set(), 0
    for file in experiments().values():
        for claimed in file.pairs:
            if claimed.error != "test_error":
                continue
            lower, higher = (re.sub(r"\s", "", text) for text in (claimed.lower, claimed.higher))
            for table in file.reported:
                for dataset in file.data:
                    pair = [errors.get((table, dataset, text)) for text in (lower, higher)]
                    if None not in pair:
                        checked += 1
                        against |= {(dataset, lower, higher)} if pair[0] >= pair[1] else set()
    assert checked > 90 and against == CONTRADICTED


def test_every_claim_that_orders_networks_has_pairs():
    with_pairs = {name: {claimed.claim for claimed in file.pairs} for name, file in experiments().items()}
    for name, file in experiments().items():
        orders = [claim for claim in file.claims if "beat" in claim or "lowest" in claim or "better" in claim]
        assert with_pairs[name] >= set(orders), name


def test_pairs_are_of_different_networks():
    assert all(claimed.lower != claimed.higher for file in experiments().values() for claimed in file.pairs)
