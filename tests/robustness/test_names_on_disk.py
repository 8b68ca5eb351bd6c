"""Corruptions that only a copy on disk has: scored and reported without a registration."""

import numpy as np
import pytest
from PIL import Image

import stl_backbones as stl
from stl_backbones.records import CLEAN, Cell
from stl_backbones.report import make_report
from stl_backbones.results import CellStore
from stl_backbones.robustness.options import SweepOptions

LEVELS = {"fog": "12345", "mosaic": [f"intensity_level_{n}" for n in range(1, 6)],
          "fog_3d": "12345"}  # fmt: skip
RESOLVED = {"protocol": "imagenet-c", "batch_size": 4}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Grey images, of class 'dark' or 'light', that each corruption makes lighter."""
    root = tmp_path_factory.mktemp("data")

    def write(folder, lift):
        for name, value in (("dark", 20), ("light", 200)):
            (folder / name).mkdir(parents=True)
            Image.new("RGB", (48, 40), (value + lift,) * 3).save(folder / name / "0.png")

    write(root / "clean", 0)
    for name, levels in LEVELS.items():
        for number, level in enumerate(levels, start=1):
            write(root / "c" / name / level, number * {"fog": 5, "mosaic": 11, "fog_3d": 30}[name])
    return root


def predict(images):
    return [np.array([1.0, 0.0] if image.mean() < 60 else [0.0, 1.0]) for image in images]


def test_they_are_scored_beside_the_protocols_own_and_reported(data, tmp_path):
    stl.evaluate(predict, data / "clean", work_dir=tmp_path / "s", corrupted_root=data / "c",
                 corruptions=["mosaic", "fog", "fog_3d"], workers=0, version="1",
                 progress=False)  # fmt: skip
    store = CellStore(tmp_path / "s")
    right = {cell: store.read(cell).samples["prediction"].tolist() for cell in store.cells()}
    assert right.pop(CLEAN) == [0, 1]
    lifts = {"fog": 5, "mosaic": 11, "fog_3d": 30}
    assert len(right) == 15
    for cell, predictions in right.items():
        assert predictions == [int(20 + lifts[cell.corruption] * cell.severity >= 60), 1]
    record = store.provenance()
    assert record.custom_versions == {"mosaic": "from disk", "fog_3d": "from disk"}
    assert record.notes == (
        "severity folders of mosaic in the corrupted copy: "
        + ", ".join(f"intensity_level_{n} as {n}" for n in range(1, 6)),
    )
    assert record.inference.startswith("whole images")
    page = make_report([tmp_path / "s"], out=tmp_path / "r", resamples=0)
    lines = (page.folder / "report.md").read_text().splitlines()
    heads = [line for line in lines if "From disk" in line and "Weather" in line]
    assert heads
    under = lines[lines.index(heads[0]) + 2]
    assert [word.strip() for word in under.split("|")][-4:-1] == ["Fog", "Fog 3d", "Mosaic"]


def options(data, *names, **chosen):
    return SweepOptions(corruptions=names, corrupted_root=data / "c", **chosen).resolved(**RESOLVED)


def test_groups_and_severities_hold_for_them_too(data):
    found = options(data, "blur", "mosaic", severities=[2, 4]).cells()
    assert Cell("glass_blur", 4) in found
    assert found[-2:] == (Cell("mosaic", 2), Cell("mosaic", 4))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mosiac", "'mosiac' is in no protocol, and .* fog, fog_3d, mosaic; did you mean mosaic"),
        ("../c", r"'../c' is in no protocol"),
        ("speckle_noise", "'speckle_noise' is not part of protocol 'imagenet-c'"),
        ("average", "cannot be kept under the name 'average'"),
        ("my fog", "cannot be kept under the name 'my fog'"),
    ],
)
def test_names_that_are_not_there_or_of_no_use(name, message, data):
    if "kept" in message:
        (data / "c" / name / "1").mkdir(parents=True, exist_ok=True)
    try:
        with pytest.raises((KeyError, ValueError), match=message):
            options(data, name)
    finally:
        if "kept" in message:
            (data / "c" / name / "1").rmdir()
            (data / "c" / name).rmdir()


def test_without_a_copy_they_are_unknown(data):
    with pytest.raises(KeyError, match="mosaic"):
        SweepOptions(corruptions=["mosaic"]).resolved(**RESOLVED)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        SweepOptions(corruptions=["mosaic"], corrupted_root=data / "no").resolved(**RESOLVED)
