"""Whether image and label files are whole and belong together, without decoding them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"IEND\xaeB`\x82"  # the last chunk, with its checksum
_JPEG_START = b"\xff\xd8"
_JPEG_END = b"\xff\xd9"
_TAIL = 64  # some writers put padding after the end marker
_LABEL_MODES = ("L", "P", "1")  # 8 bit or less, one channel


def image_id(path: str | Path, root: str | Path | None) -> str:
    """The id of an image: its path below the image folder, in POSIX form.

    Corruptions are drawn from it, so it must not depend on where the data set lies.

    Args:
        path: The image file.
        root: The data set's image folder; ``None``, or a folder elsewhere, leaves the file's name.
    """
    path = Path(path)
    if root is not None and path.is_relative_to(root):
        return path.relative_to(root).as_posix()
    return path.name


def check_whole(path: str | Path) -> None:
    """Refuse a PNG or JPEG file that ends too early; other formats pass.

    Decoders hand out the half they got of a truncated file, as if nothing had happened.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is empty or truncated.
    """
    with Path(path).open("rb") as file:
        start = file.read(len(_PNG_START))
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL))
        tail = file.read()
    if size == 0:
        raise ValueError(f"'{path}' is empty")
    png, jpeg = start == _PNG_START, start.startswith(_JPEG_START)
    if (png and _PNG_END not in tail) or (jpeg and _JPEG_END not in tail):
        raise ValueError(f"'{path}' is truncated: its end is missing ({size} bytes are there)")


def image_header(path: str | Path) -> tuple[tuple[int, int], str]:
    """Size (width, height) and PIL mode of an image file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no image.
    """
    try:
        with Image.open(path) as image:
            return image.size, image.mode
    except UnidentifiedImageError as error:
        raise ValueError(f"'{path}' is no image") from error
    except (SyntaxError, EOFError) as error:
        raise ValueError(f"'{path}' is a damaged image: {error}") from error


def check_pair(image: str | Path, label: str | Path) -> None:
    """Check an image and its label map by their headers.

    Raises:
        FileNotFoundError: If one is missing.
        ValueError: If one is truncated or no image, the label is not 8 bit with one channel, or
            the sizes differ.
    """
    if not Path(label).is_file():
        raise FileNotFoundError(f"'{image}' has no label map: expected '{label}'")
    for path in (image, label):
        check_whole(path)
    (image_size, _), (label_size, mode) = image_header(image), image_header(label)
    if mode not in _LABEL_MODES:
        raise ValueError(f"label map '{label}' must be 8 bit with one channel, got mode '{mode}'")
    if image_size != label_size:
        raise ValueError(
            f"image and label map must be of one size: '{image}' is "
            f"{image_size[0]}x{image_size[1]}, '{label}' is {label_size[0]}x{label_size[1]}"
        )


def drop_broken_pairs(
    items: Sequence[Mapping[str, Any]], *, skip_broken: bool
) -> tuple[list[int], dict[str, str]]:
    """Check all pairs of a segmentation data set.

    Args:
        items: mmseg's data infos, with ``img_path`` and ``seg_map_path``.
        skip_broken: Leave broken pairs out instead of refusing the data set.

    Returns:
        The indices of the whole pairs, and broken image path -> what is wrong with it.

    Raises:
        ValueError: If a pair is broken and ``skip_broken`` is false, or if all are.
    """
    whole, broken = [], {}
    for index, item in enumerate(items):
        try:
            check_pair(item["img_path"], item["seg_map_path"])
            whole.append(index)
        except (ValueError, OSError) as error:
            broken[item["img_path"]] = str(error)
    if broken and (not skip_broken or not whole):
        first = next(iter(broken.values()))
        hint = "" if skip_broken else "; --skip-broken goes on without"
        raise ValueError(f"{first} ({len(broken)} of {len(items)} images are broken{hint})")
    return whole, broken
