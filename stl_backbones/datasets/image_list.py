"""A list of images: a text file with one image's path below its data set's folder a line."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stl_backbones.errors import InputError, some_of
from stl_backbones.paths import check_file


@dataclass(frozen=True)
class ImageList:
    """The images of a list.

    Attributes:
        path: The file.
        names: Their ids, in its order.
        sha256: Hash of its bytes.
    """

    path: Path
    names: tuple[str, ...]
    sha256: str

    @property
    def text(self) -> str:
        """What a record keeps of it."""
        return f"{self.path.name} sha256 {self.sha256}"

    def select(self, keys: Sequence[str], where: object) -> list[int]:
        """Positions of the listed images, in the data set's order.

        Args:
            keys: The data set's ids.
            where: The data set, in errors.

        Raises:
            InputError: If a name is not there.
        """
        wanted = set(self.names)
        absent = wanted.difference(keys)
        if absent:
            raise InputError(
                f"--image-list '{self.path}' names {len(absent)} of {len(wanted)} images that are "
                f"not in '{where}' ({some_of(sorted(absent))}); expected ids such as "
                f"'{min(keys, default='')}'"
            )
        return [index for index, key in enumerate(keys) if key in wanted]


def read_image_list(path: str | Path) -> ImageList:
    """Read a list.

    Raises:
        MissingFileError: If there is no such file.
        InputError: If it is no text, empty, or has a line twice.
    """
    content = check_file(path, "--image-list").read_bytes()
    try:
        lines = [line.strip() for line in content.decode("utf-8-sig").splitlines()]
    except UnicodeDecodeError:
        raise InputError(f"--image-list '{path}' is no text; expected one image a line") from None
    names = tuple(line for line in lines if line)
    if not names:
        raise InputError(f"--image-list '{path}' is empty; expected one image a line")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"--image-list '{path}' has '{twice}' twice; expected each image once")
    return ImageList(Path(path), names, hashlib.sha256(content).hexdigest())


__all__ = ["ImageList", "read_image_list"]
