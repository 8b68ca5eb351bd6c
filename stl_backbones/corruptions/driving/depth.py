"""Distances of a scene, image by image: Cityscapes' disparities, or maps in metres of one's own."""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from stl_backbones.corruptions.decoding import decode
from stl_backbones.corruptions.images import IMAGE_DAMAGE
from stl_backbones.corruptions.native.arrays import Floats
from stl_backbones.corruptions.native.compiled import kernel
from stl_backbones.corruptions.seeds import check_key
from stl_backbones.errors import InputError, MissingFileError
from stl_backbones.plain_files import map_array, read_json

FILLING = "row-fill 1"  # of holes, see `fill`; another rule needs another name
_DISPARITY, _CAMERA, _IMAGE = "_disparity.png", "_camera.json", "_leftImg8bit"
_READ = 32  # files whose bytes are part of a folder's identity


@lru_cache(maxsize=4)
def identity(folder: str) -> str:
    """What a record says of a folder: its name, a hash, and how holes are filled.

    The hash is over the names and sizes of all files, and the bytes of at most 32 of them, evenly
    chosen.
    """
    root = Path(folder)
    parts = [root / name for name in ("disparity", "camera")]
    roots = parts if parts[0].is_dir() else [root]
    files = sorted(
        path for one in roots for path in one.rglob("*")
        if path.suffix in (".png", ".npy", ".json") and path.is_file()
    )  # fmt: skip
    digest = hashlib.blake2b(digest_size=8)
    for path in files:
        digest.update(f"{path.relative_to(root).as_posix()}\0{path.stat().st_size}\0".encode())
    for path in files[:: max(1, -(-len(files) // _READ))]:
        digest.update(path.read_bytes())
    return f"depth '{root.resolve().name}' {digest.hexdigest()}, {FILLING}"


@lru_cache(maxsize=2)
def read_depth(folder: str, key: str, height: int, width: int) -> Floats:
    """The distances of an image, holes filled.

    With a folder ``disparity`` in it, the folder is Cityscapes': ``disparity/<split>/<city>/
    <name>_disparity.png`` and ``camera/<split>/<city>/<name>_camera.json`` belong to
    ``<city>/<name>_leftImg8bit.png``. Else it has ``<key without ending>.npy``, float metres, or
    ``.png``, 16 bit centimetres, distances along the ray; 0 and NaN are holes, infinite is far.

    Args:
        folder: The folder.
        key: The image's id, its path below the image folder.
        height: Of the image.
        width: Of the image.

    Returns:
        ``(height, width)`` float32 metres along the ray, not to be changed; infinite in the sky.

    Raises:
        MissingFileError: If the image has no map in the folder.
        InputError: If the map is of another size or kind, has no valid value or a negative one.
    """
    check_key(key)
    path = find_map(folder, key)
    is_disparity = path.is_relative_to(Path(folder) / "disparity")
    depth = _from_disparity(path) if is_disparity else _from_map(path)
    if depth.shape != (height, width):
        sizes = f"{depth.shape[1]}x{depth.shape[0]}", f"{width}x{height}"
        raise InputError(
            f"depth '{path}' is {sizes[0]}, its image is corrupted at {sizes[1]}; expected one size"
        )
    if np.any(depth < 0):
        raise InputError(f"depth '{path}' has negative values; expected metres, 0 for holes")
    if not np.any(depth > 0):
        raise InputError(f"depth '{path}' has no valid value: all are 0 or NaN")
    filled = fill(depth)
    filled.flags.writeable = False
    return filled


def find_map(folder: str, key: str) -> Path:
    """The file of an image's distances.

    Raises:
        MissingFileError: If there is none.
    """
    root = Path(folder)
    is_cityscapes = (root / "disparity").is_dir()
    return _disparity_file(root, key) if is_cityscapes else _map_file(root, key)


def fill(depth: Floats) -> Floats:
    """Fill the holes of a map, which are 0 or NaN.

    1. A hole in the upper half with no valid value above it, in a column that has some, is sky.
    2. Any other gets the farther of the nearest values to its left and right in its row: what is
       hidden from the second camera is behind.
    3. A row without any value is the nearest one above it that has some, or below.

    Args:
        depth: ``(H, W)`` metres.

    Returns:
        A new array.
    """
    filled = np.nan_to_num(depth, nan=0.0, posinf=np.inf).astype(np.float32)
    empty = np.zeros(len(filled), np.bool_)
    _fill(filled, empty)
    rows = np.flatnonzero(~empty)
    for row in np.flatnonzero(empty):
        place = int(np.searchsorted(rows, row))
        filled[row] = filled[rows[max(place - 1, 0)]]
    return filled


@kernel
def _fill(depth: Floats, empty: npt.NDArray[np.bool_]) -> None:
    height, width = depth.shape
    for column in range(width):
        first = 0
        while first < height and depth[first, column] == 0:
            first += 1
        if first < height:
            depth[: min(first, height // 2), column] = np.inf
    for row in range(height):
        line = depth[row]
        start = 0
        while start < width:
            if line[start] > 0:
                start += 1
                continue
            end = start
            while end < width and line[end] == 0:
                end += 1
            if end - start == width:
                empty[row] = True
            left = line[start - 1] if start > 0 else np.float32(0)
            right = line[end] if end < width else np.float32(0)
            line[start:end] = max(left, right)
            start = end


def _disparity_file(root: Path, key: str) -> Path:
    image = PurePosixPath(key)
    name = image.stem.removesuffix(_IMAGE) + _DISPARITY
    city = image.parent if image.parent.parts else PurePosixPath(name.partition("_")[0])
    splits = [Path(), *sorted(one for one in (root / "disparity").iterdir() if one.is_dir())]
    for split in splits:
        path = root / "disparity" / split.name / city / name
        if path.is_file():
            return path
    raise MissingFileError(
        f"image '{key}' has no depth: expected '{root / 'disparity'}/<split>/{city}/{name}'"
    )


def _from_disparity(path: Path) -> Floats:
    """``B fx / d`` along the ray; ``p = 0`` is a hole, else ``d = (p - 1) / 256`` pixels."""
    stored = _read_16_bit(path, "disparities as Cityscapes stores them")
    below = path.relative_to(root := _root_of(path))
    file = root.parent / "camera" / below.with_name(path.name.removesuffix(_DISPARITY) + _CAMERA)
    baseline, focal, u0, v0 = _read_camera(file)
    height, width = stored.shape
    across, down = np.arange(1, width + 1) - u0, np.arange(1, height + 1) - v0
    slant = np.sqrt(1 + (across[None] ** 2 + down[:, None] ** 2) / focal**2)
    with np.errstate(divide="ignore"):
        depth = baseline * focal * 256 / (np.maximum(stored, 1) - 1.0) * slant
    return np.where(stored == 0, 0, depth).astype(np.float32)


def _root_of(path: Path) -> Path:
    return next(parent for parent in path.parents if parent.name == "disparity")


def _read_camera(file: Path) -> tuple[float, float, float, float]:
    if not file.is_file():
        raise MissingFileError(f"disparities need their camera: '{file}' does not exist")
    camera = read_json(file)
    try:
        inside = camera["intrinsic"]
        values = camera["extrinsic"]["baseline"], inside["fx"], inside["u0"], inside["v0"]
        baseline, focal, u0, v0 = map(float, values)
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise InputError(
            f"camera '{file}' is not as expected: it needs the numbers extrinsic.baseline and "
            f"intrinsic.fx, u0 and v0 ({type(error).__name__}: {error})"
        ) from error
    if not (baseline > 0 and focal > 0 and all(map(math.isfinite, (baseline, focal, u0, v0)))):
        raise InputError(
            f"camera '{file}': expected positive baseline and fx, and finite u0 and v0, got "
            f"{baseline}, {focal}, {u0}, {v0}"
        )
    return baseline, focal, u0, v0


def _map_file(root: Path, key: str) -> Path:
    stem = str(PurePosixPath(key).with_suffix(""))
    for ending in (".npy", ".png"):
        path = root / f"{stem}{ending}"
        if path.is_file():
            return path
    raise MissingFileError(
        f"image '{key}' has no depth: expected '{root / stem}.npy' or '.png', or a folder "
        f"'{root / 'disparity'}'"
    )


def _from_map(path: Path) -> Floats:
    if path.suffix == ".png":
        return _read_16_bit(path, "centimetres").astype(np.float32) / np.float32(100)
    depth = map_array(path)
    if depth.ndim != 2 or depth.dtype.kind != "f":
        raise InputError(
            f"depth '{path}': expected (H, W) floating-point metres, got {depth.dtype} of shape "
            f"{depth.shape}"
        )
    return np.array(depth, np.float32)


def _read_16_bit(path: Path, what: str) -> npt.NDArray[np.uint16]:
    try:
        with Image.open(path):  # refuses too many pixels, before OpenCV asks for their memory
            stored = decode(path.read_bytes(), cv2.IMREAD_UNCHANGED)
    except IMAGE_DAMAGE:
        stored = None
    if stored is None or stored.dtype != np.uint16 or stored.ndim != 2:
        came = "no picture" if stored is None else f"{stored.dtype} of shape {stored.shape}"
        raise InputError(f"depth '{path}': expected one channel of 16 bits, {what}; got {came}")
    return np.asarray(stored, np.uint16)
