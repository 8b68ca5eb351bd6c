"""A sweep of the size of ImageNet-C, scaled down: what it holds in memory, and on disk."""

import tracemalloc

import pytest

from benchmarks.imagenet_size import BATCH, Drawn
from stl_backbones.engine.distributed import Ranks
from stl_backbones.results import CellStore
from stl_backbones.robustness import blocks as blocks_module
from stl_backbones.robustness.runner import find_left, run_blocks, split_blocks


def peak_of(images, folder):
    drawn = Drawn(images)
    tracemalloc.start()
    try:
        run_blocks(drawn, folder, Ranks(), None)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_images(tmp_path, monkeypatch):
    monkeypatch.setattr(blocks_module, "_IN_MEMORY", 2**18)  # of 256 MiB: rounds as there
    few, many = (peak_of(images, tmp_path / str(images)) for images in (320, 1280))
    assert many < 2 * few  # a cell and its ids, not all of them; without a bound 3.4 times


def test_stopped_at_half_it_has_half_of_the_blocks_and_goes_on(tmp_path):
    drawn, blocks = Drawn(200), split_blocks(200, BATCH)
    drawn.left = len(blocks) // 2
    with pytest.raises(KeyboardInterrupt):
        run_blocks(drawn, tmp_path, Ranks(), None)
    assert len(list((tmp_path / "blocks").iterdir())) == drawn.left
    _, left = find_left(drawn, tmp_path, blocks)
    assert left == blocks[drawn.left :]
    drawn.left = None
    run_blocks(drawn, tmp_path, Ranks(), None)
    assert not (tmp_path / "blocks").exists()
    assert len(CellStore(tmp_path).cells()) == 76
