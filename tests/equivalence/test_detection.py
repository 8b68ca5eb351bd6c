"""Sweeps of mmdet configs against mmdet's own test: pycocotools' numbers before they are rounded.

The detector finds what has the colours of the things drawn, so that AP is neither 0 nor 1.
"""

import contextlib
import itertools
import json
from functools import partial

import numpy as np
import pytest
from foreign_detection import COLOURS
from harness import (
    Case,
    check,
    check_test_tool,
    spying,
    sweep,
    write_config,
    write_png,
    write_weights,
)
from pycocotools import mask as coco_mask
from pycocotools.cocoeval import COCOeval

from stl_backbones.report.tasks import DETECTION
from stl_backbones.results import CellStore

SIZES = ((96, 64), (70, 90), (101, 67), (64, 64))  # width, height
ANNOTATIONS = "truth.json"
CLASSES = ("ball", "box", "leaf")
SHARED = {
    "default_scope": "mmdet",
    "custom_imports": {"imports": ["foreign_detection"]},
    "test_cfg": {"type": "TestLoop"},
}
META = ("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")
LOAD, TRUTH = {"type": "LoadImageFromFile"}, {"type": "LoadAnnotations", "with_bbox": True}
RESIZE = {"type": "Resize", "scale": (80, 60), "keep_ratio": True}
PACK = {"type": "PackDetInputs", "meta_keys": META}
PIPELINE = [LOAD, RESIZE, TRUTH, PACK]


def things(*, seed=0):
    """Yield images ``(H, W, 3)``, BGR, and what is in them: class and box of whole pixels."""
    rng = np.random.default_rng(seed)
    for width, height in SIZES:
        image = rng.uniform(90, 150, (height, width, 3))
        found = []
        for number in rng.permutation(6):
            left, top = rng.integers(0, width - 26), rng.integers(0, height - 26)
            wide, high = rng.integers(8, 26, 2)
            image[top : top + high, left : left + wide] = COLOURS[number % 3][::-1]
            # The truth is a pixel or two off what can be seen.
            off = rng.integers(0, 3, 2)
            found.append((int(number % 3), [int(left + off[0]), int(top + off[1]), int(wide),
                                            int(high)]))  # fmt: skip
        yield image.clip(0, 255).astype(np.uint8), found


def coco(images, *, with_masks=True):
    """The annotations in COCO's format: category 1 + class, ids from 1."""
    annotations = []
    for number, (_, found) in enumerate(images, start=1):
        for label, (left, top, wide, high) in found:
            corners = [left, top, left + wide, top, left + wide, top + high, left, top + high]
            annotation = {
                "id": len(annotations) + 1, "image_id": number, "category_id": label + 1,
                "bbox": [left, top, wide, high], "area": wide * high, "iscrowd": 0,
            }  # fmt: skip
            shape = {"segmentation": [list(map(float, corners))]} if with_masks else {}
            annotations.append({**annotation, **shape})
    listed = [
        {"id": number, "file_name": f"part{number % 2}/{number}.png",
         "height": len(image), "width": image.shape[1]}
        for number, (image, _) in enumerate(images, start=1)
    ]  # fmt: skip
    categories = [{"id": i, "name": name} for i, name in enumerate(CLASSES, start=1)]
    return {"images": listed, "annotations": annotations, "categories": categories}


def detection(
    *, pipeline=PIPELINE, dataset=None, network=None, evaluator=None, top=None, change=None,
    with_masks=True, wrap=lambda dataset: dataset, **case,
):  # fmt: skip
    """A case by what its config has of its own.

    Args:
        pipeline: The test pipeline.
        dataset: More settings of the data set.
        network: Arguments of `ColourDetector`, or a whole model.
        evaluator: More settings of the evaluator.
        top: More settings of the config.
        change: Changes the annotations in place.
        with_masks: Whether they have masks.
        wrap: What the data set is wrapped in.
        case: Further arguments of `Case`.
    """

    def write(folder):
        data = write_data(folder, change=change, with_masks=with_masks)
        own = {
            "type": "CocoDataset", "metainfo": {"classes": CLASSES}, "data_root": str(data),
            "ann_file": ANNOTATIONS, "data_prefix": {"img": "img/"}, "test_mode": True,
            "pipeline": pipeline, **(dataset or {}),
        }  # fmt: skip
        loader = {
            "batch_size": 1, "num_workers": 0, "dataset": wrap(own),
            "sampler": {"type": "DefaultSampler", "shuffle": False},
        }  # fmt: skip
        scorer = {"type": "CocoMetric", "ann_file": str(data / ANNOTATIONS), "metric": "bbox"}
        model = {"type": "ColourDetector", **(network or {})}
        settings = {
            **SHARED, "model": model, "test_dataloader": loader,
            "test_evaluator": {**scorer, **(evaluator or {})}, **(top or {}),
        }  # fmt: skip
        write_config(folder, settings)

    return Case(write, **case)


def write_data(folder, *, change=None, with_masks=True):
    data, images = folder / "data", list(things())
    content = coco(images, with_masks=with_masks)
    for entry, (image, _) in zip(content["images"], images, strict=True):
        write_png(data / "img" / entry["file_name"], image)
    if change is not None:
        change(content)
    (data / ANNOTATIONS).write_text(json.dumps(content))
    return data


def renumbered(numbers):
    """Other category ids, in the order of the classes, and unused categories around them."""

    def change(content):
        for annotation in content["annotations"]:
            annotation["category_id"] = numbers[annotation["category_id"] - 1]
        unused = [number for number in range(max(numbers) + 3) if number not in numbers]
        names = dict(zip(numbers, CLASSES, strict=True)) | {n: f"unused {n}" for n in unused}
        content["categories"] = [{"id": n, "name": names[n]} for n in sorted(names)]

    return change


def among_80(content):
    """The three classes among 77 others, some of which occur."""
    renumbered((12, 44, 77))(content)
    content["categories"] = content["categories"][:80]
    for annotation in content["annotations"][::5]:
        annotation["category_id"] = 3


def from_zero(content):
    for annotation in content["annotations"]:
        annotation["id"] -= 1


def with_crowds(content):
    sizes = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
    for annotation in content["annotations"][::4]:
        height, width = sizes[annotation["image_id"]]
        mask = np.zeros((height, width), np.uint8, order="F")
        left, top, wide, high = annotation["bbox"]
        mask[top : top + high, left : left + wide] = 1
        runs = np.flatnonzero(np.diff(mask.ravel("F"), prepend=0, append=0))
        counts = np.diff([0, *runs, mask.size]).tolist()
        annotation.update(iscrowd=1, segmentation={"size": [height, width], "counts": counts})
        assert coco_mask.area(coco_mask.encode(mask)) == mask.sum()


def without_objects(content):
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] not in (1, 3)]


def odd_annotations(content):
    """Marked `ignore`, and thinner than a pixel: pycocotools counts both."""
    first, second = content["annotations"][:2]
    first["ignore"] = 1
    second.update(bbox=[*second["bbox"][:3], 0.5], area=0.5 * second["bbox"][2])


def beyond_the_edge(content):
    first = content["annotations"][0]
    first["bbox"] = [-5, *first["bbox"][1:]]


BOTH = {"metric": ["bbox", "segm"]}
WITH_MASKS = [LOAD, RESIZE, {**TRUTH, "with_mask": True}, PACK]
FLIPPED_META = (*META, "flip", "flip_direction")
AUGMENTED = [
    LOAD,
    {
        "type": "TestTimeAug",
        "transforms": [
            [{"type": "Resize", "scale": s, "keep_ratio": True} for s in ((80, 60), (120, 90))],
            [{"type": "RandomFlip", "prob": p} for p in (0.0, 1.0)],
            [{**PACK, "meta_keys": FLIPPED_META}],
        ],
    },
]
MERGED = {
    "type": "DetTTAModel",
    "tta_cfg": {"nms": {"type": "nms", "iou_threshold": 0.5}, "max_per_img": 100},
}


def augment(config):
    """What --tta of mmdet's tools/test.py does."""
    config.test_dataloader.dataset.pipeline = config.tta_pipeline
    config.model = {**config.tta_model, "module": config.model}


RETINANET = {
    "type": "RetinaNet",
    "data_preprocessor": {
        "type": "DetDataPreprocessor", "mean": [110.0] * 3, "std": [60.0] * 3,
        "bgr_to_rgb": True, "pad_size_divisor": 32,
    },
    "backbone": {
        "type": "ResNet", "depth": 18, "base_channels": 8, "out_indices": (1, 2, 3),
        "norm_eval": True,
    },
    "neck": {"type": "FPN", "in_channels": [16, 32, 64], "out_channels": 8, "num_outs": 3},
    "bbox_head": {
        "type": "RetinaHead", "num_classes": 3, "in_channels": 8, "stacked_convs": 1,
        "feat_channels": 8,
        "anchor_generator": {
            "type": "AnchorGenerator", "octave_base_scale": 2, "scales_per_octave": 2,
            "ratios": [0.7, 1.4], "strides": [8, 16, 32],
        },
        "bbox_coder": {"type": "DeltaXYWHBBoxCoder", "target_stds": [0.002] * 4},
    },
    "test_cfg": {
        "nms_pre": 400, "score_thr": 0.0, "nms": {"type": "nms", "iou_threshold": 0.6},
        "max_per_img": 300,
    },
}  # fmt: skip
# Rounded to 3 digits mmdet's AP would not tell; what is compared are pycocotools' numbers.
CASES = {
    "boxes": detection(),
    "boxes and masks": detection(pipeline=WITH_MASKS, network={"with_masks": True}, evaluator=BOTH),
    "masks with scores of their own": detection(
        network={"with_masks": True, "own_mask_scores": True}, evaluator=BOTH
    ),
    "masks are predicted, boxes are scored": detection(network={"with_masks": True}),
    "annotations without masks": detection(with_masks=False),
    "three classes among 80 categories": detection(change=among_80),
    "category 0, and unused ids": detection(change=renumbered((0, 5, 9))),
    "classes in another order than the categories": detection(
        dataset={"metainfo": {"classes": ("leaf", "ball", "box")}}
    ),
    "annotation ids from 0": detection(change=from_zero),
    "crowds": detection(change=with_crowds),
    "crowds of masks": detection(change=with_crowds, network={"with_masks": True}, evaluator=BOTH),
    "images without objects": detection(change=without_objects),
    "odd annotations": detection(change=odd_annotations),
    "a box beyond the edge": detection(change=beyond_the_edge, refusal="leaves the image"),
    "more than 100 detections of a class": detection(network={"extra": 150}),
    "truth from the packed samples": detection(
        pipeline=[LOAD, RESIZE, {**PACK, "meta_keys": (*META, "instances")}],
        evaluator={"ann_file": None},
    ),
    "indices, truth from the packed samples": detection(
        dataset={"indices": 3},
        pipeline=[LOAD, RESIZE, {**PACK, "meta_keys": (*META, "instances")}],
        evaluator={"ann_file": None},
    ),
    # mmdet counts what is in the other images as missed.
    "indices": detection(dataset={"indices": 3}, refusal="4 images"),
    "without test_mode": detection(dataset={"test_mode": False}),
    "images without objects are filtered out": detection(
        dataset={"test_mode": False, "filter_cfg": {"filter_empty_gt": True}},
        change=without_objects,
        refusal="4 images",
    ),
    "classwise": detection(evaluator={"classwise": True}),
    "no step loads the truth": detection(pipeline=[LOAD, RESIZE, PACK]),
    "image reader of one's own": detection(pipeline=[{"type": "ReadPicture"}, RESIZE, TRUTH, PACK]),
    "packing step of one's own": detection(
        pipeline=[LOAD, RESIZE, TRUTH, {"type": "ToDetectionSample"}]
    ),
    "augmented by the config": detection(
        pipeline=AUGMENTED, top={"model": {**MERGED, "module": {"type": "ColourDetector"}}}
    ),
    "augmented by --tta": detection(
        top={"tta_model": MERGED, "tta_pipeline": AUGMENTED}, words=("--tta",), reference=augment
    ),
    "in a RepeatDataset": detection(
        wrap=lambda dataset: {"type": "RepeatDataset", "dataset": dataset, "times": 1}
    ),
    "in a ConcatDataset": detection(
        wrap=lambda dataset: {"type": "ConcatDataset", "datasets": [dataset]}
    ),
    "RetinaNet": detection(network=RETINANET),
}


def voc(*, evaluator, pipeline, **case):
    """A case in the layout of Pascal VOC; every fifth object is difficult."""

    def write(folder):
        root = folder / "data/VOC2007"
        count = itertools.count()
        for number, (image, found) in enumerate(things()):
            name = f"2007_{number:06d}"
            write_png(root / f"JPEGImages/{name}.jpg", image)
            objects = "".join(
                f"<object><name>{CLASSES[label]}</name><difficult>{next(count) % 5 == 0:d}"
                f"</difficult><bndbox><xmin>{left + 1}</xmin><ymin>{top + 1}</ymin>"
                f"<xmax>{left + wide + 1}</xmax><ymax>{top + high + 1}</ymax></bndbox></object>"
                for label, (left, top, wide, high) in found
            )
            height, width = image.shape[:2]
            size = f"<size><width>{width}</width><height>{height}</height></size>"
            path = root / f"Annotations/{name}.xml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"<annotation>{size}{objects}</annotation>")
        names = "".join(f"2007_{number:06d}\n" for number in range(len(SIZES)))
        (folder / "data/test.txt").write_text(names)
        dataset = {
            "type": "VOCDataset", "metainfo": {"classes": CLASSES}, "ann_file": "test.txt",
            "data_root": str(folder / "data"), "data_prefix": {"sub_data_root": "VOC2007/"},
            "test_mode": True, "pipeline": pipeline,
        }  # fmt: skip
        loader = {
            "batch_size": 1, "num_workers": 0, "dataset": dataset,
            "sampler": {"type": "DefaultSampler", "shuffle": False},
        }  # fmt: skip
        write_config(folder, {**SHARED, "model": {"type": "ColourDetector"},
                              "test_dataloader": loader, "test_evaluator": evaluator})  # fmt: skip

    return Case(write, images="data/VOC2007/JPEGImages", keys="data/VOC2007", **case)


CASES["Pascal VOC"] = voc(
    evaluator={"type": "CocoMetric", "metric": "bbox"},
    pipeline=[LOAD, RESIZE, {**PACK, "meta_keys": (*META, "instances")}],
)
NEW_STYLE = """
from mmcv.transforms import LoadImageFromFile
from mmdet.datasets import CocoDataset
from mmdet.datasets.transforms import LoadAnnotations, PackDetInputs, Resize
from mmdet.evaluation import CocoMetric
from mmengine.dataset import DefaultSampler
from mmengine.runner import TestLoop

from foreign_detection import ColourDetector

model = dict(type=ColourDetector)
pipeline = [
    dict(type=LoadImageFromFile),
    dict(type=Resize, scale=(80, 60), keep_ratio=True),
    dict(type=LoadAnnotations, with_bbox=True),
    dict(
        type=PackDetInputs,
        meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
    ),
]
test_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type=DefaultSampler, shuffle=False),
    dataset=dict(
        type=CocoDataset,
        metainfo=dict(classes=("ball", "box", "leaf")),
        ann_file="truth.json",
        data_prefix=dict(img="img/"),
        test_mode=True,
        pipeline=pipeline,
    ),
)
test_evaluator = dict(type=CocoMetric, metric="bbox")
test_cfg = dict(type=TestLoop)
"""


def write_new_style(folder, *, scope):
    data = write_data(folder)
    (folder / "shared.py").write_text(NEW_STYLE)
    lines = [
        "from mmengine.config import read_base",
        "with read_base():",
        "    from .shared import *",
        f"test_dataloader.update(dataset=dict(data_root={str(data)!r}))",
        f"test_evaluator.update(ann_file={str(data / ANNOTATIONS)!r})",
    ]
    if scope:
        lines.append("default_scope = 'mmdet'")
    (folder / "config.py").write_text("\n".join(lines) + "\n")


CASES["new style"] = Case(partial(write_new_style, scope=True))
CASES["new style without default_scope"] = Case(partial(write_new_style, scope=False))

KINDS = {"bbox": "box", "segm": "mask"}
NUMBERS = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")


@contextlib.contextmanager
def coco_numbers():
    """Yield pycocotools' six APs of boxes and of masks."""
    found, evaluations = {}, {}
    with spying(
        COCOeval, "summarize", lambda self: evaluations.update({self.params.iouType: self})
    ):
        yield found
    for kind, evaluation in evaluations.items():
        for number, value in zip(NUMBERS, evaluation.stats[:6], strict=True):
            found[f"{KINDS[kind]}_{number}"] = np.nan if value < 0 else float(value)


def numbers(result):
    """The same of a cell."""
    no_resamples = np.empty((0, len(result.image_ids)), np.float32)
    found = DETECTION.score_cell(result, no_resamples).replicates
    return {name: float(values[0]) for name, values in found.items()}


@pytest.mark.filterwarnings("ignore")  # the libraries advise other settings
@pytest.mark.parametrize("name", CASES)
def test_average_precision_is_the_same(name, tmp_path):
    check(CASES[name], tmp_path, count=coco_numbers, counted=numbers)


@pytest.mark.filterwarnings("ignore")
def test_a_voc_metric_is_named(tmp_path):
    voc(evaluator={"type": "VOCMetric", "metric": "mAP"}, pipeline=PIPELINE).write(tmp_path)
    write_weights(tmp_path)
    notes = CellStore(sweep(tmp_path, tmp_path / "sweep")).provenance().notes
    assert [note for note in notes if "VOCMetric computes another number" in note]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name",
    [
        "boxes and masks", "augmented by the config", "three classes among 80 categories",
        "truth from the packed samples", "new style without default_scope",
    ],
)  # fmt: skip
def test_our_test_tool_has_the_same(name, tmp_path):
    check_test_tool(CASES[name], tmp_path, count=coco_numbers)
