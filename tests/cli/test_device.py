"""``--device``: whatever asks torch for a GPU afterwards finds the chosen one, or none."""

import argparse
import os
import warnings

import pytest
import torch

from stl_backbones.cli.device import add_device


@pytest.fixture
def parse(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    seen = []

    def is_available():
        seen.append(os.environ["CUDA_VISIBLE_DEVICES"])
        return seen[-1] in ("4,6", "4", "6", "0")

    monkeypatch.setattr(torch.cuda, "is_available", is_available)
    parser = argparse.ArgumentParser()
    add_device(parser)
    return lambda *words: parser.parse_args(words).device


@pytest.mark.parametrize(
    ("name", "visible"), [("cpu", ""), ("cuda", "4,6"), ("cuda:0", "4"), ("cuda:1", "6")]
)
def test_what_torch_sees(parse, name, visible):
    assert parse("--device", name) == name
    assert os.environ["CUDA_VISIBLE_DEVICES"] == visible


def test_nothing_is_chosen_by_default(parse):
    assert parse() is None
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "4,6"


@pytest.mark.parametrize(
    ("name", "says"),
    [("gpu", "expected cpu, cuda or cuda:N, got 'gpu'"), ("cuda:2", "sees no such GPU")],
)
def test_what_is_none_is_refused(parse, name, says, capsys):
    with pytest.raises(SystemExit):
        parse("--device", name)
    assert says in capsys.readouterr().err
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "4,6"


def test_devices_that_are_hidden_stay_so(parse, monkeypatch, capsys):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    for name in ("cuda", "cuda:0"):
        with pytest.raises(SystemExit):
            parse("--device", name)
        assert "sees no such GPU; CUDA_VISIBLE_DEVICES is ''" in capsys.readouterr().err
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert parse("--device", "cuda:0") == "cuda:0"


def test_a_driver_that_fails_is_one_line(parse, monkeypatch, capsys, recwarn):
    def is_available():
        warnings.warn("CUDA initialization: The NVIDIA driver\n is too old", stacklevel=1)
        return False

    monkeypatch.setattr(torch.cuda, "is_available", is_available)
    with pytest.raises(SystemExit):
        parse("--device", "cuda")
    assert capsys.readouterr().err.endswith(
        "sees no such GPU: CUDA initialization: The NVIDIA driver is too old\n"
    )
    assert not recwarn.list
