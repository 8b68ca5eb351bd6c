"""Conditions of a set's images beside its cell: image id, then columns, as ``--slices`` reads."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from stl_backbones.errors import InputError
from stl_backbones.results.atomic import write_atomically

CONDITIONS = "conditions.csv"


def write_conditions(
    folder: Path, keys: Sequence[str], conditions: Mapping[str, Mapping[str, str]]
) -> None:
    """Write ``conditions.csv``; nothing without conditions.

    Args:
        folder: The set's folder.
        keys: Its images.
        conditions: Column -> image -> value.
    """
    if not conditions:
        return
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["image", *conditions])
    for key in keys:
        writer.writerow([key, *(values[key] for values in conditions.values())])
    write_atomically(folder / CONDITIONS, buffer.getvalue().encode())


def read_conditions(folder: Path, keys: Sequence[str]) -> dict[str, list[str]]:
    """Column -> value of each image; empty where there is no file.

    Raises:
        InputError: If the file is of other images.
    """
    path = folder / CONDITIONS
    if not path.is_file():
        return {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            (_, *columns), *lines = csv.reader(file)
    except (ValueError, csv.Error) as error:
        raise InputError(f"'{path}' is no CSV in UTF-8 ({error}); score the set again") from error
    of_image = {line[0]: line[1:] for line in lines if line}
    if set(of_image) != set(keys) or any(len(own) != len(columns) for own in of_image.values()):
        raise InputError(f"'{path}' is of other images than its cell; score the set again")
    return {name: [of_image[key][at] for key in keys] for at, name in enumerate(columns)}


__all__ = ["CONDITIONS", "read_conditions", "write_conditions"]
