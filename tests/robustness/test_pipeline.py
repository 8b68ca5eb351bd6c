"""The image is replaced right after it is loaded, wherever a pipeline does that."""

from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.dataset import BaseDataset
from mmengine.registry import TRANSFORMS, init_default_scope
from PIL import Image

from stl_backbones.errors import InputError
from stl_backbones.robustness.loaded_image import LoadedImage
from stl_backbones.robustness.pipeline import ImageLoadedSignal, add_labels, watch

LOAD, LABELS = {"type": "LoadImageFromFile"}, {"type": "LoadAnnotations"}
SMALL = {"type": "Resize", "scale": (24, 16), "keep_ratio": False}
FLIP, KEEP = ({"type": "RandomFlip", "prob": prob} for prob in (1.0, 0.0))
PACK = {"type": "PackSegInputs"}


class Items(BaseDataset):
    def load_data_list(self):
        return [dict(self.item)]

    def __init__(self, item, pipeline):
        self.item = item
        super().__init__(pipeline=pipeline)


@pytest.fixture
def item(tmp_path):
    rng = np.random.default_rng(0)
    path, label = tmp_path / "a.png", tmp_path / "a_label.png"
    cv2.imwrite(str(path), rng.integers(0, 200, (32, 48, 3), np.uint8))
    cv2.imwrite(str(label), rng.integers(0, 3, (32, 48), np.uint8))
    cv2.imwrite(str(tmp_path / "b.png"), rng.integers(0, 200, (32, 48, 3), np.uint8))
    return {
        "img_path": str(path), "seg_map_path": str(label), "other_path": str(tmp_path / "b.png"),
        "label_map": None, "reduce_zero_label": False, "seg_fields": [],
    }  # fmt: skip


@pytest.fixture(autouse=True)
def _scope():
    import mmseg.datasets  # noqa: F401  registers the steps

    init_default_scope("mmseg")


def brighter(image, by=40):
    return image + np.array([by, by // 2, 1], np.uint8)  # RGB


def run(item, pipeline, *, corrupt=brighter, **begin):
    dataset = Items(item, pipeline)
    exchange, steps = watch([dataset])
    exchange.begin(item["img_path"], LoadedImage(), corrupt=corrupt, **begin)
    return dataset[0], exchange, steps


def expected(item, pipeline, corrupt=brighter):
    """What the same pipeline makes of a corrupted copy of the file."""
    made = corrupt(np.ascontiguousarray(cv2.imread(item["img_path"])[..., ::-1]))
    path = item["img_path"].replace("a.png", "copy.png")
    cv2.imwrite(path, made[..., ::-1])
    return Items({**item, "img_path": path}, pipeline)[0]


@pytest.mark.parametrize(
    "pipeline",
    [
        [LOAD, SMALL, PACK],
        [{**LOAD, "to_float32": True}, SMALL, PACK],
        [{**LOAD, "color_type": "grayscale"}, PACK],
        [{"type": "RandomChoice", "transforms": [[LOAD, SMALL]]}, PACK],
        [{"type": "RandomApply", "transforms": [LOAD], "prob": 1.0}, SMALL, PACK],
        [LOAD, SMALL, LOAD, PACK],  # loads the image again
        [{**LOAD, "imdecode_backend": "pillow"}, SMALL, PACK],
    ],
)
def test_the_sample_is_that_of_a_corrupted_copy(item, pipeline):
    sample, exchange, _ = run(item, pipeline)
    assert exchange.loads >= 1
    assert (sample["inputs"] == expected(item, pipeline)["inputs"]).all()


def test_an_image_that_the_loader_does_not_turn_is_corrupted_as_it_is(item):
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(cv2.imread(item["img_path"])).save(item["img_path"], exif=exif)
    as_stored = {**LOAD, "color_type": "color_ignore_orientation"}
    for load, size in ((LOAD, (48, 32)), (as_stored, (32, 48))):
        sample, _, _ = run(item, [load, PACK])
        clean = Items(item, [load, PACK])[0]["inputs"].numpy()
        assert clean.shape[1:] == size
        made = brighter(clean[::-1].transpose(1, 2, 0))[..., ::-1].transpose(2, 0, 1)  # BGR
        np.testing.assert_array_equal(sample["inputs"].numpy(), made)
        # A copy that was made of the image as it is turned has no place beside it.
        copy = item["img_path"].replace("a.png", "copy.png")
        cv2.imwrite(copy, np.zeros((*size[::-1], 3), np.uint8))
        with pytest.raises(ValueError, match="images read otherwise"):
            run(item, [load, PACK], corrupt=None, file=Path(copy))


def test_a_clean_image_is_what_the_pipeline_makes_of_it(item):
    pipeline = [LOAD, SMALL, LABELS, PACK]
    sample, *_ = run(item, pipeline, corrupt=None)
    alone = Items(item, pipeline)[0]
    assert (sample["inputs"] == alone["inputs"]).all()
    one, two = (found["data_samples"].gt_sem_seg.data for found in (sample, alone))
    assert (one == two).all()


def test_other_images_of_the_item_stay_clean(item):
    """A wrapper that loads another file, into another name."""
    mapped = {
        "type": "KeyMapper", "mapping": {"img_path": "other_path", "img": "other"},
        "auto_remap": True, "transforms": [LOAD],
    }  # fmt: skip
    seen = {}

    class Keep:
        def __call__(self, results):
            seen.update(results)
            return results

    run(item, [mapped, LOAD, Keep(), PACK])
    assert (seen["other"] == cv2.imread(item["other_path"])).all()
    assert (seen["img"] != cv2.imread(item["img_path"])).any()


def test_labels_are_added_behind_what_resizes_and_flips(item):
    """Where no step loads them, also in test-time augmentation."""
    views = [[SMALL], [KEEP, FLIP], [PACK]]
    pipeline = [LOAD, {"type": "TestTimeAug", "transforms": views}]
    dataset = Items(item, pipeline)
    exchange, steps = watch([dataset])
    exchange.begin(item["img_path"], LoadedImage())
    assert "gt_sem_seg" not in dataset[0]["data_samples"][0]  # says which steps pack
    add_labels(steps, TRANSFORMS.build)
    exchange.begin(item["img_path"], LoadedImage())
    truth = cv2.imread(item["seg_map_path"], cv2.IMREAD_UNCHANGED)
    samples = dataset[0]["data_samples"]
    assert len(samples) == 2
    for sample in samples:
        assert (sample.gt_sem_seg.data[0].numpy() == truth).all()


def test_the_image_is_loaded_once_for_its_versions(item):
    loads = []

    class Counting:
        def __call__(self, results):
            loads.append(results["img_path"])
            return {**results, "img": cv2.imread(results["img_path"])}

    dataset = Items(item, [Counting(), SMALL, PACK])
    exchange, _ = watch([dataset])
    states = LoadedImage()
    for by in (10, 20, 30):
        exchange.begin(item["img_path"], states, corrupt=partial(brighter, by=by))
        dataset[0]
    assert loads.count(item["img_path"]) == 1


def test_loading_alone_ends_the_pipeline(item):
    dataset = Items(item, [LOAD, SMALL, PACK])
    exchange, _ = watch([dataset])
    states = LoadedImage()
    exchange.begin(item["img_path"], states, only_load=True)
    with pytest.raises(ImageLoadedSignal):
        dataset[0]
    assert len(states.states) == 1


class OfTheName:
    """Reads nothing of the file."""

    def __call__(self, results):
        return {**results, "img": np.full((32, 48, 3), 7, np.uint8)}


class FourChannels:
    def __call__(self, results):
        image = cv2.imread(results["img_path"])
        deep = image.shape[0] == 32 and results["img_path"].endswith("a.png")
        return {**results, "img": np.dstack([image, image[..., :1]]) if deep else image}


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (OfTheName(), r"cannot be corrupted: step OfTheName gives uint8 of shape \(32, 48, 3\)"),
        (FourChannels(), r"FourChannels gives uint8 of shape \(32, 48, 4\), and uint8 of shape"),
    ],
)
def test_loaders_that_a_copy_would_not_reach(item, step, message):
    with pytest.raises(InputError, match=message):
        run(item, [step, PACK])


def test_an_item_that_is_dropped_is_refused(item):
    with pytest.raises(InputError, match=r"gives nothing for '.*a\.png'"):
        run(item, [LOAD, lambda results: None, PACK])


def test_a_data_set_without_a_pipeline():
    with pytest.raises(InputError, match="the test data set object has no pipeline of steps"):
        watch([object()])
