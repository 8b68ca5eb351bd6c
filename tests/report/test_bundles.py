"""A sweep in one file: the same report, and what was altered does not survive."""

import csv
import hashlib
import io
import json
import zipfile
from unittest import mock

import numpy as np
import pytest

from stl_backbones.records import CLEAN
from stl_backbones.report import make_report, write_bundle
from stl_backbones.results import CellStore, arrays

SETS = {"imagenet-sketch": 4, "imagenet-r": 9, "imagenet-r-clean": 18}


def aggregates(path, out, **options):
    return (make_report([path], out=out, **options).folder / "aggregates.csv").read_text()


@pytest.fixture
def folder(make_classified):
    return make_classified("stl", sets=SETS)


def rewritten(path, change):
    """A bundle with an entry changed: name, content -> content."""
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    contents = change(contents)
    other = path.with_name("other.bundle.zip")
    with zipfile.ZipFile(other, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return other


def with_index(*, lacks=(), **changes):
    def change(contents):
        index = json.loads(contents["bundle.json"]) | changes
        index = {key: value for key, value in index.items() if key not in lacks}
        return contents | {"bundle.json": json.dumps(index).encode()}

    return change


def with_file(name, content):
    """A file with the hash that it has."""

    def change(contents):
        known = json.loads(contents["bundle.json"])["sha256"]
        known |= {name: hashlib.sha256(content).hexdigest()}
        return with_index(sha256=known)(contents | {name: content})

    return change


def archive_of(**files):
    """A packed archive of zeros."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, size in files.items():
            archive.writestr(name, bytes(size))
    return buffer.getvalue()


def test_a_bundle_reports_as_its_folder(folder, tmp_path):
    bundle = write_bundle(folder, tmp_path / "a.bundle.zip")
    assert aggregates(bundle, tmp_path / "r1") == aggregates(folder, tmp_path / "r2")
    again = write_bundle(folder, tmp_path / "b.bundle.zip")
    assert bundle.read_bytes() == again.read_bytes()


def test_without_records_the_numbers_stand_and_are_marked(folder, tmp_path):
    bundle = write_bundle(folder, tmp_path / "a.bundle.zip", records=False)
    assert bundle.stat().st_size < 1e5
    lines = csv.DictReader(aggregates(bundle, tmp_path / "r", resamples=0).splitlines())
    found = {line["aggregate"]: line["value"] for line in lines}
    assert float(found["average"]) == pytest.approx(0.5)
    assert float(found["imagenet-sketch"]) == pytest.approx(0.2)
    page = (tmp_path / "r/report.md").read_text()
    assert "UNVERIFIED: numbers of a bundle without records" in page
    with pytest.raises(ValueError, match="--slices needs the records of images; 'STL' is a bundle"):
        make_report([bundle], out=tmp_path / "r", slices=["brightness"])


def test_a_forged_number_does_not_survive(folder, tmp_path):
    bundle = write_bundle(folder, tmp_path / "a.bundle.zip")
    cells = json.loads(zipfile.ZipFile(bundle).read("bundle.json"))["cells"]
    cells[""]["fog-3"]["top1"] = 0.99
    with pytest.raises(ValueError, match=r"states top1 0.99 for cell 'fog-3', its records come to"):
        make_report([rewritten(bundle, with_index(cells=cells))])


def test_forged_records_do_not_survive(folder, tmp_path):
    bundle = write_bundle(folder, tmp_path / "a.bundle.zip")

    def other_cell(contents):
        return contents | {"cells/fog-3.npz": contents["cells/fog-1.npz"]}

    with pytest.raises(ValueError, match=r"'cells/fog-3.npz' was altered after it was written"):
        make_report([rewritten(bundle, other_cell)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (with_index(format=2), "bundle of format 2, expected 1.*newer stl_backbones"),
        (lambda c: c | {"../run.json": b""}, r"holds other files than it lists \(../run.json\)"),
        (lambda c: c | {"cells/x.pkl": b""}, "holds other files than it lists"),
        (lambda c: {k: v for k, v in c.items() if k != "cells/clean.npz"}, "other files than it"),
        (lambda c: {}, "no bundle, or cut short"),
        (with_index(lacks=["records"]), "no bundle, or cut short: 'records'"),
        (with_index(lacks=["cells"]), "no bundle, or cut short: 'cells'"),
        (with_index(cells=[1]), "no bundle, or cut short: 'list'"),
        (with_index(cells={}), "states no numbers of a sweep"),
        (with_index(cells={"": {"fog-3": {"top1": float("nan")}}}), "values that are no numbers"),
        (with_index(cells={"": {"fog-3": {"top1": 10**400}}}), "values that are no numbers"),
        (with_index(cells={"": {"fog-3": {"nll": 1e308}}}), "values that are no numbers"),
        (
            with_index(cells={"": {"fog-3": {"top1": 1.5}}}, records=False),
            "states top1 1.5 for cell 'fog-3', expected a fraction from 0 to 1",
        ),
        (with_index(cells={"": {"fog": {}}}, records=False), "no bundle"),
        (with_index(cells={"../x": {}}, records=False), "numbers of '../x', whose run.json it la"),
        (lambda c: c | {"bundle.json": b"[]"}, "no bundle, or cut short"),
    ],
)
def test_what_is_no_bundle(change, message, folder, tmp_path):
    bundle = rewritten(write_bundle(folder, tmp_path / "a.bundle.zip"), change)
    with pytest.raises(ValueError, match=message):
        make_report([bundle])


def test_what_unpacks_to_far_more_than_it_is(folder, tmp_path):
    """Neither the archive nor a cell in it may fill memory or disk."""
    (tmp_path / "b.bundle.zip").write_bytes(archive_of(**{"run.json": 200 << 20}))
    with pytest.raises(ValueError, match="unpack to 209715200, expected at most"):
        make_report([tmp_path / "b.bundle.zip"])
    bundle = write_bundle(folder, tmp_path / "a.bundle.zip")
    with mock.patch.object(arrays, "MOST", 1 << 20):
        big = with_file("cells/fog-3.npz", archive_of(**{"label.npy": 2 << 20}))
        with pytest.raises(ValueError, match=r"'cells/fog-3.npz' cannot be.* unpacks to 2097152 b"):
            make_report([rewritten(bundle, big)])


def test_another_sets_record(folder, tmp_path):
    """With and without records."""
    name = "imagenet-r/run.json"
    other = with_file(name, (folder / "imagenet-sketch/run.json").read_bytes())
    for records, message in ((True, "not hold together: 'imagenet-r/cells/clean.npz' was measured"),
                             (False, r"imagenet-r' holds data set 'ImageNet-Sketch'")):  # fmt: skip
        bundle = write_bundle(folder, tmp_path / "a.bundle.zip", records=records)
        with pytest.raises(ValueError, match=message):
            make_report([rewritten(bundle, other)])


def test_a_file_that_is_no_archive(tmp_path):
    (tmp_path / "a.bundle.zip").write_bytes(b"PK no")
    with pytest.raises(ValueError, match="no bundle, or cut short"):
        make_report([tmp_path / "a.bundle.zip"])


def test_detections_and_matrices_go_along(make_detected, make_store, tmp_path):
    for name, made in (("det", make_detected("det")), ("seg", make_store("seg"))):
        bundle = write_bundle(made, tmp_path / f"{name}.bundle.zip")
        report = make_report([bundle], out=tmp_path / f"r{name}", resamples=0)
        assert "PARTIAL" not in report.text


def test_pickled_samples_are_not_read(folder, tmp_path):
    bundle = write_bundle(folder, tmp_path / "a.bundle.zip")
    path = CellStore(folder).path(CLEAN)
    np.savez(path, label=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match=r"clean\.npz"):
        write_bundle(folder, tmp_path / "b.bundle.zip")
    assert bundle.is_file()
