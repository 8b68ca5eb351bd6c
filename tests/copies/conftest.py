"""Tiny data sets in every layout, and plans of cheap corruptions."""

from __future__ import annotations

import hashlib
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stl_backbones.copies import Plan, find_sources, get_layout, make_copy
from stl_backbones.records import Cell, CorruptionEngine

CELLS = tuple(Cell(name, severity) for name in ("brightness", "pixelate") for severity in (1, 3))


def _scene(number, *, height=40, width=48):
    """A picture of a gradient and some texture, another one for each number."""
    rng = np.random.default_rng(number)
    across = np.linspace(20, 200, width)[None, :, None] + np.array([0, 20, 40])
    picture = across + rng.integers(0, 12, (height, width, 3)) + 3 * number
    return np.clip(picture, 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def scene():
    return _scene


@pytest.fixture(scope="session")
def save():
    """Write a picture, by default a scene, with the folders it needs."""

    def write(path, picture=None, **options):
        path.parent.mkdir(parents=True, exist_ok=True)
        image = picture if isinstance(picture, Image.Image) else None
        if image is None:
            image = Image.fromarray(_scene(0) if picture is None else picture)
        image.save(path, **options)
        return path

    return write


def _write_cityscapes(root, save):
    for number, name in enumerate(("bonn/b_1", "bonn/b_2", "ulm/u_1")):
        save(root / f"leftImg8bit/val/{name}_leftImg8bit.png", _scene(number))
    return root


@pytest.fixture
def cityscapes(tmp_path, save):
    """Three scenes of two cities."""
    return _write_cityscapes(tmp_path / "cityscapes", save)


@pytest.fixture(scope="session")
def make_plan():
    def make(root, layout="cityscapes", *, cells=CELLS, image_format=None, limit=None, **engine):
        chosen = get_layout(layout)
        encoding = chosen.encoding(image_format)
        sources = find_sources(root, chosen, split="val", encoding=encoding, limit=limit).sources
        return Plan(
            layout=chosen,
            split=chosen.split,
            protocol="all",
            sources=sources,
            cells=cells,
            engine=CorruptionEngine(**engine),
            encoding=encoding,
            custom={},
        )

    return make


@pytest.fixture(scope="session")
def _finished_once(tmp_path_factory, make_plan, save):
    root = tmp_path_factory.mktemp("finished")
    make_copy(make_plan(_write_cityscapes(root / "data", save)), root / "out")
    return root / "out"


@pytest.fixture
def finished(_finished_once, tmp_path):
    """A copy of `cityscapes`, made by one worker, to do anything with."""
    return shutil.copytree(_finished_once, tmp_path / "out")


@pytest.fixture(scope="session")
def tree():
    """Relative path -> digest of every file below a folder, hidden ones included."""

    def read(root: Path) -> dict[str, str]:
        return {
            path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(root.rglob("*"))
            if path.is_file()
        }

    return read


@pytest.fixture(scope="session")
def wait_until():
    """Wait for something that another process brings about."""

    def wait(holds, *, seconds=30.0):
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.005)

    return wait
