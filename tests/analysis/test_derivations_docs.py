"""docs/formulas.md shows what is derived."""

import os
import re
from pathlib import Path

from explorer.analysis.derive.rows import rows
from explorer.reports.formulas import markdown

PAGE = Path(__file__).parents[2] / "docs" / "formulas.md"
SHOWN = re.compile(r"(<!-- formulas -->\n)(.*?)(<!-- /formulas -->)", re.DOTALL)


def test_the_page_shows_the_derived_formulas():
    """UPDATE_README=1 writes it anew."""
    table = markdown(rows(verify=False))
    text = PAGE.read_text()
    if os.environ.get("UPDATE_README"):
        text = SHOWN.sub(lambda found: found[1] + table + found[3], text)
        PAGE.write_text(text)
    shown = SHOWN.search(text)
    assert shown is not None
    assert shown[2] == table, "run UPDATE_README=1 pytest tests/analysis/test_derivations_docs.py"
