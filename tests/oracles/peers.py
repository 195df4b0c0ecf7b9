"""Other people's counters, called as their users call them: module and image in, the tool's integer out.

Each raises pytest's skip where its tool is not installed (`pip install -e '.[peers]'`).
"""

import importlib.util
import logging
import sys
import types
import warnings
from functools import cache

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode


def flop_counter(module, image):
    """torch.utils.flop_counter, forward."""
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        module(image)
    return counter.get_total_flops()


def fvcore(module, image):
    """fvcore traces real tensors; the meta device is not enough."""
    nn = pytest.importorskip("fvcore.nn")
    logging.getLogger("fvcore").setLevel(logging.ERROR)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        counted = nn.FlopCountAnalysis(module, image)
        return counted.unsupported_ops_warnings(False).uncalled_modules_warnings(False).total()


def torchinfo(module, image):
    """summary(...).total_mult_adds, in the mode that the module is in."""
    summary = pytest.importorskip("torchinfo").summary
    mode = "train" if module.training else "eval"
    return summary(module, input_data=image, device=image.device, mode=mode, verbose=0).total_mult_adds


def thop(module, image):
    """thop.profile; it counts in doubles."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it asks distutils for versions
        profile = pytest.importorskip("thop").profile
        return _whole(profile(module, inputs=(image,), verbose=False)[0])


def ptflops(module, image):
    """The pytorch backend: hooks on modules and patched functions."""
    return _ptflops(module, image, "pytorch")


def ptflops_aten(module, image):
    """The aten backend: a dispatch mode."""
    return _ptflops(module, image, "aten")


def _ptflops(module, image, backend):
    info = _ptflops_package().get_model_complexity_info
    with torch.no_grad():
        macs, _ = info(module, tuple(image.shape[1:]), as_strings=False, print_per_layer_stat=False, backend=backend)
    assert macs is not None
    return _whole(macs)


@cache
def _ptflops_package():
    """ptflops without torchvision and timm, whose layers it would also know: a torchvision for CUDA fails to import."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("torchvision", "timm"):
            patch.setitem(sys.modules, name, None)
        return pytest.importorskip("ptflops")


def calflops(module, image):
    """calculate_flops, FLOPs; in training mode its counter without the switch to evaluation."""
    return _calflops(module, image)[0]


def calflops_macs(module, image):
    """calculate_flops, MACs."""
    return _calflops(module, image)[1]


def _calflops(module, image):
    package = _calflops_package()
    with torch.no_grad():
        if not module.training:
            counted = package.flops_counter.calculate_flops(
                module, args=[image], print_results=False, output_as_string=False
            )
            return _whole(counted[0]), _whole(counted[1])
        counter = package.calculate_pipline.CalFlopsPipline(module, False, 2.0)
        counter.start_flops_calculate()
        module(image)
        counted = counter.get_total_flops(), counter.get_total_macs()
        counter.end_flops_calculate()
        return counted


@cache
def _calflops_package():
    """calflops without its __init__, which imports transformers for language models only."""
    found = importlib.util.find_spec("calflops")
    if found is None:
        pytest.skip("calflops is not installed: pip install -e '.[peers]'")
    package = types.ModuleType("calflops")
    package.__path__ = list(found.submodule_search_locations)
    sys.modules["calflops"] = package
    importlib.import_module("calflops.flops_counter")
    return package


def _whole(number):
    assert number == int(number)
    return int(number)


TOOLS = {
    "torch": flop_counter,
    "fvcore": fvcore,
    "torchinfo": torchinfo,
    "thop": thop,
    "ptflops": ptflops,
    "ptflops_aten": ptflops_aten,
    "calflops": calflops,
    "calflops_macs": calflops_macs,
}
