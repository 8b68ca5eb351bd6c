"""From the command line of tools/show_corruptions.py to a picture."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from stl_backbones.corruptions import get_protocol, import_modules
from stl_backbones.corruptions.catalog import parse_levels
from stl_backbones.corruptions.sheet import draw_sheet
from stl_backbones.datasets.class_folders import read_rgb
from stl_backbones.errors import InputError, MissingFileError
from stl_backbones.records import CorruptionEngine

_ENDINGS = (".png", ".jpg", ".jpeg")


def make_sheet(
    args: argparse.Namespace,
    path: Path,
    engine: CorruptionEngine,
) -> Path:
    """Draw the sheet that a command line asks for.

    Args:
        args: Parsed by tools/show_corruptions.py.
        path: The image.
        engine: How it is corrupted.

    Returns:
        The picture's file.

    Raises:
        InputError: If the image cannot be read or is too small, or the file is of another kind.
        MissingFileError: If the image is missing.
        UnknownNameError: If protocol or corruption are unknown.
    """
    out = Path(f"{path.stem}_corruptions.png") if args.out is None else Path(args.out)
    if out.suffix.lower() not in _ENDINGS:
        raise InputError(f"--out must end in {', '.join(_ENDINGS)}, got '{out}'")
    if not path.is_file():
        raise MissingFileError(f"image '{path}' does not exist")
    import_modules(args.custom_imports)
    sheet = draw_sheet(
        _read(path, args.width),
        get_protocol(args.protocol or "all"),
        key=path.name,
        engine=engine,
        corruptions=args.corruptions,
        severities=args.severities,
        levels=parse_levels(args.levels),
        panel=args.panel,
    )
    sheet.save(out, quality=90, compress_level=1)
    return out


def _read(path: Path, width: int | None) -> np.ndarray:
    image = read_rgb(path)
    if width is not None:
        height = max(1, round(image.height * width / image.width))
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    return np.array(image)


__all__ = ["make_sheet"]
