"""The store: what is read is what was written, whatever happened between."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from stl_backbones.records import Cell, CellResult
from stl_backbones.results import CellStore, DamagedCellError
from stl_backbones.results.cell_file import NewerFormatError

ROOT = Path(__file__).parents[2]
FOG = Cell("fog", 3)


def files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def assert_same(one, other):
    assert (one.cell, one.provenance, one.image_ids) == (
        other.cell, other.provenance, other.image_ids,
    )  # fmt: skip
    assert set(one.samples) == set(other.samples)
    for name, array in one.samples.items():
        assert array.dtype == other.samples[name].dtype
        np.testing.assert_array_equal(array, other.samples[name])


def test_round_trip(filled, make_result):
    assert_same(filled.read(FOG), make_result())


def test_round_trip_of_special_numbers(store, make_result):
    plain = make_result()
    samples = {
        "scores": np.array([np.nan, -0.0, np.inf], np.float32),
        "counts": np.array([2**63 - 1, -(2**63), 0]),
        "flags": np.array([[True], [False], [True]]),
        "names": np.array(["a", "", "ü"]),
    }
    result = CellResult(FOG, plain.provenance, plain.image_ids, samples)
    with store.writing(plain.provenance):
        store.write(result)
    back = store.read(FOG).samples
    assert {name: array.dtype for name, array in back.items()} == {
        name: array.dtype for name, array in samples.items()
    }
    assert all(back[name].tobytes() == array.tobytes() for name, array in samples.items())


def test_the_same_result_gives_the_same_bytes(store, make_result):
    with store.writing(make_result().provenance):
        store.write(make_result())
        first = store.path(FOG).read_bytes()
        store.write(make_result())
    assert store.path(FOG).read_bytes() == first


def test_another_number_gives_other_bytes(filled, make_result):
    before, result = filled.path(FOG).read_bytes(), make_result()
    result.samples["confusion_matrix"][0, 0, 0] += 1
    with filled.writing(result.provenance):
        filled.write(result)
    assert filled.path(FOG).read_bytes() != before


def test_finished_cells(filled, make_provenance):
    assert filled.finished(make_provenance()) == {Cell("clean", 0), FOG}
    assert filled.cells() == (Cell("clean", 0), FOG)


def test_a_cell_that_was_not_written(filled):
    with pytest.raises(FileNotFoundError, match="cell 'snow-1' is not in"):
        filled.read(Cell("snow", 1))


def test_a_folder_without_a_sweep(store):
    with pytest.raises(FileNotFoundError, match=r"holds no sweep: expected run\.json"):
        store.provenance()


def test_provenance_is_kept(filled, make_provenance):
    assert filled.provenance() == make_provenance()


@pytest.mark.parametrize("where", [(Path, "replace"), (os, "fsync")])
def test_a_failed_write_leaves_the_old_file_alone(filled, make_result, monkeypatch, where):
    before, result = files(filled.folder), make_result()
    result.samples["confusion_matrix"][0, 0, 0] += 1

    def fail(*args):
        raise OSError("no space left on device")

    monkeypatch.setattr(*where, fail)
    with pytest.raises(OSError, match="no space left"):
        filled.write(result)
    assert files(filled.folder) == before


@pytest.mark.parametrize("where", [(Path, "replace"), (os, "fsync")])
def test_a_failed_first_write_leaves_nothing(store, make_result, monkeypatch, where):
    def fail(*args):
        raise KeyboardInterrupt

    with store.writing(make_result().provenance):
        monkeypatch.setattr(*where, fail)
        with pytest.raises(KeyboardInterrupt):
            store.write(make_result())
    assert list((store.folder / "cells").iterdir()) == []


def test_what_a_killed_process_left_is_removed(filled, make_provenance):
    for folder in (filled.folder, filled.folder / "cells"):
        (folder / ".fog-4.npz.123.partial").write_bytes(b"half")
    with filled.writing(make_provenance()):
        pass
    assert not list(filled.folder.rglob("*.partial"))
    assert filled.finished(make_provenance()) == {Cell("clean", 0), FOG}


@pytest.mark.parametrize("part", [0, 0.5, 0.99])
def test_a_truncated_cell_is_damaged_and_not_finished(filled, make_provenance, part):
    path = filled.path(FOG)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(DamagedCellError, match=re.escape(f"'{path}'")):
        filled.read(FOG)
    assert filled.finished(make_provenance()) == {Cell("clean", 0)}


@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
def test_every_flipped_byte_is_noticed(filled, flip):
    """Anywhere in the file, those among them that zip readers skip."""
    path = filled.path(FOG)
    whole = path.read_bytes()
    for index in range(len(whole)):
        damaged = bytearray(whole)
        damaged[index] ^= flip
        path.write_bytes(damaged)
        with pytest.raises(DamagedCellError):
            filled.read(FOG)


def test_a_cell_with_a_flipped_byte_is_not_finished(filled, make_provenance):
    path = filled.path(FOG)
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 3] ^= 0xFF
    path.write_bytes(damaged)
    assert filled.finished(make_provenance()) == {Cell("clean", 0)}


def edited_record(folder, **changes):
    path = folder / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("change", [{"protocol": "all"}, {"macs": 5}, {"digest": "0" * 32}])
def test_an_edited_run_record_is_refused(filled, change):
    edited_record(filled.folder, **change)
    with pytest.raises(DamagedCellError, match=r"run\.json' was altered after it was written"):
        filled.provenance()


def test_a_record_of_a_newer_version_is_left_alone(filled, make_provenance):
    edited_record(filled.folder, format=4)
    before = files(filled.folder)
    with (
        pytest.raises(ValueError, match=r"run\.json' is of format 4, expected 3 or less"),
        filled.writing(make_provenance()),
    ):
        pass
    assert files(filled.folder) == before


def test_a_cell_of_a_newer_version_is_no_damage(filled, make_provenance):
    with np.load(filled.path(FOG)) as file:
        record = json.loads(file["record"].tobytes())
    text = json.dumps({**record, "format": 4}).encode()
    rewrite(filled.path(FOG), record=np.frombuffer(text, np.uint8))
    with pytest.raises(NewerFormatError, match=r"fog-3\.npz' is of format 4"):
        filled.finished(make_provenance())


def as_format_1(store, cell, **changes):
    """The cell's file as it was before its bytes had a hash, and the folder's record too."""
    with np.load(store.path(cell)) as file:
        arrays = {name: file[name] for name in file.files}
    record = {**json.loads(arrays.pop("record").tobytes()), "format": 1, **changes}
    del record["digest"]
    digest = hashlib.blake2b(json.dumps(record, sort_keys=True).encode(), digest_size=16)
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode() + array.tobytes())
    record["digest"] = digest.hexdigest()
    text = np.frombuffer(json.dumps(record).encode(), np.uint8)
    np.savez_compressed(store.path(cell), record=text, **arrays)
    plain = json.loads((store.folder / "run.json").read_text())
    del plain["format"], plain["digest"]
    (store.folder / "run.json").write_text(json.dumps(plain))


def test_folders_of_format_1_are_read(filled, make_result, make_provenance):
    as_format_1(filled, FOG)
    assert_same(filled.read(FOG), make_result())
    assert filled.finished(make_provenance()) == {Cell("clean", 0), FOG}


@pytest.mark.parametrize("severity", ["3", None, 6, float("nan")])
def test_a_severity_that_is_none_is_damage(filled, severity):
    as_format_1(filled, FOG, severity=severity)
    with pytest.raises(DamagedCellError, match=r"fog-3\.npz' (cannot be read|is truncated)"):
        filled.read(FOG)


def test_format_1_is_no_way_around_the_hash(filled):
    """A file that only claims the older format is not what was written."""
    with np.load(filled.path(FOG)) as file:
        record = json.loads(file["record"].tobytes())
    text = json.dumps({**record, "format": 1}).encode()
    rewrite(filled.path(FOG), record=np.frombuffer(text, np.uint8))
    with pytest.raises(DamagedCellError, match="was altered after it was written"):
        filled.read(FOG)


def test_cells_of_other_images_are_not_finished(filled, make_result, make_provenance):
    ids = make_result().image_ids
    assert filled.finished(make_provenance(), image_ids=ids) == {Cell("clean", 0), FOG}
    filled.write(dataclasses.replace(make_result(), image_ids=ids[::-1]))
    assert filled.finished(make_provenance(), image_ids=ids) == {Cell("clean", 0)}


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (("a.png", "b.png"), "holds 2 images, expected 3"),
        (("a.png", "b.png", "a.png"), "holds image 'a.png' 2 times"),
        ((), "holds 0 images, expected 3"),
    ],
)
def test_images_that_cannot_be_are_damage(filled, make_result, make_provenance, ids, message):
    filled.write(dataclasses.replace(make_result(), image_ids=ids))
    with pytest.raises(DamagedCellError, match=message):
        filled.read(FOG)
    assert filled.finished(make_provenance()) == {Cell("clean", 0)}


def rewrite(path, **changes):
    """Write a cell's file again by NumPy's own means, as someone might who wants other numbers."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    np.savez_compressed(path, **{**arrays, **changes})


def test_altered_numbers_are_refused(filled, make_result):
    better = make_result().samples["confusion_matrix"] + 1
    rewrite(filled.path(FOG), confusion_matrix=better)
    with pytest.raises(DamagedCellError, match="was altered after it was written"):
        filled.read(FOG)


def test_a_cell_under_another_name_is_refused(filled):
    filled.path(FOG).rename(filled.path(Cell("snow", 1)))
    with pytest.raises(DamagedCellError, match="holds cell 'fog-3', not 'snow-1'"):
        filled.read(Cell("snow", 1))


@pytest.mark.parametrize(
    "name",
    ["notes.npz", "fog-x.npz", "-3.npz", "fog-0.npz", "fog-6.npz", "fog-03.npz", "fog-３.npz"],  # noqa: RUF001
)
def test_a_file_that_is_no_cell_is_named(filled, name):
    (filled.folder / "cells" / name).write_bytes(b"")
    with pytest.raises(DamagedCellError, match=f"{name}' is not named like a cell"):
        filled.cells()


class Bomb:
    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return open, (self.marker, "w")


def test_pickled_arrays_are_refused_and_not_run(filled, tmp_path):
    marker = tmp_path / "ran"
    rewrite(filled.path(FOG), confusion_matrix=np.array([Bomb(marker)], dtype=object))
    with pytest.raises(DamagedCellError, match=r"cannot be read: .*holds no plain values"):
        filled.read(FOG)
    assert not marker.exists()


def test_a_pickle_named_like_a_cell_is_refused_and_not_run(filled, tmp_path):
    marker = tmp_path / "ran"
    filled.path(FOG).write_bytes(pickle.dumps(Bomb(marker)))
    with pytest.raises(DamagedCellError):
        filled.read(FOG)
    assert not marker.exists()


def test_a_folder_of_another_run_is_refused(filled, make_provenance):
    before = files(filled.folder)
    message = "holds the results of another run .*seed: there 0, now 4; device: there cpu, now H100"
    other = make_provenance(seed=4, device="H100")
    with pytest.raises(ValueError, match=message), filled.writing(other):
        pass
    assert files(filled.folder) == before


def test_another_protocol_may_go_on_in_the_folder(filled, make_provenance):
    with filled.writing(make_provenance(protocol="all")):
        assert filled.finished(make_provenance(protocol="all")) == {Cell("clean", 0), FOG}


def test_a_cell_of_another_run_is_refused(filled, make_result, make_provenance):
    filled.write(make_result(checkpoint_sha256="00" * 32))
    with pytest.raises(ValueError, match=r"fog-3\.npz' was measured with another checkpoint_sha"):
        filled.finished(make_provenance())


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", "null", '{"task": "segmentation"}', "[" * 100_000]
)
def test_a_damaged_run_record(filled, make_provenance, content):
    """Refused by who reads; the sweep writes it anew, since cells say what they are."""
    path = filled.folder / "run.json"
    path.write_text(content)
    with pytest.raises(DamagedCellError, match=r"run\.json' cannot be read"):
        filled.provenance()
    with (
        pytest.raises(ValueError, match="was measured with another seed"),
        filled.writing(make_provenance(seed=5)),
    ):
        pass
    assert path.read_text() == content
    with filled.writing(make_provenance()):
        assert filled.provenance() == make_provenance()
        assert filled.finished(make_provenance())


HOLDER = """
import json, sys, time
from stl_backbones.records import Provenance
from stl_backbones.results import CellStore
provenance = Provenance.from_dict(json.loads(sys.argv[2]))
with CellStore(sys.argv[1]).writing(provenance):
    print("writing", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other_writer(store, make_provenance):
    search = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, store.folder, json.dumps(make_provenance().to_dict())],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": search},
    ) as process:  # fmt: skip
        try:
            assert process.stdout.readline() == "writing\n"
            yield process
        finally:
            process.kill()


def test_one_writer_at_a_time_until_it_is_killed(other_writer, store, make_result):
    result = make_result()
    with (
        pytest.raises(ValueError, match=f"is being written by process {other_writer.pid} on "),
        store.writing(result.provenance),
    ):
        pass
    other_writer.kill()
    other_writer.wait()
    with store.writing(result.provenance):
        store.write(result)
    assert store.finished(result.provenance) == {FOG}


def test_a_killed_writers_children_hold_nothing(store, make_provenance):
    """Worker processes live on for some seconds."""
    code = f"""
import os, sys, time
sys.path.insert(0, {str(ROOT)!r})
from stl_backbones.records import Provenance
from stl_backbones.results import CellStore
record = Provenance.from_dict({make_provenance().to_dict()!r})
with CellStore({str(store.folder)!r}).writing(record):
    if os.fork() == 0:
        time.sleep(30)
        os._exit(0)
    print("ready", flush=True)
    os.kill(os.getpid(), 9)
"""
    writer = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert writer.stdout.readline() == "ready\n"
        writer.wait()
        with store.writing(make_provenance()):
            pass
        os.killpg(writer.pid, 0)  # the child is still there
    finally:
        os.killpg(writer.pid, 9)
        writer.stdout.close()


def test_one_writer_at_a_time_in_one_process(store, make_provenance):
    again = CellStore(store.folder)
    with (
        store.writing(make_provenance()),
        pytest.raises(ValueError, match="is being written by process"),
        again.writing(make_provenance()),
    ):
        pass
    with again.writing(make_provenance()):
        pass


def test_the_folder_is_free_after_an_error_inside(store, make_provenance):
    with pytest.raises(KeyError), store.writing(make_provenance()):
        raise KeyError
    with store.writing(make_provenance()):
        pass


def test_wall_times_are_appended_under_one_header(filled):
    filled.log_time(FOG, 1.25, resumed=False)
    filled.log_time(Cell("clean", 0), 2, resumed=True)
    rows = [row.split(",") for row in (filled.folder / "timing.csv").read_text().splitlines()]
    assert [row[:2] + row[3:] for row in rows] == [
        ["cell", "seconds", "resumed"], ["fog-3", "1.250", "False"], ["clean", "2.000", "True"],
    ]  # fmt: skip
