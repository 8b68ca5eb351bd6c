"""Segmentation and detection on sets of other images, from layout to page."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from toys import box_of, nearest

import stl_backbones as stl
from stl_backbones.results import CellStore
from stl_backbones.robustness.items import CITYSCAPES

PLAIN = {"version": "1", "progress": False, "workers": 0, "mode": "fast"}


def scene(root, image, label, *, wrong=0):
    """Road above, car below, and the columns of the car that a model by colour takes for road."""
    truth = np.zeros((8, 16), np.uint8)
    truth[4:] = 13
    pixels = np.stack([10 * truth] * 3, axis=2)
    pixels[4:, :wrong] = 0
    for name, array in ((image, pixels), (label, truth)):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(root / name)


def by_colour(images):
    return [(image[..., 0] // 10).astype(np.uint8) for image in images]


@pytest.fixture
def cities(tmp_path):
    """Cityscapes, and an ACDC whose night is half wrong."""
    stem = "val/bonn/bonn_000000_000019"
    scene(tmp_path / "city", f"leftImg8bit/{stem}_leftImg8bit.png",
          f"gtFine/{stem}_gtFine_labelTrainIds.png")  # fmt: skip
    for condition, wrong in (("fog", 0), ("night", 8)):
        for number in (1, 2):
            frame = f"{condition}/val/GP/GP_frame_{number:06d}"
            scene(tmp_path / "acdc", f"rgb_anon/{frame}_rgb_anon.png",
                  f"gt/{frame}_gt_labelTrainIds.png", wrong=wrong)  # fmt: skip
    return tmp_path


def test_conditions_are_scored_from_their_own_sums(cities, tmp_path):
    result = stl.evaluate(
        by_colour, cities / "city", work_dir=tmp_path / "w", corruptions="none",
        sets=[cities / "acdc"], allow_missing=True, **PLAIN,
    )  # fmt: skip
    record = CellStore(tmp_path / "w/acdc").provenance()
    assert (record.dataset, record.classes) == ("ACDC val", CITYSCAPES)
    assert (record.num_images, record.num_images_total) == (4, 406)
    page = (result.report(out=tmp_path / "r").folder / "report.md").read_text()
    # Of night a half of the car is taken for road: IoU 64 / 96 and 32 / 64.
    night = 100 * (64 / 96 + 32 / 64) / 2
    whole = 100 * (256 / 320 + 192 / 256) / 2
    rows = {line.split("|")[1].strip(): line for line in page.splitlines() if line.startswith("| ")}
    assert f" {night:.1f} " in rows["night"]
    assert rows["fog"].split("|")[2].strip().startswith("100.0")
    assert [cell.strip() for cell in rows["night"].split("|")[3:5]] == ["2", "2"]
    assert f" {whole:.1f} (" in rows["ACDC val"]
    assert "not complete: 4 images of 406" in page


def boxes(images):
    found = [box_of(nearest(image)) for image in images]
    return [stl.Detections(box, np.ones(len(box)), one) for box, one in found]


def test_coco_o_is_the_mean_of_its_domains(coco, tmp_path):
    """All objects are found in five domains; in the sixth they are called otherwise."""
    root, (annotations, images) = tmp_path / "ood_coco", coco
    content = json.loads(annotations.read_text())
    for domain in ("sketch", "weather", "cartoon", "painting", "handmake", "tattoo"):
        (root / domain / "annotations").mkdir(parents=True)
        (root / domain / "val2017").symlink_to(images)
        if domain == "tattoo":
            for one in content["annotations"]:
                one["category_id"] = 15 - one["category_id"]
        path = root / domain / "annotations/instances_val2017.json"
        path.write_text(json.dumps(content))
    result = stl.evaluate(
        boxes, coco, work_dir=tmp_path / "w", corruptions="none", sets=[f"coco-o={root}"],
        allow_missing=True, **PLAIN,
    )  # fmt: skip
    (found,) = result.findings(0).aggregates
    assert found["clean"].value == 1
    assert found["coco-o-tattoo"].value == 0
    assert found["coco-o"].value == pytest.approx(5 / 6)
    assert found["effective_robustness"].value == pytest.approx(5 / 6 - 0.45)
    page = (result.report(out=tmp_path / "r").folder / "report.md").read_text()
    assert "COCO-O tattoo" in page
    shutil.rmtree(tmp_path / "w/coco-o-tattoo")
    (found,) = stl.load(tmp_path / "w").findings(0).aggregates
    assert found["coco-o"].missing == ("set coco-o-tattoo",)  # missing is never zero


def test_allow_missing_is_for_sets(cities, tmp_path):
    with pytest.raises(ValueError, match="allow_missing: not an option of segmentation without"):
        stl.evaluate(by_colour, cities / "city", work_dir=tmp_path, allow_missing=True, **PLAIN)
