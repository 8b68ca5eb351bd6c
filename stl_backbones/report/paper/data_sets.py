"""The data that the paper's rows are of, and whether one's own numbers are of the same."""

from __future__ import annotations

from stl_backbones.records import Provenance
from stl_backbones.report.paper.tables import read_paper_table
from stl_backbones.report.read.text import plain

IMAGENET_IMAGES = 50_000  # of the validation set; the paper's rows by corruption are of its copies


def why_apart(record: Provenance, data_set: str) -> str:
    """Why numbers may not stand beside those of a data set of `data_sets.csv`.

    Args:
        record: What they were measured with.
        data_set: Its name there.

    Returns:
        A phrase, or nothing where classes and number of images are the data set's.
    """
    rows = [row for row in read_paper_table("data_sets.csv") if row["data_set"] == data_set]
    classes, images = {row["class"] for row in rows}, int(rows[0]["images"])
    if {name.casefold() for name in record.classes} != classes:
        return _other(record, f"{data_set}, {len(classes)} classes, {images} images")
    return why_too_few(record, data_set, images)


def why_not_imagenet(record: Provenance) -> str:
    """Why numbers may not stand beside those of ImageNet-1K; see `why_apart`."""
    if not record.imagenet_val:
        return _other(record, f"ImageNet-1K's {IMAGENET_IMAGES} validation images")
    return why_too_few(record, "ImageNet-1K", IMAGENET_IMAGES)


def why_too_few(record: Provenance, data_set: str, images: int) -> str:
    """The phrase where not all images of the data set were scored."""
    few = f"of {record.num_images} images, the paper's of {data_set}'s {images}"
    return few if record.num_images != images else ""


def _other(record: Provenance, theirs: str) -> str:
    return (
        f"of '{plain(record.dataset)}', {len(record.classes)} classes, {record.num_images} images; "
        f"the paper's of {theirs}"
    )
