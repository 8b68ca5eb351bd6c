"""A sweep in one file: the same report, and what was altered does not survive."""

import csv
import json
import zipfile

import numpy as np
import pytest

from stl_backbones.records import CLEAN
from stl_backbones.report import make_report, write_bundle
from stl_backbones.results import CellStore

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


def with_index(**changes):
    def change(contents):
        index = json.loads(contents["bundle.json"]) | changes
        return contents | {"bundle.json": json.dumps(index).encode()}

    return change


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
    ],
)
def test_what_is_no_bundle(change, message, folder, tmp_path):
    bundle = rewritten(write_bundle(folder, tmp_path / "a.bundle.zip"), change)
    with pytest.raises(ValueError, match=message):
        make_report([bundle])


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
