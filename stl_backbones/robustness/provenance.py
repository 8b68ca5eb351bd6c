"""What a sweep's numbers are measured with."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from stl_backbones import __version__
from stl_backbones.corruptions import (
    CORRUPTIONS,
    check_depth,
    custom_versions,
    engine_version,
    get_protocol,
)
from stl_backbones.corruptions.catalog import FROM_DISK, group_of
from stl_backbones.datasets.image_list import read_image_list
from stl_backbones.engine.precision import describe_float32
from stl_backbones.records import Provenance
from stl_backbones.robustness.corrupted_copy import CorruptedCopy
from stl_backbones.robustness.options import SweepOptions

_ABSENT = "absent"
GENERATED = "mini.json"  # what tools/make_mini_data.py leaves beside its data sets
_SPLITS = frozenset({"val", "validation", "test", "train"})
_PACKAGES = ("torch", "numpy", "opencv-python", "pillow", "scikit-image", "scipy", "numba")
# Of two makers, under one import name; recorded as they are installed.
OPENMMLAB = (
    "onedl-mmcv", "onedl-mmengine", "onedl-mmdetection", "onedl-mmsegmentation",
    "mmcv", "mmengine", "mmdet", "mmsegmentation",
)  # fmt: skip


def describe(options: SweepOptions, *, libraries: Sequence[str], **fields: Any) -> Provenance:
    """What is measured, and how, on this machine.

    Args:
        options: Resolved options.
        libraries: Packages that predict, where they are installed.
        **fields: Fields of a `Provenance`; protocol, device and versions are filled in. Its
            ``inference`` is given without what `describe_float32` says.
    """
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    inference = [fields.pop("inference"), describe_float32(tf32=options.tf32)]
    cells = options.cells()
    is_whole = set(cells) == set(get_protocol(options.protocol).cells())
    chosen = () if is_whole else tuple(sorted(cell.name for cell in cells))
    listed = "" if options.image_list is None else read_image_list(options.image_list).text
    stated = {
        "image_list": listed,
        "protocol": options.protocol,
        "chosen": chosen,
        "device": device,
        "versions": _versions_of(libraries),
    }
    return Provenance(**{**stated, **fields}, inference=", ".join(filter(None, inference)))


def corruption_fields(
    copy: CorruptedCopy[Any] | None, options: SweepOptions, keys: Sequence[str]
) -> dict[str, Any]:
    """How the images were corrupted: here, or in the making of the copy that they come from.

    Args:
        copy: The copy.
        options: Resolved options.
        keys: The images' ids.

    Returns:
        Fields of a `Provenance`.

    Raises:
        MissingFileError: If an image lacks distances that its corruption needs.
    """
    names = tuple(dict.fromkeys(c.corruption for c in options.cells() if not c.is_clean))
    if copy is None:
        check_depth(names, options.engine.depth, keys)
        return {
            "corruption_source": "on-the-fly",
            "corruption_mode": options.mode,
            "corruption_package": engine_version(options.engine),
            "channel_order": options.channel_order,
            "seed": options.seed,
            "custom_versions": custom_versions(names, options.engine.depth),
        }
    manifest, source = copy.manifest, f"folder:{Path(str(options.corrupted_root)).resolve().name}"
    custom = {name: "from disk" if group_of(name) == FROM_DISK else "unknown"
              for name in names if name not in CORRUPTIONS}  # fmt: skip
    if manifest is None:
        return {
            "corruption_source": source,
            "corruption_mode": "files",
            "corruption_package": "unknown",
            "channel_order": "unknown",
            "seed": options.seed,
            "custom_versions": custom,
            "copy_digests": copy.digests,
        }
    return {
        "corruption_source": f"{source} ({manifest.image_format})",
        "corruption_mode": manifest.mode,
        "corruption_package": manifest.engine,
        "channel_order": manifest.channel_order,
        "seed": manifest.seed,
        "custom_versions": {name: manifest.custom.get(name, own) for name, own in custom.items()},
        "copy_digests": copy.digests,
    }


def data_name(root: str | Path) -> str:
    """What a data set is called in tables: its folder's name, or its parent's for a split's."""
    folder = Path(root).resolve()
    if folder.name.lower() in _SPLITS:
        folder = folder.parent
    is_generated = (folder.parent / GENERATED).is_file()  # `mini/cityscapes` is no Cityscapes
    return f"{folder.parent.name}/{folder.name}" if is_generated else folder.name


def fingerprint(files: Sequence[tuple[str, Path]]) -> str:
    """blake2b over names and bytes of files, in the order given; 32 hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=16)
    for name, path in files:
        content = path.read_bytes()
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _versions_of(libraries: Sequence[str]) -> dict[str, str]:
    """Package -> version, ``'absent'`` where it is not installed; Python's and our own too."""
    found = {"python": platform.python_version(), "stl_backbones": __version__}
    for name in (*_PACKAGES, *libraries):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            if name in _PACKAGES:
                found[name] = _ABSENT
    return found


__all__ = ["OPENMMLAB", "corruption_fields", "data_name", "describe", "fingerprint"]
