"""One seed per corrupted image, the same in every mode, order, process and machine."""

from __future__ import annotations

import hashlib
from pathlib import PurePosixPath

from stl_backbones.errors import InputError

# Part of every seed: a change of the recipe must change the version, and with it all draws.
SEED_VERSION = "stl-1"


def draw_seed(key: str, name: str, severity: float, *, seed: int = 0) -> int:
    """The seed of one corrupted image.

    Args:
        key: The image's id, for example its path relative to the data set's image folder.
        name: The corruption.
        severity: 1 to 5, fractions too; 0 where all severities of an image share one draw.
        seed: The user's seed; another one gives another draw of the whole benchmark.

    Returns:
        0 to 2**32 - 1: the first 4 bytes, little endian, of blake2b over
        ``'stl-1|<key>|<name>|<severity>|<seed>'``.
    """
    text = f"{SEED_VERSION}|{key}|{name}|{severity:g}|{seed}"
    return int.from_bytes(hashlib.blake2b(text.encode()).digest()[:4], "little")


def check_key(key: str) -> None:
    """Refuse a file name that is no text, or no path below the image folder.

    No draw, and no result, can be named after it; and a list of images must not lead elsewhere.

    Raises:
        ValueError: If it holds bytes that are no UTF-8, or leads out of the image folder.
    """
    try:
        key.encode()
    except UnicodeEncodeError:
        shown = key.encode(errors="backslashreplace").decode()
        raise InputError(f"the image name '{shown}' is no UTF-8; rename the file") from None
    if leads_out(key):
        raise InputError(f"the image name '{key}' leads out of the image folder")


def leads_out(name: str) -> bool:
    """Whether a path that a file states is none below the folder it is meant for."""
    if any("\ud800" <= one <= "\udfff" for one in name):  # no UTF-8, so no file's name
        return True
    path = PurePosixPath(name)
    return path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name
