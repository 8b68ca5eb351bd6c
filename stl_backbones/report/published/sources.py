"""Who published numbers, of what, and why one's own may not stand beside them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from stl_backbones.metrics import mean_of
from stl_backbones.records import CLEAN, Cell, Provenance
from stl_backbones.report.numbers.aggregates import Aggregates
from stl_backbones.report.numbers.format import SHORT_NAMES, full_name
from stl_backbones.report.published.files import number, read_published
from stl_backbones.report.read.runs import Run
from stl_backbones.report.sections import Column, Value

# Of robustbench/helper_files/imagenet_test_image_ids.txt, 5,000 of the 50,000 validation images.
ROBUSTBENCH_LIST = "d4121626d07722a0126c35b1563042e46a546f1a05ce705f2cdc635896d58574"
ROBUSTBENCH_IMAGES = 5000
_OTHER_SIZE = re.compile(r"corrupted files (?:through the same crop|resized to (?!224 ))")
_PERCENT = 0.01
_CELL = re.compile(r"([a-z0-9_]+)/([1-5])")
_FIFTEEN = (
    "gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "glass_blur", "motion_blur",
    "zoom_blur", "snow", "frost", "fog", "brightness", "contrast", "elastic_transform", "pixelate",
    "jpeg_compression",
)  # fmt: skip
Values = Mapping[str, Value]


@dataclass(frozen=True)
class Published:
    """A table of published numbers.

    Attributes:
        title: What it is of.
        task: The task of its models.
        comments: Source and units, as the file states them.
        columns: The columns.
        rows: Model -> column's key -> number.
        own: One's own numbers of the columns.
        why_apart: Why one's own may not stand beside them: phrases, none if they may.
    """

    title: str
    task: str
    comments: Sequence[str]
    columns: tuple[Column, ...]
    rows: Mapping[str, Values]
    own: Callable[[Run, Aggregates], Values]
    why_apart: Callable[[Run], Sequence[str]]


def _incomplete(run: Run) -> Iterator[str]:
    for one in (found.provenance for found in run.sets.values()):
        if one.num_images < one.num_images_total:
            yield f"{one.dataset} is not complete"


def _shared(record: Provenance, images: int, what: str) -> Iterator[str]:
    if record.num_images != images:
        yield f"of {record.num_images} images, theirs of {what}"


# ---------------------------------------------------------------- RobustBench


def _cells(row: Mapping[str, str], scale: float = 1.0) -> dict[Cell, float]:
    """The cells of a row whose columns are ``fog/3``."""
    found = {name: _CELL.fullmatch(name) for name in row}
    return {
        Cell(match[1], int(match[2])): float(row[name]) * scale
        for name, match in found.items()
        if match is not None and row[name]
    }


def corruption_means_of(cells: Mapping[Cell, float]) -> dict[str, float]:
    """Mean over the severities 1 to 5 of each corruption that has them all."""
    names = dict.fromkeys(cell.corruption for cell in cells)
    every = {name: [Cell(name, level) for level in range(1, 6)] for name in names}
    return {
        name: float(mean_of([cells[cell] for cell in own]))
        for name, own in every.items()
        if all(cell in cells for cell in own)
    }


def _corruption_columns(
    names: Sequence[str], meaning: str, better: Literal["higher", "lower"] = "higher"
) -> tuple[Column, ...]:
    titles = (SHORT_NAMES.get(name, full_name(name)) for name in names)
    return tuple(
        Column(name, title, f"{full_name(name)}: {meaning.lower()}", better=better)
        for name, title in zip(names, titles, strict=True)
    )


def robustbench_mce(
    cells: Mapping[Cell, float], file: str = "robustbench_imagenet_c"
) -> float | None:
    """MCE as RobustBench computes it: by AlexNet's accuracies on the same 5,000 images.

    Args:
        cells: Cell -> accuracy as a fraction.
        file: The file that holds AlexNet's.

    Returns:
        A fraction; ``None`` if a cell is missing.
    """
    row = next(row for row in read_published(file).rows if row["model"] == "AlexNet")
    base, means = corruption_means_of(_cells(row)), corruption_means_of(cells)
    if not base.keys() <= means.keys():
        return None
    return float(mean_of([(1 - means[name]) / (1 - base[name]) for name in base]))


def _robustbench(file: str, title: str, names: Sequence[str], *, is_measured: bool) -> Published:
    columns = (
        Column("clean", "Clean", "Top-1 on clean images"),
        Column("mean", "Mean", f"Mean of {len(names)} corruptions x 5 severities"),
        Column("mce", "mCE (RobustBench)", "By AlexNet's accuracies on the same images",
               better="lower"),
        *_corruption_columns(names, "Mean over severities"),
    )  # fmt: skip

    def row(source: Mapping[str, str]) -> Values:
        means = corruption_means_of(_cells(source))
        return {
            "clean": number(source["clean_acc"], _PERCENT), **means,
            "mean": number(source["mean_acc"], _PERCENT), "mce": number(source["mCE"], _PERCENT),
        }  # fmt: skip

    def own(run: Run, found: Aggregates) -> Values:
        del found
        scores = {cell: float(one[0]) for cell, one in run.replicates.get("top1", {}).items()}
        means = corruption_means_of(scores)
        whole = [means[name] for name in names if name in means]
        return {
            "clean": scores.get(CLEAN), **{name: means.get(name) for name in names},
            "mean": float(mean_of(whole)) if len(whole) == len(names) else None,
            "mce": robustbench_mce(scores, file),
        }  # fmt: skip

    def why(run: Run) -> Sequence[str]:
        record = run.provenance
        return list(_why_not_robustbench(record)) if is_measured else ["not measured here"]

    content = read_published(file)
    rows = {one["model"]: row(one) for one in content.rows}
    return Published(title, "classification", content.comments, columns, rows, own, why)


def _why_not_robustbench(record: Provenance) -> Iterator[str]:
    is_list = record.image_list.endswith(ROBUSTBENCH_LIST)
    if not is_list or record.num_images != ROBUSTBENCH_IMAGES:
        yield (
            f"of {record.num_images} images, theirs of the 5,000 that their "
            "imagenet_test_image_ids.txt lists (--image-list)"
        )
    if not record.corruption_source.startswith("folder:") or record.corruption_mode != "files":
        yield "corrupted here, theirs are ImageNet-C's own files"
    if _OTHER_SIZE.search(record.inference):
        yield "corrupted files resized otherwise, theirs to 224 pixels without crop"


def _robustbenches() -> list[Published]:
    content = read_published("robustbench_imagenet_3dcc")
    names = dict.fromkeys(cell.corruption for cell in _cells(content.rows[0]))
    return [
        _robustbench("robustbench_imagenet_c", "RobustBench, ImageNet-C", _FIFTEEN,
                     is_measured=True),
        _robustbench("robustbench_imagenet_3dcc", "RobustBench, ImageNet-3DCC", tuple(names),
                     is_measured=False),
    ]  # fmt: skip


# ----------------------------------------------------------------------- timm

# Column of the file -> its title, and our aggregate.
_TIMM = {
    "imagenet": ("ImageNet", "clean"), "real": ("ReaL", "real:clean"),
    "v2_matched_frequency": ("V2 matched frequency", "set:imagenet-v2-matched-frequency"),
    "sketch": ("Sketch", "set:imagenet-sketch"), "a": ("A", "set:imagenet-a"),
    "a_clean": ("A clean", "set:imagenet-a-clean"), "r": ("R", "set:imagenet-r"),
    "r_clean": ("R clean", "set:imagenet-r-clean"),
}  # fmt: skip


def _timm() -> list[Published]:
    content = read_published("timm_imagenet_shifts")
    columns = (
        Column("size", "Size, crop", "Side of the images, crop ratio, interpolation"),
        *(Column(key, title, f"Top-1, {title}") for key, (title, _) in _TIMM.items()),
    )
    rows = {
        f"{one['model']} ({one['img_size']}, {one['crop_pct']})": {
            "size": f"{one['img_size']} {one['crop_pct']} {one['interpolation']}",
            **{key: number(one[key], _PERCENT) for key in _TIMM},
        }
        for one in content.rows
    }

    def own(run: Run, found: Aggregates) -> Values:
        values = {key: found[name].value if name in found else None
                  for key, (_, name) in _TIMM.items()}  # fmt: skip
        return {"size": run.provenance.inference.partition(",")[0], **values}

    def why(run: Run) -> Sequence[str]:
        record = run.provenance
        apart = list(_shared(record, 50_000, "ImageNet-1K's 50,000 validation images"))
        if not record.imagenet_val:
            apart.insert(0, "not ImageNet-1K's validation images by name or number")
        if sketch := run.sets.get("imagenet-sketch"):
            apart += _shared(sketch.provenance, 50_889, "ImageNet-Sketch's 50,889")
        return [*apart, *_incomplete(run)]

    title = "timm, ImageNet and its relatives"
    return [Published(title, "classification", content.comments, columns, rows, own, why)]


# ---------------------------------------------------------------- SemSegBench


def _semsegbench() -> list[Published]:
    content = read_published("semsegbench_cityscapes")
    acdc = ("acdc", "acdc_fog", "acdc_night", "acdc_rain", "acdc_snow")
    columns = (
        Column("clean", "Clean", "mIoU on clean images"),
        Column("mean_15", "Mean 15", "Mean of 15 corruptions at severity 3"),
        *_corruption_columns(_FIFTEEN, "At severity 3"),
        *(Column(name, name.replace("acdc", "ACDC").replace("_", " "), "mIoU") for name in acdc),
    )
    rows = {
        f"{one['architecture']} {one['backbone']} {one['crop_size']}"
        + (f" ({one['note']})" if one["note"] else ""): {
            column.key: number(one[column.key], _PERCENT) for column in columns
        }
        for one in content.rows
    }

    def own(run: Run, found: Aggregates) -> Values:
        scores = run.replicates.get("miou", {})
        at = {name: scores.get(Cell(name, 3)) for name in _FIFTEEN}
        values: dict[str, Value] = {k: None if v is None else float(v[0]) for k, v in at.items()}
        known = [value for value in values.values() if isinstance(value, float)]
        sets = {key: f"set:{key.replace('_', '-')}" for key in acdc}
        return {
            "clean": float(scores[CLEAN][0]) if CLEAN in scores else None, **values,
            "mean_15": float(mean_of(known)) if len(known) == len(_FIFTEEN) else None,
            **{key: found[name].value if name in found else None for key, name in sets.items()},
        }  # fmt: skip

    def why(run: Run) -> Sequence[str]:
        record = run.provenance
        return [
            *_shared(record, 500, "Cityscapes val's 500"),
            *(() if record.channel_order == "bgr" else
              (f"corrupted in {record.channel_order.upper()} order, theirs in BGR",)),
            *(() if re.search(r"\bfloat16", record.inference) else ("theirs in half precision",)),
            *_incomplete(run),
        ]  # fmt: skip

    title = "SemSegBench, Cityscapes, severity 3 alone"
    return [Published(title, "segmentation", content.comments, columns, rows, own, why)]


# ----------------------------------------------- robust-detection-benchmark

_DATA = {"coco": ("COCO", 5000, 80), "cityscapes": ("Cityscapes", 500, 8),
         "pascal_voc": ("Pascal VOC", 4952, 20)}  # fmt: skip


def _detection() -> list[Published]:
    content = read_published("robust_detection_cells")
    kinds = dict.fromkeys((one["dataset"], one["task"], one["metric"]) for one in content.rows)
    return [*(_detection_table(*kind) for kind in kinds), _detection_list()]


def _detection_table(data: str, kind: str, metric: str) -> Published:
    content, (name, images, classes) = read_published("robust_detection_cells"), _DATA[data]
    columns = (
        Column("P", "P", f"{metric} on clean images"),
        Column("mPC", "mPC", "Mean under 15 corruptions x 5 severities"),
        Column("rPC", "rPC", "mPC divided by P"),
        *_corruption_columns(_FIFTEEN, "Mean over severities"),
    )

    def row(source: Mapping[str, str]) -> Values:
        means = corruption_means_of(_cells(source, _PERCENT))
        return {
            **{key: number(source[key], _PERCENT) for key in ("P", "mPC", "rPC")},
            **{one: means.get(one) for one in _FIFTEEN},
        }

    rows = {
        one["model"]: row(one)
        for one in content.rows
        if (one["dataset"], one["task"], one["metric"]) == (data, kind, metric)
    }

    def own(run: Run, found: Aggregates) -> Values:
        del found
        key = f"{'box' if kind == 'bbox' else 'mask'}_{metric.lower()}"
        scores = {cell: float(one[0]) for cell, one in run.replicates.get(key, {}).items()}
        means = corruption_means_of(scores)
        clean, whole = scores.get(CLEAN), [means[one] for one in _FIFTEEN if one in means]
        mean = float(mean_of(whole)) if len(whole) == len(_FIFTEEN) else None
        return {
            "P": clean, "mPC": mean, **{one: means.get(one) for one in _FIFTEEN},
            "rPC": mean / clean if mean is not None and clean else None,
        }  # fmt: skip

    def why(run: Run) -> Sequence[str]:
        record = run.provenance
        other = len(record.classes) != classes or record.num_images != images
        return [
            *((f"of {len(record.classes)} classes and {record.num_images} images, theirs of "
               f"{name}'s {classes} and {images}",) if other else ()),
            *(() if record.channel_order == "bgr" else
              (f"corrupted in {record.channel_order.upper()} order, theirs in BGR",)),
        ]  # fmt: skip

    masks = "masks" if kind == "segm" else "boxes"
    title = f"robust-detection-benchmark, {name}, {metric} of {masks}"
    return Published(title, "detection", content.comments, columns, rows, own, why)


def _detection_list() -> Published:
    """Their table of results, which has more models than the raw cells."""
    content = read_published("robust_detection_table")
    columns = (
        Column("data", "Data", "Data set, and what is scored"),
        *(Column(one, one, meaning) for one, meaning in (
            ("P", "On clean images"), ("mPC", "Mean under corruption"), ("rPC", "mPC divided by P")
        )),
    )  # fmt: skip
    rows = {
        f"{one['model']} {one['backbone']} ({one['dataset']}, {one['task']})": {
            "data": f"{one['dataset']}, {one['task']}",
            **{key: number(one[key], _PERCENT) for key in ("P", "mPC", "rPC")},
        }
        for one in content.rows
    }

    def own(run: Run, found: Aggregates) -> Values:
        del run, found
        return {}

    def why(run: Run) -> Sequence[str]:
        del run
        return ["one's own numbers are in the tables by data set"]

    title = "robust-detection-benchmark, the table of its page"
    return Published(title, "detection", content.comments, columns, rows, own, why)


# ------------------------------------------------------------ ImageNet-C-bar


def _c_bar() -> list[Published]:
    content = read_published("imagenet_c_bar")
    names = list(content.rows[0])[1:]
    whole = {"imagenet_c": "ImageNet-C", "imagenet_c_bar": "ImageNet-C-bar"}
    columns = (
        *(Column(key, name, f"Error on {name}", better="lower") for key, name in whole.items()),
        *_corruption_columns(names[len(whole):], "Top-1 error", "lower"),
    )  # fmt: skip
    rows = {
        f"ResNet-50, {one['augmentation']}": {name: number(one[name], _PERCENT) for name in names}
        for one in content.rows
    }
    ten = names[len(whole) :]
    ours = {"imagenet_c": "mean:imagenet-c", **{name: f"corruption:{name}" for name in ten}}

    def own(run: Run, found: Aggregates) -> Values:
        del run
        known = {name: found[key].value if key in found else None for name, key in ours.items()}
        scores = [score for name in ten if (score := known[name]) is not None]
        is_whole = len(scores) == len(ten) and "mean:chosen" not in found
        known["imagenet_c_bar"] = mean_of(scores) if is_whole else None
        return {name: None if value is None else 1 - value for name, value in known.items()}

    def why(run: Run) -> Sequence[str]:
        record = run.provenance
        apart = list(_shared(record, 50_000, "ImageNet-1K's 50,000 validation images"))
        return [*apart, "whether their images were corrupted in memory or stored is not stated"]

    title = "ImageNet-C-bar: top-1 error, mean over severities"
    return [Published(title, "classification", content.comments, columns, rows, own, why)]


SOURCES: Mapping[str, Callable[[], list[Published]]] = {
    "robustbench": _robustbenches,
    "timm": _timm,
    "semsegbench": _semsegbench,
    "robust-detection": _detection,
    "c-bar": _c_bar,
}

__all__ = ["ROBUSTBENCH_LIST", "SOURCES", "Published", "corruption_means_of", "robustbench_mce"]
