"""Fixtures shared by all tests: tiny generated data and an untrained model of the mini config."""

import gc
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from unittest import mock

import pytest

# Tiny networks gain nothing from threads, and spinning threads starve the other processes.
os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported; tools started by tests inherit it

# A shell has its background jobs ignore Ctrl-C, and so what the tests of such a job start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parents[1]
MINI_CONFIG = ROOT / "configs/seg/stl_fan_t_mini.py"


def installed_stack():
    """``'onedl'`` or ``'openmmlab'``: whose packages mmengine and its kin are."""
    try:
        version("onedl-mmengine")
    except PackageNotFoundError:
        return "openmmlab"
    return "onedl"


@pytest.fixture(autouse=True, scope="module")
def _libraries_are_passed_over():
    """The collector, which mmengine's data sets ask for, passes over what earlier modules left."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items):
    for item in items:
        for mark in item.iter_markers("needs_stack"):
            (stack,), reason = mark.args, mark.kwargs["reason"]
            if stack != installed_stack():
                item.add_marker(pytest.mark.skip(reason=f"needs the {stack} stack: {reason}"))


@pytest.fixture(scope="session")
def repo_root():
    return ROOT


@pytest.fixture(scope="session")
def mini_data(tmp_path_factory):
    """A generated data set of 6 + 4 scenes of 128x64."""
    from stl_backbones.datasets.mini import write_mini_data

    out = tmp_path_factory.mktemp("data") / "mini"
    write_mini_data(out, num_train=6, num_val=4, height=64, width=128)
    return out


@pytest.fixture(scope="session")
def mini_options(mini_data):
    """What makes the mini config fit the tiny data."""
    return {
        "data_root": str(mini_data / "cityscapes"),
        "img_scale": (128, 64),
        "crop_size": (64, 64),
        "num_workers": 0,
    }


@pytest.fixture(scope="session")
def mini_option_words(mini_options):
    """The same as command line words."""
    return [f"{name}={str(value).replace(' ', '')}" for name, value in mini_options.items()]


@pytest.fixture(scope="session")
def mini_checkpoint(tmp_path_factory):
    """Untrained weights of the mini config's model, drawn from a fixed seed."""
    import torch
    from mmengine.registry import MODELS, init_default_scope

    from stl_backbones.config.reading import load_config

    config = load_config(MINI_CONFIG)
    init_default_scope("mmseg")
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    for parameter in model.decode_head.conv_seg.parameters():
        torch.nn.init.normal_(parameter)  # else every pixel is of one class
    path = tmp_path_factory.mktemp("weights") / "mini.pth"
    torch.save({"state_dict": model.state_dict(), "meta": {}}, path)
    return path


@pytest.fixture
def own_catalog():
    """What a test registers, and the modules that did it, are forgotten after it."""
    from stl_backbones.corruptions.catalog import CUSTOM_CORRUPTIONS
    from stl_backbones.corruptions.protocols import CUSTOM_PROTOCOLS
    from stl_backbones.corruptions.registration import _IMPORTED

    before, kept = set(sys.modules), (CUSTOM_CORRUPTIONS, CUSTOM_PROTOCOLS, _IMPORTED)
    with ExitStack() as stack:
        for registered in kept:
            stack.enter_context(mock.patch.dict(registered))
        yield
    for name in set(sys.modules) - before:
        if any(word in name for word in ("rain", "own_")):
            del sys.modules[name]


@pytest.fixture(scope="session")
def run_tool():
    """Run a tool as a user would; returns the finished process."""

    def run(name, *words, timeout=120, launch=(), **environment):
        return subprocess.run(
            [sys.executable, *launch, str(ROOT / "tools" / name), *map(str, words)],
            cwd=ROOT,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def torch_and_timm_alone(tmp_path_factory):
    """Environment of a tool, and of its workers, in which no extra is installed: for `run_tool`."""
    from stl_backbones.packages import EXTRAS

    folder = tmp_path_factory.mktemp("alone")
    text = f"import sys\nfor name in {list(EXTRAS)}:\n    sys.modules[name] = None\n"
    (folder / "sitecustomize.py").write_text(text, encoding="utf-8")  # Python imports it first
    return {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}


@pytest.fixture(scope="session")
def torchrun():
    """Words that start a tool in two processes."""
    return ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
