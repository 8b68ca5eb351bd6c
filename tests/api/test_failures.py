"""Pictures of failures: the right images, predicted as in the sweep; a line for what is wrong."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from toys import box_of, nearest, squares

import stl_backbones as stl
from stl_backbones.cli.commands import show_failures
from stl_backbones.cli.failures import run
from stl_backbones.cli.robustness_options import make_robustness_parser
from stl_backbones.cli.sweep_command import COMMAND, keep_command
from stl_backbones.errors import InputError, MissingFileError, UnknownNameError
from stl_backbones.results import CellStore
from stl_backbones.results.failure_index import read_pictures
from stl_backbones.shift_sets import SHIFT_SETS

NAMES = ("ground", "leaf", "brick")
CHOSEN = {"corruptions": ["fog", "contrast"], "severities": [5], "mode": "fast", "progress": False,
          "workers": 0, "version": "1"}  # fmt: skip


class BlindUnderFog:
    """Knows every image of the sweep, and sees no leaf under fog; counts what it is asked."""

    name = "blind"
    seen = 0

    def __init__(self):
        self.answers = {}
        for index in range(4):
            image, label = squares(index)
            for corruption in ("", "fog", "contrast"):
                shown = image
                if corruption:
                    shown = stl.corrupt(image, corruption, 5, key=f"city/{index}.png")
                blind = np.where(label == 1, 0, label) if corruption == "fog" else label
                self.answers[shown.tobytes()] = blind.astype(int)

    def predict(self, images):
        self.seen += len(images)
        return [self.answers[image.tobytes()] for image in images]


@pytest.fixture
def blind(maps, tmp_path):
    model = BlindUnderFog()
    return model, stl.evaluate(model, maps, classes=NAMES, work_dir=tmp_path / "s", **CHOSEN)


def test_images_that_a_licence_forbids_to_show(blind, tmp_path, monkeypatch):
    hidden = SHIFT_SETS["objectnet-113-cut"].title
    record = replace(CellStore(tmp_path / "s").provenance(), dataset=hidden)
    monkeypatch.setattr(CellStore, "provenance", lambda store: record)
    with pytest.raises(InputError, match=r"images of ObjectNet .* are never shown"):
        blind[1].failures()
    assert not (tmp_path / "s/failures").exists()


def test_a_class_that_fog_hides_is_what_is_shown(blind):
    made = blind[1].failures()
    assert [(one.cell, one.image) for one in made.pictures] == [
        ("fog-5", "city/0.png"), ("fog-5", "city/2.png"),
    ]  # fmt: skip
    for one in made.pictures:
        assert "leaf to ground 100.0 % of its pixels" in one.caption
        assert one.note == ""  # predicted as in the sweep
    assert [one.image for one in blind[1].failures(by="class:leaf").pictures] == [
        "city/0.png", "city/2.png",
    ]  # fmt: skip
    with pytest.raises(InputError, match="no image is worse in fog-5, contrast-5 than clean"):
        blind[1].failures(by="class:brick")


def test_the_panels_are_the_images_and_the_lost_pixels(blind):
    made = blind[1].failures(cells=["fog/5"], count=1)
    image, label = squares(0)
    picture = np.array(Image.open(made.folder / made.pictures[0].file))
    top, step = 8 + 2 * 20 + 8 + 20, 288 + 8  # margin, two lines, a gap, the panel's title
    rows, columns = np.arange(48) * 216 // 48 + 2, np.arange(64) * 288 // 64 + 2
    shown = [picture[top:, 8 + step * place :][rows][:, columns] for place in range(3)]
    assert (shown[0] == image).all()
    assert (shown[1] == stl.corrupt(image, "fog", 5, key="city/0.png")).all()
    differing = picture[top + 216 + 8 + 20 :, 8 + 2 * step :][rows][:, columns]
    assert ((differing == (213, 94, 0)).all(axis=-1) == (label == 1)).all()


def test_two_predictions_a_picture_and_the_same_bytes(blind):
    model, result = blind
    found = []
    for count in (1, 2):
        before = model.seen
        found.append((result.failures(cells=["fog/5"], count=count), model.seen - before))
    assert found[1][1] - found[0][1] == 2
    assert found[0][0].pictures[0] == found[1][0].pictures[0]


def test_what_is_wrong_is_said_in_a_line(blind, maps, tmp_path):
    model, result = blind
    again = {"classes": NAMES, "version": "1"}
    for change, said in (
        ({"version": "2"}, "not the sweep's model and data .config_sha256"),
        ({"seed": 1}, "seed: there 0, now 1"),
        ({"by": "best"}, "must be drop, worst, random or class:NAME, got 'best'"),
        ({"picture_format": "gif"}, "must be png or jpeg, got 'gif'"),
        ({"cells": ["fog"]}, "CORRUPTION/SEVERITY"),
    ):
        with pytest.raises(InputError, match=said):
            stl.show_failures(result, model, maps, **{**again, **change})
    with pytest.raises(UnknownNameError, match="unknown class 'lea'; did you mean leaf"):
        stl.show_failures(result, model, maps, by="class:lea", **again)
    with pytest.raises(MissingFileError, match="has no cell 'fog/4', but fog/5"):
        stl.show_failures(result, model, maps, cells=["fog/4"], **again)
    with pytest.raises(InputError, match="no model at hand: call"):
        stl.load(tmp_path / "s").failures()


def test_objects_and_classes(coco, folders, tmp_path):
    def boxes(images):
        """What is a leaf or a brick; nothing on images of little contrast."""
        found = [box_of(nearest(image) if image.std() > 55 else nearest(image) * 0)
                 for image in images]  # fmt: skip
        return [stl.Detections(box, np.ones(len(box)), one) for box, one in found]

    def classes(images):
        return [[1.0, 0.0] if image.std() < 55 else
                np.bincount(nearest(image).ravel(), minlength=3)[1:] / 100
                for image in images]  # fmt: skip

    options = {**CHOSEN, "corruptions": ["contrast"]}
    found = stl.evaluate(boxes, coco, work_dir=tmp_path / "boxes", **options)
    for one in found.failures(count=1, picture_format="jpeg").pictures:
        assert one.caption == (
            "objects found: 1 of 1 clean, 0 corrupted; lost: 1 leaf; "
            "detections without an object: 0 clean, 0 corrupted"
        )
        assert one.file.endswith(".jpg")
    found = stl.evaluate(classes, folders, classes=["leaf", "brick"], work_dir=tmp_path / "classes",
                         **options)  # fmt: skip
    made = stl.show_failures(tmp_path / "classes", classes, folders, classes=["leaf", "brick"],
                             version="1", by="class:brick")  # fmt: skip
    assert {one.image[:5] for one in made.pictures} == {"brick"}
    for one in made.pictures:
        assert one.caption.startswith("truth brick; clean brick 1.00")
        assert "corrupted leaf 0.73 (rival: brick 0.27)" in one.caption
        assert one.note == ""


@pytest.fixture
def swept(maps, tmp_path, monkeypatch):
    """A sweep by the command line, from a folder that the process then leaves."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    code = "import numpy as np\ndef predict(images):\n    return [np.zeros(i.shape[:2], int) + (" \
           "i.std() < 55) for i in images]\ndef build():\n    return predict\n"  # fmt: skip
    code_file = f"{tmp_path.name}.py"  # a module's name is taken once in a process
    (home / code_file).write_text(code)
    (home / "names.txt").write_text("\n".join(NAMES))
    words = ["--model", f"{code_file}:build", "--images", "../images", "--truth", "../labels",
             "--classes", "names.txt", "--corruptions", "contrast", "--severities", "5",
             "--mode", "fast", "--work-dir", "../s"]  # fmt: skip
    args = make_robustness_parser("").parse_args(words)
    from stl_backbones.cli import robustness

    keep_command(args, robustness.run(args))
    monkeypatch.chdir("/")
    return tmp_path / "s", words


def shown(folder, *words, command=None):
    return run(show_failures.parse().parse_args([str(folder), *words]), command, say=lambda _: None)


def test_the_folder_alone_is_enough(swept, tmp_path, monkeypatch):
    folder, words = swept
    made = shown(folder, "--count", "2")
    assert len(read_pictures(folder, stl.load(folder).provenance[0])) == 2
    monkeypatch.chdir(tmp_path / "home")
    (folder / COMMAND).unlink()
    with pytest.raises(MissingFileError, match="the model is not known: give it again, as for"):
        shown(folder)
    assert shown(folder, "--count", "2", command=words).pictures == made.pictures


@pytest.mark.parametrize("value", [None, {"a": 1}, [["fog"]], [None]])
def test_options_that_are_none(swept, value):
    folder, _ = swept
    record = json.loads((folder / COMMAND).read_text())
    record["options"]["corruptions"] = value
    (folder / COMMAND).write_text(json.dumps(record))
    with pytest.raises(InputError, match="has no plain value for option 'corruptions'"):
        shown(folder)


def test_code_beside_the_results_is_not_run(swept):
    folder, _ = swept
    record = json.loads((folder / COMMAND).read_text())
    (folder / "mine.py").write_text("raise SystemExit(3)\n")
    for options in (
        {"model": str(folder / "mine.py:build")}, {"custom_imports": [str(folder / "mine.py")]},
        {"config": str(folder / "mine.py")},
    ):  # fmt: skip
        text = {**record, "options": {**record["options"], **options}}
        (folder / COMMAND).write_text(json.dumps(text))
        with pytest.raises(InputError, match="names code in the sweep's own folder"):
            shown(folder)
