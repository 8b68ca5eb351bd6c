"""Blocks of images kept on disk while a sweep runs."""

import dataclasses
import tracemalloc
import zipfile

import numpy as np
import pytest

from stl_backbones.records import CLEAN, Cell, Provenance
from stl_backbones.robustness import blocks
from stl_backbones.robustness.blocks import BlockStore

CELLS = (CLEAN, Cell("glass_blur", 2.5))
BLOCKS = (range(3), range(3, 5))
PROVENANCE = Provenance(
    task="classification", model="m", protocol="imagenet-c", dataset="d", dataset_fingerprint="f",
    num_images=5, num_images_total=5, skipped=(), classes=("a", "b"), config_sha256="c",
    checkpoint_sha256="s", inference="i", corruption_source="on-the-fly", corruption_mode="fast",
    corruption_package="p", channel_order="rgb", seed=0, device="cpu", versions={},
)  # fmt: skip


def samples(block, offset=0):
    return {"label": np.array(block, np.int32) + offset, "in_top5": np.array(block) > 1}


@pytest.fixture
def kept(tmp_path):
    store = BlockStore(tmp_path, PROVENANCE)
    for block in BLOCKS:
        store.write(block, {cell: samples(block, offset) for offset, cell in enumerate(CELLS)})
    return store


def test_blocks_are_joined_in_order(kept):
    joined = dict(kept.join(BLOCKS, CELLS))
    assert joined[CELLS[0]]["label"].tolist() == [0, 1, 2, 3, 4]
    assert joined[CELLS[1]]["label"].tolist() == [1, 2, 3, 4, 5]
    assert joined[CELLS[0]]["label"].dtype == np.int32
    assert joined[CELLS[0]]["in_top5"].tolist() == [False, False, True, True, True]


MANY = [CLEAN, *(Cell("fog", level) for level in range(1, 12))]


def write_many(folder, blocks):
    """Blocks of 12 cells and 64 kB a cell, of which each has as many rows as its number says."""
    store = BlockStore(folder, PROVENANCE)
    for block in blocks:
        rng = np.random.default_rng(block.start)
        store.write(block, {
            cell: {
                "packed": rng.integers(0, 256, 65536 + number, np.uint8),
                "size": np.array([65536 + number], np.uint32 if block.start else np.int64),
            }
            for number, cell in enumerate(MANY)
        })  # fmt: skip
    return store


@pytest.mark.parametrize("in_memory", [1, 2_000_000, 2**30])
def test_each_block_is_read_once_whatever_fits_into_memory(tmp_path, monkeypatch, in_memory):
    many = [range(i, i + 1) for i in range(9)]
    store, read = write_many(tmp_path, many), []
    expected = [store._read(block) for block in many]
    monkeypatch.setattr(blocks, "_IN_MEMORY", in_memory)
    read_one = store._read
    monkeypatch.setattr(store, "_read", lambda block: read.append(block) or read_one(block))
    joined = list(store.join(many, MANY[1:]))
    assert read == many
    assert [cell for cell, _ in joined] == MANY[1:]
    for cell, samples in joined:
        assert samples["size"].dtype == np.int64
        for name in ("packed", "size"):
            assert (samples[name] == np.concatenate([one[cell][name] for one in expected])).all()


def test_joining_takes_little_memory_and_leaves_nothing_behind(tmp_path, monkeypatch):
    many = [range(i, i + 1) for i in range(32)]  # 25 MB
    store = write_many(tmp_path, many)
    monkeypatch.setattr(blocks, "_IN_MEMORY", 2_000_000)
    before = sorted(store.folder.iterdir())
    tracemalloc.start()
    for _ in store.join(many, MANY):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # What is in memory, a block, and a cell twice and once more for who takes it.
    assert peak < 2_000_000 + 12 * 65536 + 3 * 32 * 65536 + 500_000
    assert sorted(store.folder.iterdir()) == before


def test_a_block_counts_only_with_all_cells(kept):
    assert kept.has(BLOCKS[0], CELLS)
    assert not kept.has(BLOCKS[0], (*CELLS, Cell("fog", 1)))
    assert not kept.has(range(2), CELLS)


def test_damaged_blocks_do_not_count(kept):
    (path,) = kept.folder.glob("*00003.npz")
    whole = path.read_bytes()
    for damage in (b"", whole[: len(whole) // 2], whole[:300] + b"\xff" * 8 + whole[308:]):
        path.write_bytes(damage)
        assert not kept.has(BLOCKS[0], CELLS)


@pytest.mark.parametrize(
    "header",
    [
        b"{'shape': (2147483647,), 'fortran_order': False, 'descr': '<i8'}",  # 16 GB
        b"{'shape': (True, 1.5), 'fortran_order': False, 'descr': '<i8'}",
        b"{'shape': (9999999999999999999,), 'fortran_order': False, 'descr': '<i8'}",
        b"{'shape': (",
    ],
)
def test_blocks_with_headers_that_are_none_do_not_count(kept, header):
    (path,) = kept.folder.glob("*00003.npz")
    with zipfile.ZipFile(path, "w") as archive:
        start = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little")
        archive.writestr("header.npy", start + header)
    assert not kept.has(BLOCKS[0], CELLS)


@pytest.mark.parametrize("name", ["label/values", "in_top5/values", "label/lengths", "cells"])
def test_edited_blocks_do_not_count(kept, name):
    """The zip's own checksums are right again."""
    (path,) = kept.folder.glob("*00003.npz")
    with np.load(path) as file:
        arrays = {key: file[key] for key in file.files}
    arrays[name].reshape(-1).view(np.uint8)[0] ^= 1
    np.savez(path, **arrays)
    assert not kept.has(BLOCKS[0], CELLS)


def test_blocks_of_another_run_do_not_count(kept, tmp_path):
    other = dataclasses.replace(PROVENANCE, checkpoint_sha256="t")
    assert not BlockStore(tmp_path, other).has(BLOCKS[0], CELLS)
    same = dataclasses.replace(PROVENANCE, protocol="all", custom_versions={"rain": "1"})
    assert BlockStore(tmp_path, same).has(BLOCKS[0], CELLS)


def test_nothing_stays_behind(kept, tmp_path):
    kept.clear()
    kept.clear()
    assert list(tmp_path.iterdir()) == []
