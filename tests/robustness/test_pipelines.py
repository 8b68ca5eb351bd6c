"""Test pipelines: loaded once, corrupted in between, labels of full size, what models read."""

from __future__ import annotations

import copy

import cv2
import mmdet.datasets.transforms  # noqa: F401  registers its steps
import mmseg.datasets.transforms  # noqa: F401
import numpy as np
import pytest
from mmcv.transforms import Compose, LoadImageFromFile
from mmengine.registry import init_default_scope

from stl_backbones.robustness.pipelines import prepare_pipeline, split_after_loading

LOAD, FLIP = {"type": "LoadImageFromFile"}, {"type": "RandomFlip", "prob": 0.0}
PACK, MARK = {"type": "PackSegInputs"}, {"type": "LoadAnnotations"}
SMALL = {"type": "Resize", "scale": (20, 10), "keep_ratio": True}
LARGE = {"type": "Resize", "scale": (80, 40), "keep_ratio": True}
CAST = {"type": "stl_backbones.ToFloat32"}


def augment(*alternatives):
    return {"type": "TestTimeAug", "transforms": [list(steps) for steps in alternatives]}


def choice(*pipelines):
    return {"type": "RandomChoice", "transforms": [list(steps) for steps in pipelines]}


@pytest.fixture
def files(tmp_path):
    """An image of 20x40 and its label map, as a data set hands them to a pipeline."""
    rng = np.random.default_rng(3)
    image, labels = rng.integers(0, 256, (20, 40, 3)), rng.integers(0, 19, (20, 40))
    for name, pixels in (("a.png", image), ("a_label.png", labels)):
        cv2.imwrite(str(tmp_path / name), pixels.astype(np.uint8))
    return {
        "img_path": str(tmp_path / "a.png"),
        "seg_map_path": str(tmp_path / "a_label.png"),
        "reduce_zero_label": False,
        "seg_fields": [],
        "img_id": 7,
    }


def run(steps, results, scope="mmseg"):
    init_default_scope(scope)
    return Compose(copy.deepcopy(steps))(copy.deepcopy(results))


class TestSplit:
    @pytest.mark.parametrize(
        ("pipeline", "behind"),
        [
            ([LOAD, MARK, PACK], 1),
            ([FLIP, LOAD, PACK], 2),
            ([MARK, FLIP, LOAD], 3),
            ([{"type": "mmdet.LoadImageFromFile"}, PACK], 1),
            ([{"type": LoadImageFromFile}, PACK], 1),
            ([LoadImageFromFile(), PACK], 1),
            ([{**LOAD, "color_type": "grayscale", "imdecode_backend": "pillow"}, PACK], 1),
            ([{**LOAD, "to_float32": False}, PACK], 1),
        ],
    )
    def test_behind_the_loading_step(self, pipeline, behind):
        before, after = split_after_loading(pipeline)
        assert (before, after) == (pipeline[:behind], pipeline[behind:])

    @pytest.mark.parametrize("kind", ["LoadImageFromNDArray", "mmdet.LoadImageFromWebcam"])
    def test_steps_that_expect_a_decoded_image_read_the_file(self, kind):
        step = {"type": kind, "imdecode_backend": "pillow"}
        before, after = split_after_loading([MARK, step, PACK])
        assert before == [MARK, {"type": "LoadImageFromFile", "imdecode_backend": "pillow"}]
        assert after == [PACK]

    @pytest.mark.parametrize(
        ("pipeline", "rest"),
        [
            ([augment([LOAD], [SMALL, LARGE], [PACK])], [augment([SMALL, LARGE], [PACK])]),
            ([choice([LOAD, SMALL], [LOAD]), PACK], [choice([SMALL], []), PACK]),
            (
                [{"type": "MultiScaleFlipAug", "img_scale": (9, 9), "transforms": [LOAD, FLIP]}],
                [{"type": "MultiScaleFlipAug", "img_scale": (9, 9), "transforms": [FLIP]}],
            ),
            (
                [{"type": "RandomApply", "transforms": LOAD, "prob": 1.0}, PACK],
                [{"type": "RandomApply", "transforms": [], "prob": 1.0}, PACK],
            ),
            (
                [augment([choice([LOAD, SMALL])], [PACK])],
                [augment([choice([SMALL])], [PACK])],
            ),
            ([LOAD, LOAD, PACK], [PACK]),
            ([LOAD, augment([LOAD], [PACK])], [augment([PACK])]),
            ([LOAD, {"type": "LoadImageFromNDArray"}, PACK], [PACK]),
        ],
    )
    def test_out_of_wrappers_and_once(self, pipeline, rest):
        given = copy.deepcopy(pipeline)
        assert split_after_loading(pipeline) == ([LOAD], rest)
        assert pipeline == given

    def test_other_images_loaders_stay(self):
        other = {"type": "KeyMapper", "mapping": {"img": "ref_img"}, "transforms": [LOAD]}
        assert split_after_loading([LOAD, other, PACK]) == ([LOAD], [other, PACK])

    @pytest.mark.parametrize(
        "loader",
        [
            {**LOAD, "to_float32": True},
            LoadImageFromFile(to_float32=True),
            {"type": "LoadImageFromNDArray", "to_float32": True},
        ],
    )
    def test_the_cast_to_float_comes_after_the_corruption(self, loader, files):
        (loading,), rest = split_after_loading([loader, SMALL])
        assert rest == [CAST, SMALL]
        loaded = run([loading], files)
        assert loaded["img"].dtype == np.uint8
        expected = run([{**LOAD, "to_float32": True}, SMALL], files)["img"]
        found = run(rest, loaded)["img"]
        assert found.dtype == expected.dtype == np.float32
        np.testing.assert_array_equal(found, expected)

    def test_a_built_loader_of_the_users_is_not_changed(self):
        own = LoadImageFromFile(to_float32=True)
        split_after_loading([own, PACK])
        assert own.to_float32 is True

    @pytest.mark.parametrize("pipeline", [[], [MARK, PACK], [{"type": "LoadImageFromFileToo"}]])
    def test_without_a_loader(self, pipeline):
        with pytest.raises(ValueError, match="the pipeline loads no image: expected a LoadImageFr"):
            split_after_loading(pipeline)

    def test_two_ways_of_loading(self):
        gray = {**LOAD, "color_type": "grayscale"}
        with pytest.raises(ValueError, match="loads the image in two ways"):
            split_after_loading([choice([LOAD], [gray]), PACK])


class TestSegmentation:
    def test_a_usual_pipeline_stays(self):
        pipeline = [LOAD, SMALL, MARK, PACK]
        assert prepare_pipeline(pipeline, task="segmentation") == ([LOAD], [SMALL, MARK, PACK])

    @pytest.mark.parametrize(
        ("pipeline", "rest"),
        [
            ([LOAD, SMALL, PACK], [SMALL, MARK, PACK]),
            ([LOAD, MARK, SMALL, FLIP, PACK], [SMALL, FLIP, MARK, PACK]),
            ([MARK, LOAD, SMALL, PACK], [SMALL, MARK, PACK]),
            (
                [LOAD, MARK, {"type": "CheckSegMap"}, SMALL, PACK],
                [SMALL, MARK, {"type": "CheckSegMap"}, PACK],
            ),
            (
                [LOAD, augment([SMALL, LARGE], [FLIP], [PACK])],
                [augment([SMALL, LARGE], [FLIP], [MARK], [PACK])],
            ),
            (
                [LOAD, augment([MARK], [SMALL, LARGE], [PACK])],
                [augment([SMALL, LARGE], [MARK], [PACK])],
            ),
            (
                [LOAD, {**MARK, "reduce_zero_label": True}, augment([SMALL], [PACK])],
                [augment([SMALL], [{**MARK, "reduce_zero_label": True}], [PACK])],
            ),
        ],
    )
    @pytest.mark.filterwarnings("ignore:`reduce_zero_label` will be deprecated:UserWarning")
    def test_the_label_map_keeps_its_size(self, pipeline, rest, files):
        given = copy.deepcopy(pipeline)
        loading, found = prepare_pipeline(pipeline, task="segmentation")
        assert pipeline == given
        assert (loading, found) == ([LOAD], rest)
        steps = [step for step in found if step.get("type") != "CheckSegMap"]
        files["reduce_zero_label"] = "reduce_zero_label" in str(pipeline)
        packed = run(loading + steps, files)["data_samples"]
        labels = cv2.imread(files["seg_map_path"], cv2.IMREAD_UNCHANGED)
        if files["reduce_zero_label"]:
            labels = labels - np.uint8(1)  # 0 becomes 255
        for sample in packed if isinstance(packed, list) else [packed]:
            np.testing.assert_array_equal(sample.gt_sem_seg.data.numpy()[0], labels)

    def test_what_models_and_augmentation_read_is_packed(self, files):
        pack = {**PACK, "meta_keys": ("own", "img_path")}
        loading, rest = prepare_pipeline(
            [LOAD, augment([SMALL], [FLIP], [pack])], task="segmentation"
        )
        kept = rest[0]["transforms"][-1][0]["meta_keys"]
        assert kept[:2] == ("own", "img_path")
        (sample,) = run(loading + rest, files)["data_samples"]
        assert sample.ori_shape == (20, 40)
        assert sample.scale_factor == (0.5, 0.5)
        assert sample.flip is False

    def test_a_pipeline_that_packs_nothing(self):
        with pytest.raises(
            ValueError, match="packs no sample: expected a PackSegInputs or PackDet"
        ):
            prepare_pipeline([LOAD, SMALL], task="segmentation")


PACK_BOXES = {"type": "PackDetInputs", "meta_keys": ("img_path", "ori_shape")}


class TestDetection:
    def test_the_truth_is_left_out_and_the_ids_are_packed(self, files):
        marks = [
            {"type": "LoadAnnotations", "with_bbox": True},
            {"type": "LoadPanopticAnnotations"},
        ]
        loading, rest = prepare_pipeline([LOAD, SMALL, *marks, PACK_BOXES], task="detection")
        assert [step["type"] for step in rest] == ["Resize", "PackDetInputs"]
        sample = run(loading + rest, files, scope="mmdet")["data_samples"]
        assert (sample.img_id, sample.ori_shape, sample.scale_factor) == (7, (20, 40), (0.5, 0.5))

    def test_augmented(self, files):
        pipeline = [augment([LOAD], [SMALL, LARGE], [{"type": "LoadAnnotations"}], [PACK_BOXES])]
        loading, rest = prepare_pipeline(pipeline, task="detection")
        assert loading == [LOAD]
        assert [len(steps) for steps in rest[0]["transforms"]] == [2, 1]
        views = run(loading + rest, files, scope="mmdet")
        assert [tuple(view.shape) for view in views["inputs"]] == [(3, 10, 20), (3, 40, 80)]
        assert [view.img_id for view in views["data_samples"]] == [7, 7]

    def test_without_stated_keys_the_librarys_stay(self):
        bare = {"type": "PackDetInputs"}
        assert prepare_pipeline([LOAD, bare], task="detection") == ([LOAD], [bare])
