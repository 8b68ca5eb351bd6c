"""The pictures of failures that a sweep's folder holds, for the report's page."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

from stl_backbones.report.read.runs import Run
from stl_backbones.report.sections import Gallery, Picture
from stl_backbones.results.atomic import write_atomically
from stl_backbones.results.failure_index import KINDS, read_pictures

PICTURES = "pictures"  # the folder beside the page


def read_gallery(runs: Sequence[Run], *, embed: bool = False) -> tuple[Gallery, dict[str, bytes]]:
    """The pictures of all models, in their order.

    Args:
        runs: The models.
        embed: Put the pictures into the page, as ``data:`` URIs.

    Returns:
        The section, and path beside the page -> content of the files to write; none if embedded.

    Raises:
        InputError: If pictures were altered, or are another sweep's.
        MissingFileError: If one is missing.
    """
    pictures, files = [], {}
    for number, run in enumerate(runs, start=1):
        for one, content in read_pictures(run.folder, run.provenance):
            file = f"{PICTURES}/{number}_{one.file}"
            if embed:
                kind = KINDS[Path(one.file).suffix]
                file = f"data:{kind};base64,{base64.b64encode(content).decode()}"
            else:
                files[file] = content
            pictures.append(
                Picture(file, one.caption, one.cell, one.image, run.label, note=one.note)
            )
    return Gallery(tuple(pictures)), files


def write_pictures(folder: Path, files: dict[str, bytes]) -> None:
    """Write the pictures beside the page; those of an earlier report go.

    Args:
        folder: The report's.
        files: As `read_gallery` returns them.
    """
    place = folder / PICTURES
    for path in place.glob("*") if place.is_dir() else ():
        if path.suffix in KINDS and f"{PICTURES}/{path.name}" not in files:
            path.unlink(missing_ok=True)  # another report may be written here just now
    for name, content in files.items():
        place.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / name, content)


__all__ = ["PICTURES", "read_gallery", "write_pictures"]
