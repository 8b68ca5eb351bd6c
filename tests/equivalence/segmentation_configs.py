"""Small data sets and configs of mmseg, as someone else might have them."""

import numpy as np
from foreign_segmentation import COLOURS, RAW_IDS
from harness import Case, write_config, write_png
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
