"""Sweeps of mmseg configs against mmseg's own test: the same pixels of the same labels counted."""

import contextlib
from dataclasses import replace
from functools import partial

import cv2
import numpy as np
import pytest
from foreign_segmentation import COLOURS, RAW_IDS
from harness import Case, check, check_copy, check_test_tool, spying, write_config, write_png
from mmseg.evaluation import IoUMetric
from PIL import ExifTags, Image

SIZES = ((96, 64), (70, 90), (101, 67))  # width, height
SHARED = {
    "default_scope": "mmseg",
    "custom_imports": {"imports": ["foreign_segmentation"]},
    "test_cfg": {"type": "TestLoop"},
}
LOAD, LABELS, PACK = (
    {"type": name} for name in ("LoadImageFromFile", "LoadAnnotations", "PackSegInputs")
)
RESIZE = {"type": "Resize", "scale": (64, 48), "keep_ratio": True}
PIPELINE = [LOAD, RESIZE, LABELS, PACK]
IMAGES, MASKS = "img", "ann"
CLASSES = ("road", "house", "car", "bicycle")
# Any data set of one's own.
DATASET = {
    "type": "BaseSegDataset",
    "img_suffix": ".png",
    "metainfo": {"classes": CLASSES},
    "data_prefix": {"img_path": IMAGES, "seg_map_path": MASKS},
}


def scenes(classes, *, sizes=SIZES, seed=0):
    """Yield images ``(H, W, 3)``, BGR, and label maps ``(H, W)`` with some pixels of 255."""
    rng = np.random.default_rng(seed)
    for width, height in sizes:
        across = np.linspace(0, 1, width)[None, :, None] * rng.uniform(40, 200, 3)
        down = np.linspace(1, 0, height)[:, None, None] * rng.uniform(40, 200, 3)
        image = (across + down) / 2 + rng.uniform(0, 25, (height, width, 3))
        label = np.full((height, width), rng.integers(classes), np.uint8)
        for number in (*rng.permutation(classes)[:5], 255):
            left, top = rng.integers(0, width - 20), rng.integers(0, height - 20)
            part = (slice(top, top + rng.integers(8, 30)), slice(left, left + rng.integers(8, 30)))
            label[part] = number
            image[part] = image[part] / 3 + rng.uniform(0, 160, 3)
        yield image.clip(0, 255).astype(np.uint8), label


def plain_layout(data, image, label, name):
    write_png(data / IMAGES / f"{name}.png", image)
    write_png(data / MASKS / f"{name}.png", label)


def model(classes=4, *, channels=3, head=None, test_cfg=None):
    """A small encoder and decoder."""
    return {
        "type": "EncoderDecoder",
        "data_preprocessor": {
            "type": "SegDataPreProcessor",
            **({"mean": [110.0] * channels, "std": [60.0] * channels} if channels < 4 else {}),
            "bgr_to_rgb": channels == 3,
        },
        "backbone": {"type": "ColourBackbone", "in_channels": channels},
        "decode_head": {
            "type": "FCNHead", "in_channels": 8, "channels": 8, "num_convs": 0,
            "concat_input": False, "num_classes": classes, **(head or {}),
        },
        "test_cfg": test_cfg or {"mode": "whole"},
    }  # fmt: skip


def segmentation(
    *, pipeline=PIPELINE, dataset=None, layout=plain_layout, lay_more=None, network=None, top=None,
    evaluator=None, classes=4, wrap=lambda dataset: dataset, loader=None, **case,
):  # fmt: skip
    """A case by what its config has of its own.

    Args:
        pipeline: The test pipeline.
        dataset: The data set's settings; default: `DATASET`, or what of it is other.
        layout: Writes an image and its label map.
        lay_more: Writes what else the data set has, after that.
        network: The model's settings.
        top: More settings of the config.
        evaluator: The evaluator's settings.
        classes: How many there are in the label maps.
        wrap: What the data set is wrapped in.
        loader: More settings of the loader.
        case: Further arguments of `Case`.
    """

    def write(folder):
        data = folder / "data"
        for number, (image, label) in enumerate(scenes(classes)):
            layout(data, image, label, f"scene{number}")
        if lay_more is not None:
            lay_more(data)
        own = {**DATASET, **(dataset or {})}
        own = {name: value for name, value in own.items() if value is not None}
        own |= {"data_root": str(data), "pipeline": pipeline}
        loading = {
            "batch_size": 1,
            "num_workers": 0,
            "sampler": {"type": "DefaultSampler", "shuffle": False},
            "dataset": wrap(own),
            **(loader or {}),
        }
        write_config(
            folder,
            {
                **SHARED,
                "model": network or model(classes),
                "test_dataloader": loading,
                "test_evaluator": evaluator or {"type": "IoUMetric"},
                **(top or {}),
            },
        )

    return Case(write, **case)


def with_labels(layout, change):
    """The same layout with changed label maps."""
    return lambda data, image, label, name: layout(data, image, change(label), name)


def colours(label):
    """Each class in its colour, what is ignored in white; RGB kept as cv2 writes, BGR."""
    shown = np.full((*label.shape, 3), 255, np.uint8)
    for number, colour in enumerate(COLOURS):
        shown[label == number] = colour[::-1]
    return shown


def raw_ids(label):
    return np.append(RAW_IDS, 0).astype(np.uint8)[np.minimum(label, len(RAW_IDS))]


def near_layout(data, image, label, name):
    plain_layout(data, image, label, name)
    write_png(data / f"near/{name}.png", image[..., 0] // 2 + 40)


TWO_FOLDERS = [{"img_path": f"pictures/{n}", "seg_map_path": f"ann/{n}"} for n in "ab"]


def two_folders(data, image, label, name):
    """Images of the same names in two folders."""
    for folder, picture in (("a", image), ("b", 255 - image)):
        write_png(data / f"pictures/{folder}/{name}.png", picture)
        write_png(data / f"ann/{folder}/{name}.png", label)


def jpeg_layout(data, image, label, name, *, turned=False):
    path = data / IMAGES / f"{name}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    picture, exif = Image.fromarray(image[..., ::-1]), Image.Exif()
    if turned:  # on its side in the file, upright once it is decoded
        picture = picture.transpose(Image.Transpose.ROTATE_90)
        exif[ExifTags.Base.Orientation] = 6
    picture.save(path, exif=exif)
    write_png(data / MASKS / f"{name}.png", label)


def ade_layout(data, image, label, name):
    write_png(data / f"images/validation/{name}.jpg", image)
    # 0 is what is ignored.
    numbers = np.where(label == 255, 0, label + 1).astype(np.uint8)
    write_png(data / f"annotations/validation/{name}.png", numbers)


def voc_layout(data, image, label, name):
    write_png(data / f"JPEGImages/{name}.jpg", image)
    write_png(data / f"SegmentationClass/{name}.png", label)


def bdd_layout(data, image, label, name):
    write_png(data / f"images/10k/val/{name}.jpg", image)
    write_png(data / f"labels/sem_seg/masks/val/{name}.png", label)


def city_layout(data, image, label, name):
    write_png(data / f"leftImg8bit/val/ulm/{name}_leftImg8bit.png", image)
    write_png(data / f"gtFine/val/ulm/{name}_gtFine_labelTrainIds.png", label)


def write_list(path, *names):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name}\n" for name in names))


def replaced(step, by):
    return [by if found is step else found for found in PIPELINE]


def library_dataset(kind, **settings):
    """The settings of a data set that mmseg knows."""
    none = dict.fromkeys(("img_suffix", "metainfo", "data_prefix"))
    return {**none, "type": kind, **settings}


AUGMENTED = [
    LOAD,
    {
        "type": "TestTimeAug",
        "transforms": [
            [{"type": "Resize", "scale_factor": r, "keep_ratio": True} for r in (0.5, 1.0, 1.25)],
            [{"type": "RandomFlip", "prob": p, "direction": "horizontal"} for p in (0.0, 1.0)],
            [LABELS],
            [PACK],
        ],
    },
]


def augment(config):
    """What --tta of mmseg's tools/test.py does."""
    config.test_dataloader.dataset.pipeline = config.tta_pipeline
    config.model = {**config.tta_model, "module": config.model}


CITY = library_dataset(
    "CityscapesDataset",
    data_prefix={"img_path": "leftImg8bit/val", "seg_map_path": "gtFine/val"},
)
CASES = {
    "whole": segmentation(),
    "sizes as they are": segmentation(pipeline=[LOAD, LABELS, PACK]),
    "size divisor": segmentation(
        network={
            **model(),
            "data_preprocessor": {
                **model()["data_preprocessor"], "test_cfg": {"size_divisor": 32},
            },
        }
    ),
    "slide": segmentation(
        pipeline=[LOAD, LABELS, PACK],
        network=model(test_cfg={"mode": "slide", "crop_size": (48, 48), "stride": (32, 32)}),
    ),
    "augmented by the config": segmentation(
        pipeline=AUGMENTED, network={"type": "SegTTAModel", "module": model()}
    ),
    "augmented by --tta": segmentation(
        top={"tta_model": {"type": "SegTTAModel"}, "tta_pipeline": AUGMENTED},
        words=("--tta",),
        reference=augment,
    ),
    "labels are loaded before a resize that changes nothing": segmentation(
        pipeline=[LOAD, LABELS, {"type": "Resize", "scale_factor": 1.0}, PACK]
    ),
    "no step loads labels": segmentation(
        pipeline=[LOAD, RESIZE, PACK],
        reference=lambda config: config.test_dataloader.dataset.pipeline.insert(2, dict(LABELS)),
    ),
    "label reader that renumbers": segmentation(
        pipeline=replaced(LABELS, {"type": "ReadRawIds"}),
        layout=with_labels(plain_layout, raw_ids),
    ),
    "label reader of colours": segmentation(
        pipeline=replaced(LABELS, {"type": "ReadColours"}),
        layout=with_labels(plain_layout, colours),
    ),
    "packing step that renumbers": segmentation(pipeline=replaced(PACK, {"type": "ToSample"})),
    "data set that renumbers what is packed": segmentation(
        dataset={"type": "RenumberedAfterwards"}
    ),
    "data set that has the pipeline renumber": segmentation(dataset={"type": "RenumberedBefore"}),
    "data set with a list of its own": segmentation(
        dataset={"type": "ListedInCSV", "data_prefix": {"img_path": IMAGES}},
        lay_more=lambda data: write_list(
            data / "list.csv",
            *(f"{IMAGES}/scene{i}.png,{MASKS}/scene{i}.png" for i in (2, 0, 1)),
        ),
    ),
    "image reader of one's own": segmentation(
        pipeline=replaced(LOAD, {"type": "ReadWithPillow"})
    ),
    "image as float32": segmentation(pipeline=replaced(LOAD, {**LOAD, "to_float32": True})),
    "image reader that gives float": segmentation(
        pipeline=replaced(LOAD, {"type": "ReadAsFloat"}), refusal="float32"
    ),
    "image reader that gives fractions": segmentation(
        pipeline=replaced(LOAD, {"type": "ReadAsFraction"}), refusal="float32"
    ),
    "image reader that gives RGB": segmentation(
        pipeline=replaced(LOAD, {"type": "ReadAsRGB"}), refusal="ReadAsRGB|RGB|BGR"
    ),
    "image reader that crops": segmentation(
        pipeline=[{"type": "ReadUpperHalf"}, RESIZE, LABELS, {"type": "KeepUpperHalf"}, PACK],
        refusal=r"ReadUpperHalf|96x32|32x96",
    ),
    "image reader that darkens": segmentation(
        pipeline=replaced(LOAD, {"type": "ReadTwice"}), refusal="ReadTwice"
    ),
    "image reader of four channels": segmentation(
        pipeline=replaced(LOAD, {"type": "ReadFourChannels"}),
        network=model(channels=4),
        refusal=r"4 channels|, 4\)",
    ),
    "image reader that needs a file beside": segmentation(
        pipeline=replaced(LOAD, {"type": "ReadWithNear"}),
        layout=near_layout,
        network=model(channels=4),
        refusal="ReadWithNear",
    ),
    "image is read once more": segmentation(
        pipeline=[LOAD, {"type": "BlendWithFile"}, RESIZE, LABELS, PACK], refusal="BlendWithFile"
    ),
    "items hold the image": segmentation(
        dataset={"type": "LoadsByItself"}, pipeline=[RESIZE, LABELS, PACK], refusal="loads it"
    ),
    "grey reader": segmentation(
        pipeline=replaced(LOAD, {**LOAD, "color_type": "grayscale"}),
        network=model(channels=1),
        refusal=r"grey|1 channel|shape",
    ),
    "grey files": segmentation(
        layout=lambda data, image, label, name: plain_layout(
            data, cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), label, name
        )
    ),
    "reduce_zero_label": segmentation(
        dataset={"reduce_zero_label": True},
        layout=with_labels(plain_layout, lambda label: np.where(label == 255, 0, label + 1)),
    ),
    "ignored by the evaluator": segmentation(
        evaluator={"type": "IoUMetric", "ignore_index": 2},
        layout=with_labels(plain_layout, lambda label: np.where(label == 255, 2, label)),
    ),
    # mmseg counts what is predicted there.
    "labels of no class that nobody ignores": segmentation(
        evaluator={"type": "IoUMetric", "ignore_index": 2}, refusal="255"
    ),
    "ignored by the head": segmentation(network=model(head={"ignore_index": 2})),
    "ignored by the data set": segmentation(dataset={"ignore_index": 2}),
    "ignored by evaluator and head": segmentation(
        evaluator={"type": "IoUMetric", "ignore_index": 0},
        network=model(head={"ignore_index": 1}),
        dataset={"ignore_index": 2},
        layout=with_labels(plain_layout, lambda label: np.where(label == 255, 1, label)),
    ),
    "ignored by an evaluator that reads the data set": segmentation(
        dataset={"metainfo": {"classes": CLASSES, "ignore_index": 3}},
        evaluator={"type": "IoUAsTheDataSay"},
        layout=with_labels(plain_layout, lambda label: np.where(label == 255, 3, label)),
        refusal="IoUAsTheDataSay",
    ),
    "masks of one class": segmentation(
        classes=2,
        dataset={"metainfo": {"classes": ("background", "road")}},
        pipeline=replaced(LABELS, {"type": "ReadMasks"}),
        layout=with_labels(plain_layout, lambda label: np.where(label == 1, 255, 0)),
        network=model(
            2,
            head={
                "out_channels": 1,
                "threshold": 0.4,
                "loss_decode": {"type": "CrossEntropyLoss", "use_sigmoid": True},
            },
        ),
    ),
    "some classes of Cityscapes": segmentation(
        classes=19,
        dataset={**CITY, "metainfo": {"classes": ("car", "road", "sky", "person")}},
        layout=city_layout,
        network=model(4),
        images="data/leftImg8bit/val",
    ),
    "Cityscapes": segmentation(
        classes=19, dataset=CITY, layout=city_layout, images="data/leftImg8bit/val"
    ),
    "ADE20K": segmentation(
        classes=150,
        dataset=library_dataset(
            "ADE20KDataset",
            data_prefix={
                "img_path": "images/validation", "seg_map_path": "annotations/validation",
            },
        ),
        layout=ade_layout,
        images="data/images/validation",
    ),
    "VOC": segmentation(
        classes=21,
        dataset=library_dataset(
            "PascalVOCDataset",
            ann_file="ImageSets/Segmentation/val.txt",
            data_prefix={"img_path": "JPEGImages", "seg_map_path": "SegmentationClass"},
        ),
        layout=voc_layout,
        lay_more=lambda data: write_list(
            data / "ImageSets/Segmentation/val.txt", "scene2", "scene0"
        ),
        images="data/JPEGImages",
    ),
    "BDD100K": segmentation(
        classes=19,
        dataset=library_dataset(
            "BDD100KDataset",
            data_prefix={
                "img_path": "images/10k/val", "seg_map_path": "labels/sem_seg/masks/val",
            },
        ),
        layout=bdd_layout,
        images="data/images/10k/val",
    ),
    "listed in a file": segmentation(
        dataset={"ann_file": "val.txt"},
        lay_more=lambda data: write_list(data / "val.txt", "scene1", "scene0"),
    ),
    "indices": segmentation(dataset={"indices": [2, 0]}),
    "loading in a RandomChoice": segmentation(
        pipeline=replaced(LOAD, {"type": "RandomChoice", "transforms": [[LOAD], [LOAD]]})
    ),
    "loading in a KeyMapper": segmentation(
        pipeline=replaced(
            LOAD,
            {
                "type": "KeyMapper",
                "transforms": [LOAD],
                "mapping": {name: name for name in ("img_path", "img", "img_shape", "ori_shape")},
                "auto_remap": True,
                "allow_nonexist_keys": True,
            },
        )
    ),
    "loading in a TransformBroadcaster": segmentation(
        pipeline=replaced(
            LOAD,
            {
                "type": "TransformBroadcaster",
                "transforms": [LOAD],
                "mapping": {
                    "img_path": ["img_path", "img_path"],
                    **{n: [n, f"other_{n}"] for n in ("img", "img_shape", "ori_shape")},
                },
                "auto_remap": True,
                "allow_nonexist_keys": True,
            },
        ),
    ),
    "steps of another library": segmentation(
        pipeline=[
            LOAD,
            {
                "type": "PhotoSteps",
                "transforms": [{"type": "Brighten", "by": 20}, {"type": "Contrast", "by": 80}],
            },
            LABELS,
            PACK,
        ]
    ),
    "flipped": segmentation(
        pipeline=[LOAD, RESIZE, {"type": "RandomFlip", "prob": 1.0}, LABELS, PACK]
    ),
    "data_preprocessor at the top": segmentation(
        network={name: part for name, part in model().items() if name != "data_preprocessor"},
        top={"data_preprocessor": model()["data_preprocessor"]},
    ),
    "two evaluators": segmentation(
        evaluator=[
            {"type": "IoUMetric"},
            {"type": "IoUMetric", "iou_metrics": ["mDice"], "prefix": "dice"},
        ]
    ),
    "half precision in the test loop": segmentation(
        top={"test_cfg": {"type": "TestLoop", "fp16": True}}, refusal="fp16"
    ),
    "sampler that leaves images out": segmentation(
        loader={"sampler": {"type": "EveryOther"}}, refusal="EveryOther|sampler"
    ),
    "data set without a pipeline": segmentation(
        dataset={"type": "WithoutPipeline"}, refusal="WithoutPipeline"
    ),
    "items without img_path": segmentation(
        dataset={"type": "CallsItPicture"},
        pipeline=replaced(LOAD, {"type": "ReadPicture"}),
        refusal="img_path",
    ),
    "image by pillow": segmentation(
        pipeline=replaced(LOAD, {**LOAD, "imdecode_backend": "pillow"})
    ),
    "JPEG by pillow": segmentation(
        dataset={"img_suffix": ".jpg"},
        layout=jpeg_layout,
        pipeline=replaced(LOAD, {**LOAD, "imdecode_backend": "pillow"}),
    ),
    "JPEG that EXIF turns": segmentation(
        dataset={"img_suffix": ".jpg"}, layout=partial(jpeg_layout, turned=True)
    ),
    "image unchanged": segmentation(
        pipeline=replaced(LOAD, {**LOAD, "color_type": "unchanged"})
    ),
    "files with alpha": segmentation(
        layout=lambda data, image, label, name: plain_layout(
            data, np.dstack([image, image[..., 0]]), label, name
        )
    ),
    "files of 16 bits": segmentation(
        layout=lambda data, image, label, name: plain_layout(
            data, image.astype(np.uint16) * 256 + 99, label, name
        )
    ),
    "in a RepeatDataset": segmentation(
        wrap=lambda dataset: {"type": "RepeatDataset", "dataset": dataset, "times": 1}
    ),
    "repeated twice": segmentation(
        wrap=lambda dataset: {"type": "RepeatDataset", "dataset": dataset, "times": 2},
        refusal="twice|2 times|RepeatDataset",
    ),
    "in a ConcatDataset": segmentation(
        wrap=lambda dataset: {"type": "ConcatDataset", "datasets": [dataset]}
    ),
    "two data sets of two folders": segmentation(
        layout=two_folders,
        images="data/pictures",
        keys="data",  # the folder that holds the images of both
        wrap=lambda dataset: {
            "type": "ConcatDataset",
            "datasets": [{**dataset, "data_prefix": prefix} for prefix in TWO_FOLDERS],
        },
        refusal="2 data sets|ConcatDataset|folders",
    ),
    "two data sets": segmentation(
        wrap=lambda dataset: {
            "type": "ConcatDataset",
            "datasets": [{**dataset, "indices": [0]}, {**dataset, "indices": [1, 2]}],
        },
        refusal="2 data sets|ConcatDataset",
    ),
}  # fmt: skip


NEW_STYLE = """
from mmengine.dataset import DefaultSampler
from mmengine.runner import TestLoop
from mmcv.transforms import LoadImageFromFile, Resize
from mmseg.datasets import BaseSegDataset
from mmseg.datasets.transforms import LoadAnnotations, PackSegInputs
from mmseg.evaluation import IoUMetric
from PIL import ExifTags, Image
from mmseg.models import CrossEntropyLoss, EncoderDecoder, FCNHead, SegDataPreProcessor

from foreign_segmentation import ColourBackbone

model = dict(
    type=EncoderDecoder,
    data_preprocessor=dict(
        type=SegDataPreProcessor, mean=[110.0] * 3, std=[60.0] * 3, bgr_to_rgb=True
    ),
    backbone=dict(type=ColourBackbone),
    decode_head=dict(
        type=FCNHead,
        in_channels=8,
        channels=8,
        num_convs=0,
        concat_input=False,
        num_classes=4,
        loss_decode=dict(type=CrossEntropyLoss),
    ),
    test_cfg=dict(mode="whole"),
)
pipeline = [
    dict(type=LoadImageFromFile),
    dict(type=Resize, scale=(64, 48), keep_ratio=True),
    dict(type=LoadAnnotations),
    dict(type=PackSegInputs),
]
test_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type=DefaultSampler, shuffle=False),
    dataset=dict(
        type=BaseSegDataset,
        img_suffix=".png",
        metainfo=dict(classes=("road", "house", "car", "bicycle")),
        data_prefix=dict(img_path="img", seg_map_path="ann"),
        pipeline=pipeline,
    ),
)
test_evaluator = dict(type=IoUMetric)
test_cfg = dict(type=TestLoop)
"""


def write_new_style(folder, *, scope):
    for number, (image, label) in enumerate(scenes(4)):
        plain_layout(folder / "data", image, label, f"scene{number}")
    (folder / "shared.py").write_text(NEW_STYLE)
    lines = [
        "from mmengine.config import read_base",
        "with read_base():",
        "    from .shared import *",
        f"test_dataloader.update(dataset=dict(data_root={str(folder / 'data')!r}))",
    ]
    if scope:
        lines.append("default_scope = 'mmseg'")
    (folder / "config.py").write_text("\n".join(lines) + "\n")


CASES["new style"] = Case(partial(write_new_style, scope=True))
CASES["new style without default_scope"] = Case(partial(write_new_style, scope=False))


NAMES = ("intersection", "union", "predicted", "labelled")  # pixels of each class


@contextlib.contextmanager
def iou_counts():
    """Yield what `IoUMetric` counts."""
    found = {}

    def note(self, results):
        for name, counts in zip(NAMES, zip(*results, strict=True), strict=True):
            found[name] = sum(counts).numpy()

    with spying(IoUMetric, "compute_metrics", note):
        yield found


def areas(result):
    """The same of a cell."""
    table = result.samples["confusion_matrix"].astype(np.int64).sum(axis=0)
    both, predicted, labelled = np.diag(table), table.sum(axis=0), table.sum(axis=1)
    assert (predicted > 0).sum() >= 2  # else equality would prove little
    return dict(zip(NAMES, (both, predicted + labelled - both, predicted, labelled), strict=True))


@pytest.mark.filterwarnings("ignore")  # the libraries advise other settings
@pytest.mark.parametrize("name", CASES)
def test_the_same_pixels_are_counted(name, tmp_path):
    check(CASES[name], tmp_path, count=iou_counts, counted=areas)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name",
    [
        "slide", "augmented by the config", "label reader of colours", "masks of one class",
        "data set without a pipeline", "half precision in the test loop", "two data sets",
        "new style without default_scope",
    ],
)  # fmt: skip
def test_our_test_tool_counts_them_too(name, tmp_path):
    check_test_tool(CASES[name], tmp_path, count=iou_counts)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name",
    [
        "whole", "label reader of colours", "data set that renumbers what is packed",
        "image reader that gives RGB", "image reader that crops", "image reader that darkens",
        "image reader that gives fractions", "image reader of four channels",
        "image is read once more",
    ],
)  # fmt: skip
def test_files_of_a_corrupted_copy_count_too(name, tmp_path):
    check_copy(CASES[name], tmp_path, count=iou_counts, counted=areas)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name",
    [
        "augmented by the config", "data set that renumbers what is packed",
        "loading in a KeyMapper", "JPEG by pillow", "in a ConcatDataset",
    ],
)  # fmt: skip
def test_workers_count_them_too(name, tmp_path):
    case = CASES[name]
    workers = replace(case, words=(*case.words, "--workers", "2"))
    check(workers, tmp_path, count=iou_counts, counted=areas)
