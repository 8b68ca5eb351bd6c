"""``--device``: whatever asks torch for a GPU afterwards finds the chosen one, or none."""

import argparse
import os

import pytest
import torch

from stl_backbones.cli.device import add_device


@pytest.fixture
def parse(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    seen = []

    def is_available():
        seen.append(os.environ["CUDA_VISIBLE_DEVICES"])
        return seen[-1] in ("4,6", "4", "6")

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
