"""Whose fault an error is: the user's input (2), the user's own module (2), or ours (70)."""

import errno
import importlib.util
import re
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

import stl_backbones
from stl_backbones.cli.tool import EXIT_BUG, make_parser, run_tool
from stl_backbones.config.reading import building
from stl_backbones.errors import InputError, UnknownNameError
from stl_backbones.metrics import mean_iou

OWN = """
import torch

class Doubled(torch.utils.data.Dataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        return self.double({})

    def double(self, sample):
        return sample["image"] * 2

def number(text):
    return int(text)

def shape(array):
    return torch.zeros(3).view(array)

def hand_on(function):
    return function("x")
"""


@pytest.fixture
def own(tmp_path):
    """A module of the user's own, outside of this package and its tests."""
    (tmp_path / "own_module.py").write_text(OWN)
    spec = importlib.util.spec_from_file_location("own_module", tmp_path / "own_module.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["own_module"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["own_module"]


@pytest.fixture
def got(capsys):
    """Runs something as a tool; returns its exit code and what it printed."""

    def run(main, *words):
        code = run_tool(make_parser("a tool"), main, list(words))
        return code, capsys.readouterr().err

    return run


def raising(error):
    def main(args):
        raise error

    return main


@pytest.mark.parametrize("error", [KeyError("num_classes"), ValueError("no number"), IndexError()])
def test_what_our_code_raises_itself_is_a_bug(got, error):
    code, text = got(raising(error))
    assert code == EXIT_BUG
    assert "Traceback" in text
    assert "this is a bug in stl_backbones" in text.splitlines()[-1]


def test_what_a_library_raises_below_our_code_is_a_bug(got):
    code, text = got(lambda args: mean_iou("x"))
    assert code == EXIT_BUG
    assert "mean_iou" in text


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (InputError("size must be at least 32, got 3"), "size must be at least 32, got 3"),
        (InputError("refused"), "refused"),
        (UnknownNameError("unknown protocol 'x'"), "unknown protocol 'x'"),
        (OSError(errno.ENOSPC, "No space left on device", "/x"), "No space left on device: '/x'"),
    ],
)
def test_bad_input_and_a_full_disk_are_one_line(got, error, line):
    code, text = got(raising(error))
    assert code == 2
    assert text.endswith(f": error: {line}\n")
    assert len(text.splitlines()) == 1


def test_debug_shows_the_traceback_before_the_line(got):
    code, text = got(raising(InputError("size must be 3")), "--debug")
    assert code == 2
    assert text.startswith("Traceback")
    assert text.splitlines()[-1].endswith("error: size must be 3")


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (lambda own: own.number("x"), r":15: ValueError: invalid literal for int\(\)"),
        (lambda own: own.Doubled()[0], r":12: KeyError: 'image'"),
        # a library refuses what the user's line asks of it
        (lambda own: own.shape((7, 7)), r":18: RuntimeError: shape '\[7, 7\]' is invalid"),
    ],
)
def test_a_module_of_the_users_is_named_by_file_and_line(got, own, call, line):
    code, text = got(lambda args: call(own))
    assert code == 2
    assert len(text.splitlines()) == 1
    assert re.search(rf"error: .*own_module\.py{line}", text), text


@pytest.mark.parametrize("workers", [0, 1])
def test_so_is_one_that_runs_in_a_worker(got, own, workers):
    loader = DataLoader(own.Doubled(), num_workers=workers, multiprocessing_context=None)
    code, text = got(lambda args: list(loader))
    assert code == 2
    assert len(text.splitlines()) == 1
    assert "own_module.py:12: KeyError: 'image'" in text


class Missing:
    """A data set of ours whose file is gone."""

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return Path("/nosuch/image.png").read_bytes()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_is_gone_is_the_users_in_a_worker_too(got, workers):
    loader = DataLoader(Missing(), num_workers=workers, multiprocessing_context=None)
    code, text = got(lambda args: list(loader))
    assert code == 2
    assert len(text.splitlines()) == 1
    assert "No such file or directory: '/nosuch/image.png'" in text


def test_our_code_called_by_the_users_is_ours(got, own):
    code, _ = got(lambda args: own.hand_on(mean_iou))
    assert code == EXIT_BUG


class TestBuilding:
    def test_a_bare_key_is_never_alone(self):
        ours = Path(stl_backbones.__file__).with_name("made_up.py")
        build = compile("torch.nn.ModuleDict()['head']", str(ours), "eval")
        message = r"built from the config: KeyError 'head' in torch/nn/modules/container.py:\d+$"
        with pytest.raises(InputError, match=message), building("the model"):
            eval(build, {"torch": torch})

    def test_a_librarys_own_words_are_kept(self):
        from mmengine.dataset import Compose

        message = r"transform must be .*, but got <class 'int'>"
        with pytest.raises(InputError, match=message), building("the pipeline"):
            Compose([3])

    def test_the_users_own_class_is_named(self, own):
        message = r"the model cannot be built .*own_module\.py:15: ValueError: invalid literal"
        with pytest.raises(InputError, match=message), building("the model"):
            own.number("x")

    def test_a_bug_of_ours_stays_one(self):
        from stl_backbones.records import Cell

        with pytest.raises(AttributeError), building("the metric"):
            Cell.name.fget(object())

    def test_input_errors_and_a_full_disk_pass(self):
        for error in (InputError("as it is"), OSError(errno.ENOSPC, "full")):
            with pytest.raises(type(error)) as caught, building("the model"):
                raise error
            assert caught.value is error
