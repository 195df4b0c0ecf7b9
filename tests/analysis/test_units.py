"""A MAC cannot be printed as a FLOP, nor a GiB as a GB."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from explorer.analysis.units import Bytes, Flops, Macs, binary, decimal, exact


def test_an_amount_is_printed_in_its_own_unit():
    assert exact(Macs(4_089_184_256)) == "4,089,184,256 MACs"
    assert decimal(Flops(8_178_368_512)) == "8.178 GFLOPs"
    assert decimal(Bytes(4_903_000_000)) == "4.903 GB"
    assert binary(Bytes(4_903_000_000)) == "4.566 GiB"
    assert binary(Macs(2**40)) == "1 TiMACs"
    assert [decimal(Bytes(n)) for n in (0, 7, 999, 1000, -2_500_000)] == ["0 B", "7 B", "999 B", "1 kB", "-2.5 MB"]
    assert [binary(Bytes(n)) for n in (1023, 1024)] == ["1023 B", "1 KiB"]
    assert [decimal(Macs(n)) for n in (999_949, 999_960, 999_949_999, 10**15)] == [
        "999.9 kMACs", "1 MMACs", "999.9 MMACs", "1 PMACs"]  # fmt: skip


@pytest.mark.parametrize("show", [exact, decimal, binary])
@pytest.mark.parametrize("number", [5, 5.0, "5", None])
def test_a_bare_number_has_no_unit_to_be_printed_with(show, number):
    with pytest.raises(TypeError, match="only an amount has a unit"):
        show(number)


def test_one_unit_does_not_turn_into_another():
    for wrong in (Macs(3), 3.0, True, "3"):
        with pytest.raises(TypeError, match="Flops takes a plain integer"):
            Flops(wrong)
    assert Macs(3) != Flops(3) and Macs(3) == Macs(3)
    with pytest.raises(TypeError):
        Macs(3) + Flops(3)
    with pytest.raises(TypeError):
        json.dumps(Macs(3))


WRONG = """
from explorer.analysis.units import Bytes, Flops, Macs, binary, decimal, exact
def wants_macs(amount: Macs) -> str: return exact(amount)
wants_macs(Macs(1))
wants_macs(Flops(1))
Flops(Macs(1))
Macs(1) + Flops(1)
decimal(3)
binary(2.5)
"""


@pytest.mark.slow
def test_mypy_sees_each_mix_up(tmp_path):
    file = tmp_path / "wrong.py"
    file.write_text(WRONG)
    root = Path(__file__).parent.parent.parent
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", str(root / "pyproject.toml"), str(file)]
    found = subprocess.run(command, capture_output=True, text=True, cwd=root)
    wrong = {int(line.split(":")[1]) for line in found.stdout.splitlines() if f"{file.name}:" in line}
    assert wrong == {5, 6, 7, 8, 9}, found.stdout
