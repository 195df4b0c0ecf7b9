"""explorer list: names, sections, and what is said where nothing is called so."""

import pytest
from typer.testing import CliRunner

from explorer.cli.app import app
from explorer.train.data import SOURCES


def call(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["list", *arguments], catch_exceptions=False)
    return result.output


@pytest.mark.parametrize(
    ("section", "heads"),
    [
        ("networks", ["networks:"]),
        ("blocks", ["blocks and modifiers that fill a slot:"]),
        ("modifiers", ["blocks and modifiers that fill a slot:", "modifiers that rewrite convolutions:"]),
        ("units", ["units (inside folds):"]),
        ("primitives", ["primitives, joins and folds:"]),
        ("devices", ["devices, for predictions:"]),
        ("data", ["data:"]),
        ("experiments", ["experiments (explorer sweep NAME):"]),
    ],
)
def test_a_section_is_listed_by_its_name(section: str, heads: list[str]) -> None:
    lines = call(section).splitlines()
    assert [line for line in lines if not line.startswith(" ")] == heads
    assert [line for line in call().splitlines() if line in lines] == lines


def test_a_summary_is_a_sentence() -> None:
    assert "Squeeze-and-excitation (Hu et al. 2018): MS-SAR with scale 1" in call("se")
    assert "As He et al. 2016 first had it" in call("resnet50-v1")


def test_where_nothing_is_called_so_the_nearest_names_and_the_sections_are_told() -> None:
    with pytest.raises(Exception, match="'experimnts'; did you mean 'experiments'"):
        call("experimnts")
    with pytest.raises(Exception, match=r"nothing is called 'zzzz'; sections are networks, blocks, .*experiments$"):
        call("zzzz")
    assert all(name in call("data") for name in SOURCES)
