"""explorer audit --formulas, as people and programs read it."""

import json
import re
import shutil
import subprocess

import pytest
import typer

from explorer.analysis.derive import rows as derived
from explorer.cli.formulas import print_formulas
from explorer.errors import UserError


@pytest.fixture(autouse=True)
def unverified(monkeypatch):
    """Verification has its own tests."""
    monkeypatch.setattr(derived, "_verified", lambda paper, uses: f"{derived.POINTS} of {derived.POINTS} points: numel")
    derived.row_of.cache_clear()
    yield
    derived.row_of.cache_clear()


def output(capsys, *arguments):
    print_formulas(*arguments)
    return capsys.readouterr().out


def test_json_rows(capsys):
    rows = json.loads(output(capsys, None, "json"))
    assert {row["paper"] for row in rows} == {"ms-sar", "seqconv", "gunn"}
    for row in rows:
        assert {"paper", "name", "claim", "derived", "verdict", "difference", "range", "where", "verified"} <= set(row)
        assert row["verdict"].split(" where ")[0] in ("holds", "fails")
    assert {row["paper"] for row in json.loads(output(capsys, "gunn", "json"))} == {"gunn"}


def test_table(capsys):
    text = output(capsys, "ms-sar", "table")
    assert "3.5  extra weights of all L scales: holds" in text
    assert "    derived     2*D*L*D'" in text
    assert "D' = hidden width" in text
    assert re.search(r"\d+ formulas: \d+ hold, \d+ hold where the verdict says, \d+ fail\n$", text)


def test_latex_is_well_formed(capsys):
    text = output(capsys, None, "latex")
    body = re.sub(r"\\[{}]", "", text)
    depth = 0
    for sign in body:
        depth += {"{": 1, "}": -1}.get(sign, 0)
        assert depth >= 0
    assert depth == 0
    assert text.count(r"\begin{longtable}") == text.count(r"\end{longtable}") == 1
    assert text.isascii()
    for line in text.splitlines():
        if r" \addlinespace" in line:
            assert len(re.findall(r"(?<!\\)&", line)) == 1
            assert line.count("$") % 2 == 0 and line.count(r"\left") == line.count(r"\right")
            outside = re.sub(r"\$.*?\$", "", line)
            assert not re.search(r"(?<!\\)[_^#%]|[<>]", outside), outside


def test_latex_formulas_are_mathematics(capsys):
    """What matplotlib's reader of TeX knows, it accepts."""
    from matplotlib.mathtext import MathTextParser

    parser = MathTextParser("path")
    text = output(capsys, None, "latex")
    formulas = set(re.findall(r"\$(.*?)\$", text))
    assert len(formulas) > 60
    for formula in formulas:
        known = formula.replace(r"\textstyle", "").replace(r"\bmod", r"\mathrm{mod}")
        parser.parse(f"${known}$")


DOCUMENT = (
    r"\documentclass{{article}}\usepackage{{amsmath,array,booktabs,longtable}}\begin{{document}}{}\end{{document}}"
)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no LaTeX here")
def test_latex_compiles(capsys, tmp_path):
    (tmp_path / "formulas.tex").write_text(DOCUMENT.format(output(capsys, None, "latex")))
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "formulas.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]


def test_a_formula_that_torch_refutes(capsys, monkeypatch):
    monkeypatch.setattr(derived, "_verified", lambda paper, uses: "49 of 50 points: numel; 1 against 2 at N = 1")
    with pytest.raises(typer.Exit) as stop:
        print_formulas("gunn", "json")
    assert stop.value.exit_code == 1
    assert "torch counts something else than was derived: weights of an update unit" in capsys.readouterr().err


def test_an_unknown_paper():
    with pytest.raises(UserError, match="no paper 'gun'; did you mean 'gunn'"):
        print_formulas("gun", "table")
