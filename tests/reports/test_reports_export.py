"""The scale table as CSV, JSON and LaTeX parses back to the store's numbers."""

import csv
import io
import json
import re

import pytest
from reports_store import SMALL, write_single, write_sweep

from explorer.errors import UserError
from explorer.reports.export import export_table
from explorer.reports.study import read


@pytest.fixture(scope="module")
def rows(trouble):
    (study,) = read(trouble).studies
    return study.rows


def test_json_holds_raw_numbers_and_null(trouble, rows):
    found = json.loads(export_table(trouble, form="json"))
    assert len(found) == len(rows) == 8
    for line, row in zip(found, rows, strict=True):
        assert (line["network"], line["macs"], line["params"]) == (
            row.text,
            row.network.macs,
            row.network.params,
        )
        assert line["scales"] == list(row.scales)
        assert line["test_error_mean"] == pytest.approx(row.sample("test_error").mean)
        assert line["test_error_std"] == pytest.approx(row.sample("test_error").std)
    plain, diverged = found[0], found[3]
    assert plain["difference_mean"] is None and plain["extra_macs_percent"] is None
    assert (diverged["done"], diverged["diverged"], diverged["failed"], diverged["missing"]) == (2, 1, 0, 1)


def test_csv_and_json_say_the_same(trouble):
    lines = list(csv.DictReader(io.StringIO(export_table(trouble, form="csv"))))
    objects = json.loads(export_table(trouble, form="json"))
    assert len(lines) == len(objects)
    for line, known in zip(lines, objects, strict=True):
        assert line.keys() == known.keys()
        assert line["scales"] == "{" + ",".join(map(str, known["scales"])) + "}"
        for name, value in known.items():
            if isinstance(value, int | float):
                assert float(line[name]) == value
            elif name != "scales":
                assert line[name] == ("" if value is None else value)


def test_latex_has_a_tabular_for_each_base_with_the_printed_numbers(trouble, rows):
    text = export_table(trouble, form="latex")
    tabulars = re.findall(r"\\begin\{tabular\}\{(.*?)\}\n(.*?)\\end\{tabular\}", text, flags=re.DOTALL)
    assert len(tabulars) == 2
    lines = []
    for columns, body in tabulars:
        header, *data = [line for line in body.splitlines() if not line.startswith("\\hline")]
        assert all(line.endswith(r" \\") for line in (header, *data))
        cells = [[cell.strip() for cell in line.removesuffix(r"\\").split(" & ")] for line in (header, *data)]
        assert {len(own) for own in cells} == {len(columns)}
        lines += cells[1:]
    for row, cells in zip(rows, lines, strict=True):
        assert [bool(mark) for mark in cells[:2]] == [scale in row.scales for scale in (1, 2)]
        mean = float(cells[2].split(r" $\pm$")[0])
        assert mean == pytest.approx(100 * row.sample("test_error").mean, abs=0.005)


def test_latex_escapes_what_it_must(tmp_path):
    write_single(tmp_path, "densenet_bc(depth=10, k=4)", 0.5)
    assert r"densenet\_bc(depth=10, k=4) & 50.00 & 1 & 51.00" in export_table(tmp_path, form="latex")


def test_what_was_not_measured_is_empty_or_null(tmp_path):
    write_sweep(tmp_path, lambda base, scales, seed: None if scales else 0.3, seeds=1, scales=(2,))
    plain, unmeasured = json.loads(export_table(tmp_path, form="json"))
    assert plain["test_error_mean"] == 0.3 and plain["test_error_std"] is None
    assert unmeasured["test_error_mean"] is None and unmeasured["difference_mean"] is None
    assert unmeasured["macs"] > plain["macs"] and unmeasured["extra_macs_percent"] > 0
    assert ",," in export_table(tmp_path, form="csv").splitlines()[2]


def test_errors_name_the_option(trouble, tmp_path):
    with pytest.raises(UserError, match=r"--format: .*'jsn'.*did you mean 'json'"):
        export_table(trouble, form="jsn")
    with pytest.raises(UserError, match="there is no store"):
        export_table(tmp_path)


def test_a_single_run_can_be_exported(tmp_path):
    write_sweep(tmp_path, lambda base, scales, seed: 0.3, seeds=1, scales=(2,))
    run = write_single(tmp_path, f"{SMALL} + se", 0.2)
    (line,) = json.loads(export_table(tmp_path, [run], "json"))
    assert (line["network"], line["scales"], line["verdict"]) == (f"{SMALL} + se", None, None)


def test_what_was_computed_in_another_way_is_not_mixed_in(tmp_path):
    write_sweep(tmp_path, lambda *_: 0.2, seeds=2)
    write_sweep(tmp_path, lambda *_: 0.4, seeds=2, execution={"layers": "reference", "dtype": "bf16"})
    found = json.loads(export_table(tmp_path, form="json"))
    assert {(line["execution"], line["test_error_mean"], line["done"]) for line in found} == {
        ("", 0.2, 2),
        ("bf16, reference layers", 0.4, 2),
    }
