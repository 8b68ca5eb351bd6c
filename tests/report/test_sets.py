import dataclasses

import pytest

from stl_backbones.records import CLEAN
from stl_backbones.report.read.runs import read_runs
from stl_backbones.results import CellStore, DamagedCellError
from stl_backbones.results.run_record import encode_run

A = {"imagenet-a": 5, "imagenet-a-clean": 18}


def _rewrite(store, **fields):
    """Change a set's record and its cell's alike."""
    result = store.read(CLEAN)
    record = dataclasses.replace(result.provenance, **fields)
    (store.folder / "run.json").write_bytes(encode_run(record))
    store.write(dataclasses.replace(result, provenance=record))


def _only_sets(folder):
    """Remove the sweep, keep the sets."""
    (folder / "run.json").unlink()
    for file in (folder / "cells").iterdir():
        file.unlink()
    return folder


def test_sets_are_found_in_a_models_folder(make_classified):
    _, (run,) = read_runs([make_classified(sets={**A, "imagenet-r": 9})])
    assert set(run.sets) == {"imagenet-a", "imagenet-a-clean", "imagenet-r"}
    assert run.sets["imagenet-r"].replicates["top1"][CLEAN][0] == 0.45
    assert run.swept


def test_a_folder_of_sets_alone(make_classified):
    _, (run,) = read_runs([_only_sets(make_classified(sets=A))])
    assert not run.swept
    assert (dict(run.scores), set(run.sets)) == ({}, set(A))
    assert run.label == "STL"


def test_beside_a_sweep_a_folder_of_sets_lacks_its_cells(make_classified):
    folders = [make_classified("a"), _only_sets(make_classified("b", model="B", sets=A))]
    with pytest.raises(ValueError, match="'B' lacks 81: clean"):
        read_runs(folders)
    _, runs = read_runs(folders, partial=True)
    assert [run.swept for run in runs] == [True, False]


def test_one_row_is_one_model(make_classified):
    folder = make_classified(sets=A)
    _rewrite(CellStore(folder / "imagenet-a"), checkpoint_sha256="0f" * 32)
    with pytest.raises(ValueError, match=r"imagenet-a' was measured with another checkpoint than"):
        read_runs([folder])
    with pytest.raises(ValueError, match="another checkpoint"):
        read_runs([_only_sets(folder)])


def test_retention_needs_the_same_classes(make_classified):
    folder = make_classified(sets=A)
    _rewrite(CellStore(folder / "imagenet-a-clean"), classes=("n01", "n02", "n03", "n99"))
    with pytest.raises(ValueError, match=r"imagenet-a-clean' differ in classes"):
        read_runs([folder])


def test_models_share_a_sets_images(make_classified):
    folders = [make_classified("a", sets=A), make_classified("b", sets=A)]
    _rewrite(CellStore(folders[1] / "imagenet-a"), dataset_fingerprint="other")
    with pytest.raises(ValueError, match="differ in dataset_fingerprint"):
        read_runs(folders)


def test_a_set_that_was_not_finished(make_classified):
    folder = make_classified(sets=A)
    (folder / "imagenet-a/cells/clean.npz").unlink()
    with pytest.raises(ValueError, match=r"imagenet-a' holds no finished cell 'clean'.*--partial"):
        read_runs([folder])
    _, (run,) = read_runs([folder], partial=True)
    assert set(run.sets) == {"imagenet-a-clean"}


def test_a_damaged_set_is_refused_by_name(make_classified):
    folder = make_classified(sets=A)
    path = folder / "imagenet-a/cells/clean.npz"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DamagedCellError, match=r"imagenet-a/cells/clean\.npz' is truncated"):
        read_runs([folder], partial=True)
