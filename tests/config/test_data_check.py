"""A built model and a built data set that belong together, or do not."""

import json
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.registry import DATASETS, MODELS, init_default_scope
from PIL import Image

from stl_backbones.config.data_check import (
    check_data,
    check_truth,
    find_heads,
    ignored_label,
    naming_empty_data,
)
from stl_backbones.config.openmmlab import strip_pretrained
from stl_backbones.config.reading import building, load_config

STEPS = [{"type": "LoadImageFromFile"}, {"type": "LoadAnnotations"}, {"type": "PackSegInputs"}]
CLASSES = ("road", "car", "sky")


@pytest.fixture
def scope():
    """The scope is the library's; what is warned of is kept."""
    return init_default_scope


@pytest.fixture
def warned(monkeypatch):
    said = []
    monkeypatch.setattr(
        "stl_backbones.config.data_check.print_log", lambda text, **_: said.append(text)
    )
    return said


@pytest.fixture
def segmentation(tmp_path, scope):
    """Writes label maps of the given pixels, and builds the data set of them."""
    scope("mmseg")

    def build(*label_maps, size=None, steps=STEPS, **settings):
        for number, labels in enumerate(label_maps):
            pixels = np.asarray(labels, np.uint8)
            for folder, kind in (("img", "jpg"), ("ann", "png")):
                (tmp_path / folder).mkdir(exist_ok=True)
                image = Image.fromarray(pixels if folder == "ann" else np.zeros_like(pixels))
                image.resize(size or image.size if folder == "img" else image.size, 0).save(
                    tmp_path / folder / f"{number}.{kind}"
                )
        base = {
            "type": "BaseSegDataset", "data_root": str(tmp_path), "pipeline": steps,
            "data_prefix": {"img_path": "img", "seg_map_path": "ann"},
            "metainfo": {"classes": CLASSES}, "test_mode": True,
        }  # fmt: skip
        return DATASETS.build({**base, **settings})

    return build


def head(**settings):
    default = {"num_classes": 3, "out_channels": 3, "ignore_index": 255, "loss_decode": None}
    return SimpleNamespace(**{**default, **settings})


def segmentor(**settings):
    return SimpleNamespace(decode_head=head(**settings), named_modules=list)


def labels(*values):
    return np.resize(np.asarray(values), (8, 8))


ALL = labels(0, 1, 2, 255)


class TestSegmentation:
    def test_what_fits_is_passed_in_silence(self, segmentation, warned):
        check_data(segmentor(), segmentation(ALL), split="test")
        assert warned == []

    def test_another_number_of_classes(self, segmentation):
        message = (
            r"the model has 19 classes \(decode_head\), the data set 3: road, car, sky; --cfg-opt"
        )
        with pytest.raises(ValueError, match=message):
            check_data(segmentor(num_classes=19), segmentation(ALL), split="test")

    @pytest.mark.parametrize("inner", ["auxiliary_head", "decode_head"])
    def test_of_any_head(self, segmentation, inner):
        model = SimpleNamespace(named_modules=list, **{inner: [head(), head(num_classes=4)]})
        with pytest.raises(ValueError, match=rf"the model has 4 classes \({inner}.1\)"):
            check_data(model, segmentation(ALL), split="test")

    def test_labels_above_the_classes_by_file(self, segmentation):
        message = r"'.*ann/1\.png' holds labels that are no class: expected 0\.\.2 or 255 .* got 7"
        with pytest.raises(ValueError, match=message):
            check_data(segmentor(), segmentation(ALL, labels(0, 1, 7)), split="test")

    def test_ignored_by_evaluator_or_data_set_they_may_be(self, segmentation, warned):
        data = segmentation(labels(0, 1, 2, 7), ignore_index=7)
        check_data(segmentor(), data, split="test")
        assert warned == ["label 7 is ignored, as the data set says; the head 255"]
        metrics = [SimpleNamespace(ignore_index=9)]
        check_data(segmentor(), segmentation(labels(0, 1, 2, 9)), split="test", metrics=metrics)

    @pytest.mark.parametrize(
        ("metrics", "data", "head", "expected"),
        [
            (
                [9],
                7,
                255,
                (9, "label 9 is ignored, as the evaluator says; the data set 7, the head 255"),
            ),
            ([None], 7, 7, (7, "")),
            ([], None, 4, (4, "")),
            ([], None, None, (255, "")),
            ([9, 8], None, 9, (9, "label 9 is ignored, as the evaluator says; the evaluator 8")),
        ],
    )
    def test_who_says_which_label_is_ignored(self, metrics, data, head, expected):
        owners = [[SimpleNamespace(ignore_index=label) for label in part]
                  for part in ([data], metrics)]  # fmt: skip
        assert ignored_label(segmentor(ignore_index=head), *owners) == expected

    def test_a_label_map_of_another_size(self, segmentation):
        message = r"'.*ann/0\.png' is 8x8, its image 16x12"
        with pytest.raises(ValueError, match=message):
            check_data(segmentor(), segmentation(ALL, size=(16, 12)), split="test")

    def test_a_resize_between_image_and_labels_is_none(self, segmentation, warned):
        steps = [STEPS[0], {"type": "Resize", "scale": (32, 32)}, *STEPS[1:]]
        check_data(segmentor(), segmentation(ALL, steps=steps), split="test")
        assert warned == []

    def test_labels_are_those_after_the_data_sets_own_map(self, segmentation, warned):
        data = segmentation(labels(0, 1, 2, 3), reduce_zero_label=True)
        check_data(segmentor(), data, split="test")
        assert warned == []

    def test_a_class_that_never_occurs_and_many_ignored_pixels(self, segmentation, warned):
        check_data(segmentor(), segmentation(labels(0, 2, 255, 255)), split="val")
        assert warned == [
            "val: in 1 of 1 images looked at, 50% of all pixels are ignored (255)",
            "val: in 1 of 1 images looked at, 1 of 3 classes do not occur: car",
        ]

    @pytest.mark.parametrize("split", ["val", "test"])
    def test_labels_that_are_all_ignored_are_no_truth(self, segmentation, split):
        """As those of Cityscapes' test split."""
        message = rf"{split}: in 2 of 2 images looked at, all pixels are ignored .*ann/0\.png"
        with pytest.raises(ValueError, match=message):
            check_data(segmentor(), segmentation(labels(255), labels(255)), split=split)
        check_data(segmentor(), segmentation(labels(255), labels(0)), split=split)

    def test_training_goes_on_where_few_images_are_labelled(self, segmentation, warned):
        check_data(segmentor(), segmentation(labels(255), labels(255)), split="train")
        assert "100% of all pixels are ignored" in warned[0]

    def test_images_of_another_suffix_are_counted(self, segmentation, warned, tmp_path):
        data = segmentation(ALL)
        for name in ("9.png", "deeper/8.png", "7.tif", "._6.png", "__MACOSX/5.png", "note.txt"):
            (tmp_path / "img" / name).parent.mkdir(exist_ok=True)
            (tmp_path / "img" / name).touch()
        check_data(segmentor(), data, split="test")
        (said,) = warned
        assert said.startswith("test: 3 files left out (")
        assert "2 .png" in said
        assert said.endswith(": img_suffix is '.jpg'")

    def test_a_few_images_of_many_need_not_hold_every_class(self, segmentation, warned):
        check_data(segmentor(), segmentation(*[labels(0, 1)] * 20), split="train")
        assert warned == []
        check_data(segmentor(), segmentation(*[labels(0)] * 20), split="train")
        assert warned == ["train: in 8 of 20 images looked at, 2 of 3 classes do not occur: "
                          "car, sky"]  # fmt: skip

    def test_binary_heads(self, segmentation, warned):
        data = segmentation(labels(0, 1), metainfo={"classes": CLASSES[:2]})
        check_data(segmentor(num_classes=2, out_channels=1), data, split="test")
        assert warned == []
        model = segmentor(num_classes=1, out_channels=1, threshold=0.3)
        check_data(model, data, split="test")
        (said,) = warned
        assert "decode_head has one class, the data set two (road, car): what exceeds" in said

    def test_another_truth_has_no_classes(self, segmentation, warned):
        """Depth, whose data sets state names of places."""

        class PackDepth:
            def __call__(self, results):
                return {"data_samples": SimpleNamespace(gt_depth_map=results["img"])}

        data = segmentation(ALL, steps=[STEPS[0], PackDepth()])
        check_data(segmentor(num_classes=1, out_channels=1), data, split="test")
        assert warned == []

    def test_without_any_truth_classes_count(self, segmentation):
        data = segmentation(ALL, steps=[STEPS[0], STEPS[2]])
        with pytest.raises(ValueError, match="the model has 4 classes"):
            check_data(segmentor(num_classes=4), data, split="test")

    def test_wrapped_data(self, segmentation):
        inner = segmentation(labels(0, 1, 2, 9))
        wrapped = SimpleNamespace(datasets=[SimpleNamespace(dataset=inner)])
        with pytest.raises(ValueError, match="labels that are no class"):
            check_data(segmentor(), wrapped, split="train")

    def test_draws_are_as_before(self, segmentation):
        steps = [*STEPS[:2], {"type": "RandomFlip", "prob": 0.5}, STEPS[2]]
        data = segmentation(ALL, ALL, steps=steps)
        for seed in (random.seed, np.random.seed, torch.manual_seed):
            seed(3)
        expected = random.random(), torch.rand(1).item(), np.random.rand()  # noqa: NPY002
        for seed in (random.seed, np.random.seed, torch.manual_seed):
            seed(3)
        before = data.pipeline
        check_data(segmentor(), data, split="train")
        drawn = random.random(), torch.rand(1).item(), np.random.rand()  # noqa: NPY002
        assert drawn == expected
        assert data.pipeline is before

    def test_no_image_says_where_and_what_lies_there(self, segmentation, tmp_path):
        segmentation(ALL, ALL)
        (tmp_path / "img/notes.txt").touch()
        message = r"no '\*\.png' file in '.*img', where lie: 2 \.jpg, 1 \.txt"
        with pytest.raises(ValueError, match=message), building("x"), naming_empty_data():
            segmentation(img_suffix=".png")
        with pytest.raises(ValueError, match=message):
            check_data(
                segmentor(), segmentation(img_suffix=".png", serialize_data=False), split="val"
            )


class TestDetection:
    @pytest.fixture
    def coco(self, tmp_path, scope):
        scope("mmdet")

        def build(categories, classes, with_box=(1,), **settings):
            boxes = [
                {"id": n, "image_id": 1, "category_id": n, "bbox": [1, 1, 5, 5], "area": 25,
                 "iscrowd": 0, "segmentation": [[1, 1, 5, 1, 5, 5]]}
                for n in with_box
            ]  # fmt: skip
            content = {
                "images": [{"id": 1, "file_name": "1.jpg", "width": 8, "height": 8}],
                "annotations": boxes,
                "categories": [{"id": n, "name": name} for n, name in enumerate(categories)],
            }
            (tmp_path / "a.json").write_text(json.dumps(content))
            Image.new("RGB", (8, 8)).save(tmp_path / "1.jpg")
            return DATASETS.build(
                {"type": "CocoDataset", "ann_file": "a.json", "data_prefix": {"img": ""},
                 "data_root": str(tmp_path), "metainfo": {"classes": classes}, "test_mode": True,
                 "pipeline": [], **settings}
            )  # fmt: skip

        return build

    def detector(self, classes):
        return SimpleNamespace(
            roi_head=SimpleNamespace(bbox_head=[SimpleNamespace(num_classes=classes)]),
            named_modules=list,
        )

    def test_names_that_match_nothing(self, coco):
        data = coco(["person", "bicycle"], ("Person", "bicicle", "fog"))
        message = (
            r"no category 'Person' \(it has 'person'\), 'bicicle' \(it has 'bicycle'\), 'fog': "
            r"0 of its 2 categories match the data set's 3 classes; it has person, bicycle"
        )
        with pytest.raises(ValueError, match=message):
            check_data(self.detector(3), data, split="test")

    def test_unknown_categories_are_none_of_it(self, coco, warned):
        data = coco(["person", "bicycle", "fog"], ("bicycle",))
        check_data(self.detector(1), data, split="test")
        assert warned == []

    def test_a_class_that_never_occurs(self, coco, warned):
        data = coco(["person", "bicycle"], ("person", "bicycle"))
        check_data(self.detector(2), data, split="test")
        assert warned == ["test: 1 of 2 classes never occur: person"]

    def test_one_class_of_two_is_another_number(self, coco):
        with pytest.raises(ValueError, match=r"has 1 classes \(roi_head.bbox_head.0\), .* 2"):
            check_data(self.detector(1), coco(["a", "b"], ("a", "b")), split="test")

    def test_things_of_panoptic_data(self, coco, warned):
        data = coco(["a", "b"], ("a", "b"), with_box=(0, 1))
        data._metainfo.update(thing_classes=("a",), stuff_classes=("b",))
        check_data(self.detector(1), data, split="test")
        assert warned == ["test: panoptic quality is not scored, things alone are"]
        with pytest.raises(ValueError, match=r"has 3 classes \(roi_head.bbox_head.0\), .* 2"):
            check_data(self.detector(3), data, split="test")

    def test_a_panoptic_model_on_things_alone(self, coco, warned):
        """133 classes of Mask2Former on instances of its 80 things."""
        data = coco(["cat", "dog"], ("cat", "dog"), with_box=(0, 1))
        head = SimpleNamespace(num_classes=5, num_things_classes=2, num_stuff_classes=3)
        model = SimpleNamespace(panoptic_head=head, named_modules=list)
        check_data(model, data, split="val")
        assert warned == ["val: panoptic quality is not scored, things alone are"]
        head.num_things_classes = 4
        with pytest.raises(ValueError, match=r"the model has 5 classes \(panoptic_head\)"):
            check_data(model, data, split="val")

    def test_names_of_another_case_leave_no_image(self, coco):
        """mmdet leaves out what has no object of a class; numpy then has nothing to concatenate."""
        only_some = {"filter_empty_gt": True}
        with (
            pytest.raises(ValueError, match=r"no category 'PERSON' \(it has 'person'\)"),
            building("x"),
            naming_empty_data(),
        ):
            coco(["person", "bicycle"], ("PERSON",), filter_cfg=only_some, test_mode=False)


class NoLabels:
    """A data set of one image, of which nothing but its classes is known."""

    def __init__(self, classes):
        self.metainfo = {"classes": tuple(map(str, range(classes)))}

    def __len__(self):
        return 1


class TestModelsOfTheLibraries:
    def build(self, name, options=None):
        config = load_config(name, options=options)
        init_default_scope(config.default_scope)
        with torch.device("meta"):
            return MODELS.build(strip_pretrained(config.model))

    @pytest.mark.parametrize(
        ("name", "heads"),
        [
            ("mmseg::pspnet/pspnet_r50-d8_4xb2-80k_cityscapes-512x1024.py",
             {"decode_head": 19, "auxiliary_head": 19}),
            ("mmseg::ocrnet/ocrnet_hr18_4xb2-40k_cityscapes-512x1024.py",
             {"decode_head.0": 19, "decode_head.1": 19}),
            ("mmdet::retinanet/retinanet_r50_fpn_1x_coco.py", {"bbox_head": 80}),
            ("mmdet::cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco.py",
             {**{f"roi_head.bbox_head.{n}": 80 for n in range(3)},
              **{f"roi_head.mask_head.{n}": 80 for n in range(3)}}),
        ],
    )  # fmt: skip
    @pytest.mark.filterwarnings("ignore::UserWarning")  # the libraries', on their own configs
    def test_their_heads_are_found(self, name, heads):
        model = self.build(name)
        assert {place: part.num_classes for place, part in find_heads(model)} == heads

    @pytest.mark.filterwarnings("ignore::UserWarning")
    def test_weights_of_a_loss(self):
        name = "mmseg::pspnet/pspnet_r50-d8_4xb2-80k_cityscapes-512x1024.py"
        options = {"model.decode_head.loss_decode.class_weight": [1.0] * 7}
        model = self.build(name, options)
        message = r"decode_head.loss_decode: class_weight holds 7 weights for 19 classes"
        data = NoLabels(19)
        with pytest.raises(ValueError, match=message):
            check_data(model, data, split="train")
        check_data(model, data, split="test")  # what only training uses
        model.decode_head.loss_decode.class_weight = [1.0] * 19
        check_data(model, data, split="train")

    @pytest.mark.filterwarnings("ignore::UserWarning")
    def test_weights_of_a_detectors_loss(self):
        name = "mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py"
        weights = {"model.roi_head.bbox_head.loss_cls.class_weight": [1.0] * 19}
        model = self.build(name, {"num_classes": 5, **weights})
        message = r"roi_head.bbox_head.loss_cls: class_weight holds 19 weights for 5 classes"
        with pytest.raises(ValueError, match=message):
            check_data(model, NoLabels(5), split="train")


class TestTruth:
    """Annotations that mmdet's metric hands to pycocotools, which reads them after the test."""

    def metric(self, *annotations, **own):
        numbered = dict(enumerate(annotations))
        return SimpleNamespace(_coco_api=SimpleNamespace(anns=numbered), **own)

    def test_what_it_fails_on_is_said_before(self):
        whole, lacking = {"area": 4, "iscrowd": 0}, {"area": 4}
        check_truth([self.metric(whole), SimpleNamespace(ignore_index=255)])
        message = r"1 of the 2 annotations that SimpleNamespace .* no 'iscrowd' \(id 1\): add it"
        with pytest.raises(ValueError, match=message):
            check_truth([self.metric(whole, lacking)])
        with pytest.raises(ValueError, match=r"have no 'area' \(id 0, 1\)"):
            check_truth([self.metric({"iscrowd": 0}, {"iscrowd": 1})])

    def test_our_metric_takes_no_word_on_crowds_as_none(self):
        from stl_backbones.transfer.coco_metric import CocoAveragePrecision

        keys = CocoAveragePrecision.truth_keys
        check_truth([self.metric({"area": 4}, truth_keys=keys)])
        with pytest.raises(ValueError, match="no 'area'"):
            check_truth([self.metric({}, truth_keys=keys)])
