"""Every Python block of docs/how-to/any_model.md runs, in order, as a reader would run them."""

import re

import numpy as np
import pytest
from PIL import Image

from stl_backbones.datasets.imagenet_classes import imagenet_wnids

MODES = ("severities=[3]", 'severities=[3], mode="fast", progress=False')


def write(path, seed, size=(256, 240)):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), np.uint8)
    Image.fromarray(noise).save(path)


@pytest.fixture
def reader(tmp_path, monkeypatch):
    """The folders that the page speaks of."""
    for seed in range(4):
        write(tmp_path / "photos" / ("cat", "dog")[seed % 2] / f"{seed}.png", seed, (64, 48))
        write(tmp_path / "imagenet" / imagenet_wnids()[seed] / f"{seed}.png", seed)
        write(tmp_path / "streets/images" / f"{seed}.png", seed, (64, 48))
        label = tmp_path / "streets/labels" / f"{seed}.png"
        label.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((48, 64), seed % 2, np.uint8)).save(label)
    monkeypatch.chdir(tmp_path)


def test_every_block_runs(repo_root, reader):
    text = (repo_root / "docs/how-to/any_model.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 5
    names = {}
    for block in blocks:
        exec(compile(block.replace(*MODES), "docs/how-to/any_model.md", "exec"), names)
    assert list(names["result"].table().index) == ["tiny"]
    assert set(names["cells"]["corruption"]) == {"clean", "fog"}
    assert len(names["images"]) == 8
    assert names["differences"].loc["clean", "unit"] == "fraction"
    assert names["files"].page.is_file()
