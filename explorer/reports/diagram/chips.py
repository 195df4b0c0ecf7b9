"""How each op is written on its chip."""

from explorer.blocks.graph import Op
from explorer.reports.diagram.items import Chip

TIMES = "\N{MULTIPLICATION SIGN}"
_JOINS = {"add": "+", "multiply": TIMES, "concat": "cat", "mean": "mean", "update": "upd", "shake": "shake",
          "fractaljoin": "join"}  # fmt: skip
_BARS = {"bn": "norm", "relu": "act", "sigmoid": "act"}


def chip(op: Op) -> Chip:
    """The chip of one op: its kind, size and output width."""
    if op.kind in _JOINS:
        return Chip("join", (_JOINS[op.kind],))
    if op.kind in _BARS:
        return Chip(_BARS[op.kind], (op.kind,))
    a = op.attrs
    if op.kind == "conv":
        groups = (f"{a['groups']} groups",) if a["groups"] != 1 else ()
        return Chip("conv", (_window(op), str(op.out[0]), *groups))
    if op.kind == "linear":
        return Chip("linear", ("linear", str(op.out[0])))
    if op.kind in ("maxpool", "avgpool"):
        return Chip("pool", (op.kind.removesuffix("pool"), _window(op)))
    if op.kind == "gap":
        return Chip("pool", ("global", "mean"))
    if op.kind in ("regional", "sliding"):
        return Chip("pool", (op.kind, f"K = {a['scale']}"))
    if op.kind in ("dropout", "droppath"):
        return Chip("other", ("drop" if op.kind == "dropout" else "drop path", f"{float(a['rate']):.3g}"))
    if op.kind == "affine":
        scaled = {1: "x", -1: "-x"}.get(a["scale"], f"{float(a['scale']):g} x")
        return Chip("other", (scaled, f"{float(a['shift']):+g}"))
    if op.kind == "shuffle":
        return Chip("other", ("shuffle", f"{a['groups']} groups"))
    if op.kind == "shift":
        return Chip("other", ("shift", f"by {a['by']}"))
    return Chip("other", (op.kind,))


def _window(op: Op) -> str:
    """3×3, and the stride where there is one."""
    kernel, stride = op.attrs["kernel"], op.attrs["stride"]
    return f"{kernel}{TIMES}{kernel}" + (f" /{stride}" if stride != 1 else "")
