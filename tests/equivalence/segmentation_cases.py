"""The configs whose sweeps are held to mmseg's own test."""

from functools import partial

import cv2
import numpy as np
from harness import Case
from segmentation_configs import (
    AUGMENTED,
    CITY,
    CLASSES,
    IMAGES,
    LABELS,
    LOAD,
    MASKS,
    PACK,
    RESIZE,
    TWO_FOLDERS,
    ade_layout,
    augment,
    bdd_layout,
    city_layout,
    colours,
    jpeg_layout,
    library_dataset,
    model,
    near_layout,
    plain_layout,
    raw_ids,
    replaced,
    segmentation,
    two_folders,
    voc_layout,
    with_labels,
    write_list,
    write_new_style,
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


CASES["new style"] = Case(partial(write_new_style, scope=True))
CASES["new style without default_scope"] = Case(partial(write_new_style, scope=False))
