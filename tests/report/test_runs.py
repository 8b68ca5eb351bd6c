import dataclasses

import numpy as np
import pytest

from stl_backbones.metrics import IncompleteCellsError
from stl_backbones.records import CLEAN, Cell, CellResult
from stl_backbones.report.read.cells import Draws
from stl_backbones.report.read.runs import SHARED_FIELDS, read_runs
from stl_backbones.results import CellStore, DamagedCellError
from stl_backbones.results.run_record import encode_run

OTHER = {
    "task": "classification",
    "classes": ("road", "bus"),
    "dataset_fingerprint": "00",
    "num_images": 3,
    "corruption_source": "folder:cityscapes-c",
    "corruption_mode": "files",
    "corruption_package": "imagecorruptions 1.1.2",
    "channel_order": "bgr",
    "seed": 1,
}


def test_scores_are_read_for_every_cell_of_the_protocol(make_store):
    protocol, (run,) = read_runs([make_store()])
    assert set(run.scores) == set(protocol.cells())
    assert run.scores[CLEAN] == pytest.approx(0.80)
    assert run.scores[Cell("shot_noise", 2)] == pytest.approx(0.30)
    assert run.scores[Cell("snow", 5)] == pytest.approx(0.50)


def test_missing_cells_are_all_listed_per_model(make_store):
    folders = [
        make_store("a", model="A", without=("clean", "fog-3")),
        make_store("b", model="B", without=("snow-1",)),
        make_store("c", model="C"),
    ]
    with pytest.raises(IncompleteCellsError) as caught:
        read_runs(folders)
    assert caught.value.missing == (CLEAN, Cell("fog", 3), Cell("snow", 1))
    got = str(caught.value)
    assert "'A' lacks 2: clean, fog-3; 'B' lacks 1: snow-1. " in got
    assert "--partial" in got
    assert "'C'" not in got


def test_partial_accepts_what_is_there(make_store):
    protocol, (run,) = read_runs([make_store(without=("fog-3",))], partial=True)
    assert run.missing(protocol) == (Cell("fog", 3),)


def test_a_stopped_sweep_has_clean_images_and_some_of_the_corrupted(make_result, tmp_path):
    """Clean: 8 / (8 + 2 + 2) in both classes; one image under fog: 5 / (5 + 5 + 5)."""
    sampling = {"scored": 1}
    clean = make_result(CLEAN, np.array([[[8, 0], [0, 8]], [[0, 2], [2, 0]]]))
    fog = make_result(Cell("fog", 1), np.array([[[5, 5], [5, 5]]]), num_images=2, sampling=sampling)
    store = CellStore(tmp_path)
    with store.writing(clean.provenance):
        store.write(clean)
        store.stopped.write(fog)
        store.record(dataclasses.replace(clean.provenance, sampling=sampling))
    _, (run,) = read_runs([tmp_path], partial=True)
    assert run.scores == {CLEAN: pytest.approx(2 / 3), Cell("fog", 1): pytest.approx(1 / 3)}
    assert run.label == "FAN (STOPPED 1/2)"


def _rewrite_record(folder, **fields):
    record = dataclasses.replace(CellStore(folder).provenance(), **fields)
    (folder / "run.json").write_bytes(encode_run(record))


@pytest.mark.parametrize("field", SHARED_FIELDS)
def test_runs_that_differ_in_a_shared_field_are_not_mixed(make_store, field):
    first, second = make_store("a"), make_store("b")
    _rewrite_record(second, **{field: OTHER[field]})
    with pytest.raises(ValueError, match=rf"'{first}' and '{second}' differ in {field} "):
        read_runs([first, second])


def test_scores_of_other_pixels_are_not_mixed(make_store):
    first = make_store("a", inference="whole")
    second = make_store("b", inference="slide crop=4x4 stride=2x2, label 0 ignored, bfloat16")
    with pytest.raises(ValueError, match=r"differ in ignored label \(255 and 0\)"):
        read_runs([first, second])


def test_runs_may_differ_in_model_settings_and_machine(make_store):
    first = make_store("a", model="A")
    second = make_store(
        "b", model="B", device="gpu", inference="slide", checkpoint_sha256="1", config_sha256="2"
    )
    _, runs = read_runs([first, second])
    assert [run.label for run in runs] == ["A", "B"]


def test_a_cell_of_another_run_is_refused_by_name(make_store):
    folder = make_store()
    store = CellStore(folder)
    cell = Cell("fog", 3)
    result = store.read(cell)
    other = dataclasses.replace(result.provenance, checkpoint_sha256="other")
    store.write(CellResult(cell, other, result.image_ids, result.samples))
    with pytest.raises(ValueError, match=r"fog-3\.npz' was measured with another checkpoint"):
        read_runs([folder])


def test_a_damaged_cell_is_refused_by_name(make_store):
    folder = make_store()
    cells = folder / "cells"
    (cells / "snow-2.npz").write_bytes((cells / "snow-1.npz").read_bytes())
    with pytest.raises(DamagedCellError, match=r"snow-2\.npz"):
        read_runs([folder], partial=True)


def test_a_cell_with_other_samples_is_refused_by_name(make_store):
    folder = make_store()
    store = CellStore(folder)
    result = store.read(CLEAN)
    store.write(dataclasses.replace(result, samples={"confusion_matrix": np.ones((2, 3, 3), int)}))
    with pytest.raises(ValueError, match=r"clean\.npz': expected a sample 'confusion_matrix'"):
        read_runs([folder])


def test_a_cell_of_fewer_images_is_refused_by_name(make_store):
    folder = make_store()
    store = CellStore(folder)
    store.write(dataclasses.replace(store.read(CLEAN), image_ids=("image0",)))
    with pytest.raises(ValueError, match=r"clean\.npz' holds 1 images, expected 2"):
        read_runs([folder])


def test_a_record_of_far_more_images_than_there_are(make_store):
    """Nothing of that size is made."""
    folder = make_store()
    record = dataclasses.replace(CellStore(folder).provenance(), num_images=10**15)
    (folder / "run.json").write_bytes(encode_run(record))
    with pytest.raises(ValueError, match=r"\.npz' was measured with another num_images than"):
        read_runs([folder], draws=Draws(resamples=1000))


def test_two_versions_of_ones_own_corruption_are_not_mixed(make_store):
    first = make_store("a", custom_versions={"fog": "1", "hail": "1"})
    second = make_store("b", custom_versions={"fog": "2"})
    message = rf"corruption 'fog' was measured in versions 1 \('{first}'\) and 2 \('{second}'\)"
    with pytest.raises(ValueError, match=message):
        read_runs([first, second])


def test_versions_outside_the_table_may_differ(make_store):
    first = make_store("a", custom_versions={"hail": "1"})
    second = make_store("b", custom_versions={"hail": "2"})
    _, runs = read_runs([first, second, make_store("c")])
    assert len(runs) == 3


def test_a_protocol_of_a_module_that_was_not_imported(make_store):
    folder = make_store()
    _rewrite_record(folder, protocol="rain")
    with pytest.raises(KeyError, match=r"unknown protocol 'rain'.* module with --custom-imports"):
        read_runs([folder])


def test_an_unknown_task_is_refused(make_store):
    folder = make_store(task="juggling")
    with pytest.raises(ValueError, match="no report for task 'juggling'; expected one of seg"):
        read_runs([folder])


def test_different_protocols_need_a_choice(make_store):
    folders = [make_store("a"), make_store("b", protocol="imagenet-c")]
    with pytest.raises(ValueError, match="choose one with --protocol"):
        read_runs(folders)
    with pytest.raises(IncompleteCellsError):  # chosen: now the cells of 'b' do not suffice
        read_runs(folders, protocol="stl-cityscapes-c")


def test_equal_models_are_told_apart_by_the_end_of_their_paths(make_store):
    folders = [make_store("x/run"), make_store("y/run"), make_store("z", model="Other")]
    _, runs = read_runs(folders)
    assert [run.label for run in runs] == ["FAN (x/run)", "FAN (y/run)", "Other"]


def test_names_label_the_rows(make_store):
    folders = [make_store("a"), make_store("b")]
    _, runs = read_runs(folders, names=["one", "two\n\x1b[31m"])
    assert [run.label for run in runs] == ["one", "two [31m"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["one"], "got 1 names for 2 folders"),
        (["one", "one"], "must be different"),
        (["one", " "], "not empty"),
    ],
)
def test_names_that_do_not_fit_are_refused(make_store, names, message):
    folders = [make_store("a"), make_store("b")]
    with pytest.raises(ValueError, match=message):
        read_runs(folders, names=names)


def test_a_folder_given_twice_is_refused(make_store):
    folder = make_store()
    with pytest.raises(ValueError, match="given 2 times"):
        read_runs([folder, folder])


def test_a_folder_without_a_sweep_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no sweep"):
        read_runs([tmp_path])


def test_no_folder_is_refused():
    with pytest.raises(ValueError, match="at least one folder"):
        read_runs([])
