"""Devices as data files: the shipped ones, how they are found, and what is said of broken ones."""

from importlib.resources import files

import pytest
from typer.testing import CliRunner

from explorer.analysis.device import find_device, parse_device, recognise, shipped_devices
from explorer.cli.app import app
from explorer.errors import UserError

GOOD = """
name = "toy"
recognise = "Toy"
source = "made up"
[memory]
bytes = 8e9
bandwidth = 1e9
[peak]
fp32 = 1e12
"""


def test_shipped_devices_are_named_as_their_files():
    devices = shipped_devices()
    folder = files("explorer.analysis").joinpath("devices")
    assert {entry.name for entry in folder.iterdir()} == {f"{name}.toml" for name in (*devices, "assumed")}
    for name, device in devices.items():
        assert device.name == name and device.source
        assert device.measured == ("calibrated" in device.source) != ("assumed" in device.source)


def test_datasheets_are_dense_and_in_units():
    """Facts that hold for all of them: a peak with sparsity, or in TFLOPs, would break them."""
    for device in shipped_devices().values():
        if device.threads:
            continue
        assert 1e9 < device.memory.bandwidth < 1e13 and 1e10 <= device.memory.bytes < 2e11
        assert all(1e12 < rate < 1e15 for rate in device.peak.values())
        assert device.peak["fp16"] / device.peak["fp32"] < 17
        if "bf16" in device.peak:
            assert device.peak["bf16"] == device.peak["fp16"] == pytest.approx(2 * device.peak["tf32"], rel=0.02)


@pytest.mark.parametrize(("driver", "name"), [
    ("NVIDIA H200", "h200"),
    ("NVIDIA H100 80GB HBM3", "h100-sxm"),
    ("NVIDIA H100 PCIe", "h100-pcie"),
    ("NVIDIA A100-SXM4-80GB", "a100-80gb"),
    ("NVIDIA A100-SXM4-40GB", "a100-40gb"),
    ("NVIDIA A10", "a10"),
    ("NVIDIA L4", "l4"),
    ("NVIDIA L40S", "l40s"),
    ("Tesla T4", "t4"),
    ("Tesla V100-SXM2-32GB", "v100"),
    ("Tesla V100-PCIE-32GB", "v100-pcie"),
    ("NVIDIA GeForce RTX 4090", "rtx4090"),
])  # fmt: skip
def test_drivers_names(driver, name):
    found = recognise(driver)
    assert found is not None and found.name == name


def test_other_names_are_not_recognised():
    for driver in ("NVIDIA L40", "NVIDIA A100-SXM4-80GB MIG 1g.10gb", "NVIDIA GeForce RTX 4090 Laptop GPU", "TPU"):
        assert recognise(driver) is None, driver


def test_single_precision_convolutions_take_tf32_where_there_is_one():
    assert find_device("a100-80gb").peak_of("fp32", convolution=True) == ("tf32", 156e12)
    assert find_device("A100-80GB").peak_of("fp32", convolution=False) == ("fp32", 19.5e12)
    assert find_device("t4").peak_of("fp32", convolution=True) == ("fp32", 8.1e12)
    with pytest.raises(UserError, match="t4 has no peak rate for bf16; known: fp32, fp16"):
        find_device("t4").peak_of("bf16", convolution=True)


def test_files(tmp_path):
    path = tmp_path / "toy.toml"
    path.write_text(GOOD)
    found = find_device(str(path))
    assert found.name == "toy" and not found.measured and found.achieved == find_device("h200").achieved
    with pytest.raises(UserError, match=r"missing.toml cannot be read"):
        find_device(str(tmp_path / "missing.toml"))


def test_unknown_names_get_a_suggestion():
    with pytest.raises(UserError, match=r"no device is called 'h20'; did you mean 'h200'\?"):
        find_device("h20")
    with pytest.raises(UserError, match="known: a10, a100-40gb"):
        find_device("zzzzzz")


def test_they_are_listed():
    listed = CliRunner().invoke(app, ["list", "h*00*"]).output
    assert "devices, for predictions:" in listed and "NVIDIA H200 datasheet" in listed and "not measured" in listed


@pytest.mark.parametrize(("text", "wrong"), [
    ("name = ", "x.toml is not TOML"),
    (GOOD.replace('name = "toy"', "name = 3"), "x.toml: name is a text in quotes, not 3"),
    (GOOD.replace('source = "made up"', ""), "x.toml: source is a text in quotes, not missing"),
    ("nome = 1\n" + GOOD, "unknown key 'nome'; did you mean 'name'?"),
    (GOOD.replace("bandwidth = 1e9", ""), "memory.bandwidth is a number above 0, not missing"),
    (GOOD.replace("bandwidth = 1e9", "bandwidth = 0"), "memory.bandwidth is a number above 0, not 0"),
    (GOOD.replace("bandwidth", "bandwith"), "unknown key 'memory.bandwith'; did you mean 'bandwidth'?"),
    (GOOD.replace("fp32 = 1e12", "fp32 = -1"), "peak.fp32 is a number above 0, not -1"),
    (GOOD.replace("fp32 = 1e12", f"fp32 = 1{400 * '0'}"), "peak.fp32 is a number above 0, not 1000"),
    (GOOD.replace("fp32 = 1e12", ""), r"\[peak\] is a table of numbers a second"),
    (GOOD.replace("fp32 = 1e12", "fp64 = 1e12"), "unknown key 'peak.fp64'"),
    (GOOD.replace("[memory]", "[m]"), "unknown key 'm'"),
    (GOOD.partition("[memory]")[0] + "[peak]\nfp32 = 1.0", r"the table \[memory\] is missing; its keys: bytes, bandw"),
    (GOOD + "[achieved]\nforward = 0.5\n", r"achieved.input_gradient is a number above 0"),
    (GOOD + "[launch]\nforward_s = 'fast'\n", "launch.forward_s is a number of at least 0, not 'fast'"),
    (GOOD + "[rates]\npooling = true\n", "rates.pooling is a number above 0, not True"),
    ("threads = -1\n" + GOOD, "threads is a whole number"),
    (GOOD.replace("bandwidth", "cache_bytes = 1e6\nbandwidth"), "memory.cache_bandwidth is a number above 0 where"),
    ("memory = 3\n" + GOOD.partition("[memory]")[0] + "[peak]\nfp32 = 1.0", r"\[memory\] is a table; its keys: bytes"),
])  # fmt: skip
def test_broken_files(text, wrong):
    with pytest.raises(UserError, match=wrong):
        parse_device(text, "x.toml")
