"""Whether image and label files are whole and belong together, without decoding them."""

from __future__ import annotations

import os
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from PIL import ExifTags, Image, UnidentifiedImageError

from stl_backbones.corruptions.decoding import PNG_START, png_chunks
from stl_backbones.corruptions.images import IMAGE_DAMAGE
from stl_backbones.errors import InputError, MissingFileError
from stl_backbones.image_files import ending, has_clutter, is_image

T = TypeVar("T")
_PNG_END = b"IEND\xaeB`\x82"  # the last chunk, with its checksum
_JPEG_START = b"\xff\xd8"
_JPEG_END = b"\xff\xd9"
_JPEG_SCAN = b"\xda"  # marker of what holds the pixels; an end before it is a thumbnail's
_TAIL = 64  # some writers put padding after the end marker
_LABEL_MODES = ("L", "P", "1")  # 8 bit or less, one channel
_LOSSY = ("JPEG", "MPO")
_TURNED_BY_OPENCV = ("JPEG", "MPO", "PNG")  # as EXIF says; it turns no WebP
_ON_ITS_SIDE = (5, 6, 7, 8)  # EXIF orientations that swap width and height


_Run = Callable[[Callable[[], Any]], Any]
_run: ContextVar[_Run] = ContextVar("_run", default=lambda check: check())


@contextmanager
def checking_files_by(run: _Run) -> Iterator[None]:
    """Have data sets check their files by another call meanwhile, which shares what one finds.

    Args:
        run: Takes the check and returns its result, on each process of a job; the default runs it.
    """
    token = _run.set(run)
    try:
        yield
    finally:
        _run.reset(token)


def check_files(check: Callable[[], T]) -> T:
    """The result of a check that opens every file of a data set: once a job, if it says so."""
    return _run.get()(check)


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
    _check_file(path)
    with Path(path).open("rb") as file:
        start = file.read(len(PNG_START))
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL))
        tail = file.read()
    if size == 0:
        raise InputError(f"'{path}' is empty")
    if start == PNG_START and _PNG_END not in tail:
        check_intact(path)
    if start.startswith(_JPEG_START) and _JPEG_END not in tail and not _ends(path):
        raise _truncated(path, size)


def check_intact(path: str | Path) -> None:
    """Refuse what `check_whole` does, and a PNG that its own checksums say was altered.

    A PNG is read for that. A JPEG has no checksums: what is altered shows only in its pixels.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is empty, truncated or damaged.
    """
    _check_file(path)
    with Path(path).open("rb") as file:
        is_png = file.read(len(PNG_START)) == PNG_START
    if not is_png:
        check_whole(path)
        return
    content = memoryview(Path(path).read_bytes())
    for _, begin, end in png_chunks(content):
        if end > len(content):
            raise _truncated(path, len(content))
        checksum = int.from_bytes(content[end - 4 : end])
        if zlib.crc32(content[begin + 4 : end - 4]) != checksum:
            raise InputError(f"'{path}' is damaged: a checksum in it does not fit its content")


def _check_file(path: str | Path) -> None:
    if not Path(path).is_file():  # a folder, a broken link, a pipe that would be read for ever
        raise MissingFileError(f"'{path}' does not exist, or is no file")


def _ends(path: str | Path) -> bool:
    """Whether a JPEG's pixels have an end, whatever a camera wrote behind it."""
    content = Path(path).read_bytes()
    start = len(_JPEG_START)
    while content[start : start + 1] == b"\xff":
        if content[start + 1 : start + 2] == _JPEG_SCAN:
            return _JPEG_END in content[start:]
        start += 2 + int.from_bytes(content[start + 2 : start + 4])
    return False


def _truncated(path: str | Path, size: int) -> InputError:
    return InputError(f"'{path}' is truncated: its end is missing ({size} bytes are there)")


def image_header(path: str | Path) -> tuple[tuple[int, int], str]:
    """Size (width, height), as stored, and PIL mode of an image file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no image, or has too many pixels to be one.
    """
    size, mode, _, _ = _read_header(path)
    return size, mode


def decoded_size(path: str | Path) -> tuple[int, int]:
    """Width and height of an image as OpenCV decodes it: turned as its EXIF says.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no image, or has too many pixels to be one.
    """
    (width, height), _, kind, orientation = _read_header(path)
    is_turned = kind in _TURNED_BY_OPENCV and orientation in _ON_ITS_SIDE
    return (height, width) if is_turned else (width, height)


def is_read_apart(path: str | Path) -> bool:
    """Whether OpenCV, as OpenMMLab uses it, and Pillow, as timm does, give other pixels.

    OpenCV follows EXIF's orientation, and turns CMYK into RGB in a way of its own.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no image, or has too many pixels to be one.
    """
    _, mode, kind, orientation = _read_header(path)
    return mode == "CMYK" or (kind in _TURNED_BY_OPENCV and orientation in range(2, 9))


def _read_header(path: str | Path) -> tuple[tuple[int, int], str, str | None, int]:
    """Size, mode, format and orientation."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Corrupt EXIF data")
            with Image.open(path) as image:
                orientation = _orientation(image.info.get("exif", b""))
                return image.size, image.mode, image.format, orientation
    except UnidentifiedImageError as error:
        raise InputError(f"'{path}' is no image") from error
    except IMAGE_DAMAGE as error:
        if getattr(error, "errno", None) is not None:  # of the disk, say
            raise
        raise InputError(f"'{path}' is a damaged image: {error}") from error


def _orientation(exif: bytes) -> int:
    """EXIF's orientation, 1 (upright) where it says nothing that can be read."""
    content = Image.Exif()
    try:
        content.load(exif)
    except IMAGE_DAMAGE:
        return 1
    found = content.get(ExifTags.Base.Orientation)
    return found if isinstance(found, int) else 1


def check_pair(image: str | Path, label: str | Path) -> None:
    """Check an image and its label map by their headers.

    Raises:
        FileNotFoundError: If one is missing.
        ValueError: If one is truncated, damaged or no image, the label is not 8 bit with one
            channel or was compressed with loss, or the sizes differ.
    """
    if not Path(label).is_file():
        raise MissingFileError(f"'{image}' has no label map: expected '{label}'")
    for path in (image, label):
        check_intact(path)
    image_size, (label_size, mode, kind, _) = decoded_size(image), _read_header(label)
    if mode not in _LABEL_MODES:
        raise InputError(f"label map '{label}' must be 8 bit with one channel, got mode '{mode}'")
    if kind in _LOSSY:
        raise InputError(f"label map '{label}' must be stored without loss, as PNG, got JPEG")
    if image_size != label_size:
        raise InputError(
            f"image and label map must be of one size: '{image}' is "
            f"{image_size[0]}x{image_size[1]}, '{label}' is {label_size[0]}x{label_size[1]}"
        )


def find_lost_images(data_set: Any) -> dict[str, str]:
    """Find the label maps of an mmseg data set that have no image: it is not listed, so not scored.

    Args:
        data_set: A built data set of mmseg.

    Returns:
        The path that the image should have -> what is wrong with it; nothing where a file lists
        the images, or the label maps' names do not follow from those of the images.
    """
    prefix = data_set.data_prefix
    images, labels = prefix.get("img_path"), prefix.get("seg_map_path")
    is_listed = bool(getattr(data_set, "ann_file", "")) and Path(data_set.ann_file).is_file()
    if is_listed or not images or not labels or not getattr(data_set, "seg_map_suffix", ""):
        return {}
    lost = {}
    for label in sorted(Path(labels).rglob(f"*{data_set.seg_map_suffix}")):
        if has_clutter(label, labels):
            continue
        name = label.relative_to(labels).as_posix().removesuffix(data_set.seg_map_suffix)
        image = Path(images, f"{name}{data_set.img_suffix}")
        if not image.is_file():
            lost[str(image)] = f"label map '{label}' has no image: expected the file '{image}'"
    return lost


def find_unlisted(data_set: Any) -> Counter[str]:
    """Count the images in an mmseg data set's folder that its ``img_suffix`` leaves out.

    Args:
        data_set: A built data set of mmseg.

    Returns:
        Ending -> how many; nothing where a file lists the images, or labels lie among them.
    """
    prefix = getattr(data_set, "data_prefix", None) or {}
    folder, suffix = prefix.get("img_path"), getattr(data_set, "img_suffix", "")
    is_listed = bool(getattr(data_set, "ann_file", "")) and Path(data_set.ann_file).is_file()
    if is_listed or not folder or not suffix or folder == prefix.get("seg_map_path"):
        return Counter()
    names = (path for path in Path(folder).rglob("*") if is_image(path.name))
    return Counter(
        ending(path.name)
        for path in names
        if not path.name.endswith(suffix) and not has_clutter(path, folder)
    )


def drop_broken_pairs(
    items: Sequence[Mapping[str, Any]],
    *,
    skip_broken: bool,
    lost: Mapping[str, str] = MappingProxyType({}),
) -> tuple[list[int], dict[str, str]]:
    """Check all pairs of a segmentation data set.

    Args:
        items: mmseg's data infos, with ``img_path`` and ``seg_map_path``.
        skip_broken: Leave broken pairs out instead of refusing the data set.
        lost: Images that are not there, see `find_lost_images`.

    Returns:
        The indices of the whole pairs, and broken image path -> what is wrong with it.

    Raises:
        ValueError: If a pair is broken and ``skip_broken`` is false, or if all are.
    """
    whole, broken = [], dict(lost)
    for index, item in enumerate(items):
        try:
            check_pair(item["img_path"], item["seg_map_path"])
            whole.append(index)
        except (ValueError, OSError) as error:
            broken[item["img_path"]] = str(error)
    if broken and (not skip_broken or not whole):
        first = next(iter(broken.values()))
        hint = "" if skip_broken else "; --skip-broken goes on without"
        total = len(items) + len(lost)
        raise InputError(f"{first} ({len(broken)} of {total} images are broken{hint})")
    return whole, broken
