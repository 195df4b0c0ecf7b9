"""Documents whose parts are written from saved measurements, between <!-- name --> and <!-- /name -->."""

import os
import re


def assert_up_to_date(page, section):
    """A part is what its function writes. UPDATE_DOCS=1 writes it anew."""
    name, wanted = section.__name__, section() + "\n"
    marks = re.compile(rf"(<!-- {name} -->\n)(.*?)(<!-- /{name} -->)", re.DOTALL)
    if os.environ.get("UPDATE_DOCS"):
        page.write_text(marks.sub(lambda m: m[1] + wanted + m[3], page.read_text()))
    shown = marks.search(page.read_text())
    assert shown is not None and shown[2] == wanted, f"{page.name}, {name}: UPDATE_DOCS=1 pytest"
