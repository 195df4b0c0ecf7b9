"""The page: its numbers are the store's, it needs no other file, and what went wrong is on it by name."""

import html
import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest
from reports_store import DATA, ENVIRONMENT, LARGE, SMALL, noisy, write_single, write_sweep

from explorer.errors import UserError
from explorer.reports.report import write_report
from explorer.reports.study import read
from explorer.sweep.store import Store


def text_of(page):
    """The page without its tags and pictures, white space as single spaces."""
    bare = re.sub(r"<style>.*?</style>|<img[^>]*>", " ", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", bare)))


def tables_of(page):
    """Every scale table by its caption: rows of cell texts, as a browser sees them."""
    found = {}
    for table in re.findall(r"<table.*?</table>", page, flags=re.DOTALL):
        caption = re.search(r"<caption>(.*?)</caption>", table)
        rows = [
            [text_of(cell).strip() for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, flags=re.DOTALL)]
            for row in re.findall(r"<tr[^>]*>(.*?)</tr>", table.split("<tbody>")[1], flags=re.DOTALL)
        ]
        if caption:
            found[text_of(caption[1]).strip()] = rows
    return found


def test_every_number_of_the_scale_table_is_the_stores(written, trouble):
    _, page = written
    (study,) = read(trouble).studies
    tables = tables_of(page)
    assert list(tables) == [SMALL, LARGE]
    for group in study.groups:
        for row, cells in zip(group.rows, tables[group.base], strict=True):
            errors = [100 * trial.test_error for trial in row.done]
            mean = sum(errors) / len(errors)
            std = (sum((e - mean) ** 2 for e in errors) / (len(errors) - 1)) ** 0.5 if len(errors) > 1 else None
            marks, measured = cells[:2], cells[2:]
            assert marks == ["\N{CHECK MARK}" * (scale in row.scales) for scale in (1, 2)]
            assert measured[0] == (f"{mean:.2f} ± {std:.2f}" if std is not None else f"{mean:.2f}")
            assert measured[1] == str(len(errors))
            extra = 100 * (row.network.macs / group.plain.network.macs - 1)
            assert measured[6] == (f"+{extra:.2f}" if row.scales else "\N{EN DASH}")


def test_exact_counts_are_at_hand(written, trouble):
    _, page = written
    (study,) = read(trouble).studies
    for row in study.rows:
        assert f'title="{row.network.macs:,}"' in page and f'title="{row.network.params:,}"' in page


def test_what_was_not_measured_is_a_dash(tmp_path):
    write_sweep(tmp_path, lambda base, scales, seed: None if scales == (2,) else 0.3, seeds=1)
    page = write_report(tmp_path).html.read_text()
    cells = tables_of(page)[SMALL][2]
    assert cells[2:7] == ["\N{EN DASH}", "0", "\N{EN DASH}", "\N{EN DASH}", "\N{EN DASH}"]
    assert tables_of(page)[SMALL][0][2] == "30.00"  # one seed: no spread, not a spread of zero


def test_headline_counts_and_names_what_went_wrong(written):
    _, page = written
    text = text_of(page)
    assert "Trials 29 done, 1 failed, 1 diverged, 1 missing" in text
    assert f"{SMALL} + mssar(1) 1 failed RuntimeError: out of memory <at once>" in text
    assert f"{SMALL} + mssar(1,2) 0 diverged training loss is not finite in epoch 3" in text
    assert f"{SMALL} + mssar(1,2) , seed 2" in text


def test_evidence_and_environment_are_the_stores(written):
    _, page = written
    text = text_of(page)
    for words in (DATA.description, DATA.evidence, "20 epochs (100 steps)", "4 seeds (0, 1, 2 and 3)"):
        assert words in text
    for name in ("python", "torch", "numpy", "explorer", "revision"):
        assert f"{name} {ENVIRONMENT[name]}" in text
    assert "2024-05-01 10:00 UTC" in text and "2024-05-01 10:03 UTC" in text
    assert "No scale is degenerate" in text


def test_degenerate_scales_are_marked(tmp_path):
    write_sweep(tmp_path, lambda base, scales, seed: 0.3 + 0.01 * seed, scales=(2, 8), seeds=2)
    text = text_of(write_report(tmp_path).html.read_text())
    assert f"Scale 8 is degenerate in {SMALL}: on maps of 8×8" in text and "Scale 2 is degenerate" not in text


def test_a_store_with_one_seed_makes_no_claim(tmp_path):
    write_sweep(tmp_path, lambda base, scales, seed: 0.3 + 0.1 * len(scales), seeds=1)
    text = text_of(write_report(tmp_path).html.read_text())
    assert "No difference is claimed" in text and "One seed shows no spread" in text
    assert "beyond the noise" not in text and " better " not in text.replace("better or worse", "")


class References(HTMLParser):
    """Collects every address a browser would fetch."""

    def __init__(self):
        super().__init__()
        self.found = []
        self.tags = set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.found += [value for name, value in attrs if name in ("src", "href", "srcset", "data", "poster")]


def test_the_page_needs_no_other_file_and_runs_no_script(written):
    files, page = written
    references = References()
    references.feed(page)
    assert len(references.found) == len(files.figures) == 5
    assert all(address.startswith("data:image/png;base64,") for address in references.found)
    assert not references.tags & {"script", "link", "iframe", "object"}
    style = re.search(r"<style>(.*?)</style>", page, flags=re.DOTALL)[1]
    assert "url(" not in style and "@import" not in style


def test_what_the_store_says_is_text_never_markup(written):
    _, page = written
    assert "Made-up images &lt;of &amp; nothing&gt;" in page and "<of & nothing>" not in page
    assert "&lt;at once&gt;" in page


def test_the_same_store_gives_the_same_bytes(sound, tmp_path):
    first, second = write_report(sound, out=tmp_path / "a"), write_report(sound, out=tmp_path / "b")
    assert first.html.read_bytes() == second.html.read_bytes()
    assert [p.read_bytes() for p in first.figures] == [p.read_bytes() for p in second.figures]


def test_figures_of_an_earlier_report_do_not_stay(tmp_path):
    write_sweep(tmp_path, noisy, bases=(SMALL, LARGE), scales=(1,), seeds=2)
    assert len(write_report(tmp_path).figures) == 5
    folder = tmp_path / "report"
    (folder / "mine.png").write_bytes(b"mine")
    assert (folder / "curves-2.png").is_file()
    single = write_single(tmp_path, SMALL, 0.3, seed=8)
    files = write_report(tmp_path, [single])
    assert sorted(p.name for p in folder.iterdir()) == [
        "accuracy.png",
        "curves-1.png",
        "mine.png",
        "report.html",
    ]
    assert [p.name for p in files.figures] == ["accuracy.png", "curves-1.png"]


def test_several_studies_have_their_own_sections_and_figures(tmp_path):
    write_sweep(tmp_path, noisy, seeds=2)
    write_single(tmp_path, SMALL, 0.25, budget="60s")
    files = write_report(tmp_path)
    page = files.html.read_text()
    assert re.findall(r"<h2>(.*?)</h2>", page) == ["digits, 20 epochs a trial", "digits, 60 s a trial"]
    assert "A budget in seconds favours what is fast on this machine" in page
    assert [p.name for p in files.figures if p.name.startswith("study-2")] == [
        "study-2-accuracy.png",
        "study-2-curves-1.png",
    ]


def test_an_unwritable_folder_is_one_sentence_and_leaves_the_old_report(sound, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(UserError, match=r"^out: cannot write to .*file"):
        write_report(sound, out=blocked)
    with pytest.raises(UserError, match="cannot write"):
        write_report(sound, out=blocked / "below")
    with pytest.raises(UserError, match=r"^--workspace: cannot write"):
        workspace = tmp_path.parent / f"{tmp_path.name}-workspace"
        write_single(workspace, SMALL, 0.3)
        (workspace / "report").write_text("in the way")
        write_report(workspace)
    assert blocked.read_text() == "in the way" and [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_report_that_fails_half_way_leaves_the_old_one(sound, tmp_path, monkeypatch):
    files = write_report(sound, out=tmp_path)
    before = files.html.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("explorer.reports.writing.os.fsync", full)
    with pytest.raises(UserError, match="No space left on device"):
        write_report(sound, out=tmp_path, x="params")
    assert files.html.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(p.name for p in (files.html, *files.figures))


def test_reporting_loads_neither_torch_nor_pandas_nor_pyplot(sound, tmp_path):
    code = (
        "import sys, json; from explorer.reports.report import write_report\n"
        "write_report(sys.argv[1], out=sys.argv[2])\n"
        "print(json.dumps([m for m in ('torch', 'pandas', 'matplotlib.pyplot', 'sklearn', 'explorer.train.loop',"
        " 'explorer.sweep.engine') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code, sound, tmp_path], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_the_store_is_only_read(sound, tmp_path):
    with Store.read(sound) as store:
        before = (store.runs(), store.trials(), store.history())
    write_report(sound, out=tmp_path)
    with Store.read(sound) as store:
        assert (store.runs(), store.trials(), store.history()) == before
