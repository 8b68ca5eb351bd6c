"""What all sweeps share, with a scorer that counts."""

import dataclasses
from unittest import mock

import numpy as np
import pytest

from stl_backbones.engine.distributed import Ranks
from stl_backbones.records import CLEAN, Cell, Provenance
from stl_backbones.results import CellStore
from stl_backbones.robustness import blocks, progress
from stl_backbones.robustness.runner import run_blocks, split_blocks

CELLS = (CLEAN, Cell("fog", 1), Cell("fog", 2))
KEYS = ("a", "b", "c")
PROVENANCE = Provenance(
    task="classification", model="m", protocol="all", dataset="d", dataset_fingerprint="f",
    num_images=3, num_images_total=3, skipped=(), classes=("a", "b"), config_sha256="c",
    checkpoint_sha256="s", inference="i", corruption_source="on-the-fly", corruption_mode="fast",
    corruption_package="p", channel_order="rgb", seed=0, device="cpu", versions={},
)  # fmt: skip


class Counter:
    """Scores image i in cell of severity s as 10 * i + s, and writes a file beside each cell."""

    title, metric, is_share = "numbers", "number", False
    keys, cells, block_size, provenance = KEYS, CELLS, 1, PROVENANCE

    def __init__(self):
        self.scored = []

    def score(self, blocks, cells, tick):
        for block in blocks:
            found = {}
            for cell in cells:
                self.scored += [(index, cell) for index in block]
                found[cell] = {"number": np.array([10 * i + cell.severity for i in block])}
                tick(len(block))
            yield block, found

    def tally(self, samples):
        return samples["number"].sum()

    def score_of(self, tally, images):
        return tally / images

    def is_kept(self, store, cell):
        return (store.folder / f"{cell.name}.txt").is_file()

    def finish(self, store, cell, samples):
        (store.folder / f"{cell.name}.txt").write_text("there")
        return samples


def run(place, scorer=None, tell=None):
    scorer = scorer or Counter()
    run_blocks(scorer, place, Ranks(), tell)
    return scorer


def test_every_image_is_scored_in_every_cell_once(tmp_path):
    scorer = run(tmp_path)
    assert sorted(scorer.scored) == [(index, cell) for index in range(3) for cell in CELLS]
    for cell in CELLS:
        result = CellStore(tmp_path).read(cell)
        assert result.image_ids == KEYS
        assert result.samples["number"].tolist() == [10 * i + cell.severity for i in range(3)]


def test_a_cell_without_what_belongs_to_it_is_scored_again(tmp_path):
    run(tmp_path)
    (tmp_path / "fog-1.txt").unlink()
    assert run(tmp_path).scored == [(index, CELLS[1]) for index in range(3)]
    assert run(tmp_path).scored == []


def test_a_sweep_that_ends_while_cells_are_put_together_scores_nothing_anew(tmp_path, monkeypatch):
    class Stopped(Counter):
        def finish(self, store, cell, samples):
            if cell == CELLS[1]:
                raise KeyboardInterrupt
            return super().finish(store, cell, samples)

    monkeypatch.setattr(blocks, "_IN_MEMORY", 1)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Stopped())
    assert CellStore(tmp_path).cells() == (CLEAN,)
    assert run(tmp_path).scored == []
    for cell in CELLS:
        samples = CellStore(tmp_path).read(cell).samples
        assert samples["number"].tolist() == [10 * i + cell.severity for i in range(3)]
    assert not (tmp_path / "blocks").exists()


def test_running_scores_and_time_left(tmp_path):
    seen = []
    run(tmp_path, tell=seen.append)
    assert [(one.done, one.share) for one in seen] == [
        (1, pytest.approx(1 / 3)),
        (2, pytest.approx(2 / 3)),
        (3, 1.0),
    ]
    assert (seen[1].clean, seen[1].corrupted) == (5.0, 6.5)
    assert seen[-1].remaining == 0


def test_something_is_told_while_an_image_takes_long(tmp_path):
    seen = []
    with mock.patch.object(progress, "_SILENCE", -1.0):
        run(tmp_path, tell=seen.append)
    assert [one.share for one in seen[:5]] == pytest.approx([1 / 9, 2 / 9, 3 / 9, 3 / 9, 4 / 9])
    assert [one.done for one in seen[:5]] == [0, 0, 0, 1, 1]
    assert np.isnan(seen[0].clean)
    assert all(one.remaining >= 0 for one in seen)


def test_another_run_in_the_folder_is_refused(tmp_path):
    run(tmp_path)
    other = Counter()
    other.provenance = dataclasses.replace(PROVENANCE, seed=1)
    with pytest.raises(ValueError, match="seed: there 0, now 1"):
        run(tmp_path, other)


@pytest.mark.parametrize(
    ("count", "size", "lengths"), [(5, 2, [1, 2, 2]), (4, 9, [4]), (1, 1, [1])]
)
def test_blocks_cover_all_images(count, size, lengths):
    blocks = split_blocks(count, size)
    assert [len(block) for block in blocks] == lengths
    assert [index for block in blocks for index in block] == list(range(count))
