"""Which slice of the data set each image is in: columns of a user's file, or what cells keep."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stl_backbones.errors import InputError, MissingFileError, some_of
from stl_backbones.metrics.light import LIGHT
from stl_backbones.records import CLEAN, CellResult
from stl_backbones.report.read.metrics import TaskMetrics
from stl_backbones.report.read.runs import Run
from stl_backbones.report.read.text import plain
from stl_backbones.results import CellStore

MOST_VALUES = 12  # of a column: more make no table that one can read
# Names of the thirds.
_THIRDS = dict(zip(LIGHT, (("dark", "medium", "bright"), ("low", "medium", "high")), strict=True))


@dataclass(frozen=True)
class SliceColumn:
    """A property of images, by which the data set is cut.

    Attributes:
        name: Its name.
        values: Its values, in the order of tables.
        of_image: Image id -> value; empty for an image that is in no slice.
    """

    name: str
    values: tuple[str, ...]
    of_image: Mapping[str, str]


def find_columns(
    asked: Sequence[str | Path], runs: Sequence[Run], task: TaskMetrics
) -> tuple[SliceColumn, ...]:
    """Find the slices that are asked for.

    Args:
        asked: CSV files (image id, then columns) and names of image properties.
        runs: The models, of which one at least was swept.
        task: Their task.

    Raises:
        MissingFileError: If something is neither a file nor a property.
        InputError: If a file, or the name of a property, does not fit the sweep.
    """
    swept = next((run for run in runs if run.swept and run.scores), None)
    if swept is None:
        raise InputError("--slices cuts the images of a sweep: expected a folder with cells of one")
    found: list[SliceColumn] = []
    for one in asked:
        if str(one).partition(":")[0] in (*LIGHT, *task.properties):
            found.append(_property(str(one), runs, task))
        elif Path(one).is_file():
            found += _read_file(Path(one), swept)
        else:
            names = ", ".join((*LIGHT, *task.properties))
            raise MissingFileError(
                f"--slices {one}: there is no such file; expected a CSV file, or a property of "
                f"images: {names}"
            )
    twice = [name for name, count in Counter(one.name for one in found).items() if count > 1]
    if twice:
        raise InputError(f"--slices has column '{twice[0]}' twice; expected each once")
    return tuple(found)


def _read_file(path: Path, run: Run) -> list[SliceColumn]:
    header, *lines = _lines(path)
    names = [plain(name.strip()) for name in header]
    if len(names) < 2 or not all(names[1:]) or len(set(names[1:])) < len(names) - 1:
        raise InputError(
            f"'{path}': expected a header of image id and one column or more, each of its own "
            f"name, got {','.join(names)}"
        )
    for line in lines:
        if len(line) != len(names):
            raise InputError(
                f"'{path}': expected {len(names)} fields, got {len(line)}: {','.join(line)}"
            )
    _check_ids(path, [line[0] for line in lines], run)
    fields = [[plain(field.strip()) for field in line[1:]] for line in lines]
    columns = []
    for name, values in zip(names[1:], zip(*fields, strict=True), strict=True):
        different = sorted({value for value in values if value})
        if not 1 <= len(different) <= MOST_VALUES:
            few = "write what is known" if not different else "join some"
            raise InputError(
                f"'{path}': column '{name}' has {len(different)} values, expected 1 to "
                f"{MOST_VALUES}; {few}, or leave the column out"
            )
        of_image = {line[0]: value for line, value in zip(lines, values, strict=True)}
        columns.append(SliceColumn(name, tuple(different), of_image))
    return columns


def _lines(path: Path) -> list[list[str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = [line for line in csv.reader(file, strict=True) if line]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"'{path}' cannot be read as CSV in UTF-8: {error}") from error
    if len(lines) < 2:
        raise InputError(f"'{path}' is empty: expected a header and one line for each image")
    return lines


def _check_ids(path: Path, ids: Sequence[str], run: Run) -> None:
    """Each image of the sweep once, and no others, unless the sweep took some of them alone."""
    there = set(image_ids(run))
    twice = [one for one, count in Counter(ids).items() if count > 1]
    unknown = [one for one in ids if one not in there]
    lacking = sorted(there - set(ids))
    if twice:
        raise InputError(f"'{path}' has {len(twice)} images twice or more: {some_of(twice)}")
    if unknown and (len(unknown) == len(ids) or run.provenance.num_images_total == len(there)):
        raise InputError(
            f"'{path}' has {len(unknown)} images that the sweep does not have: {some_of(unknown)}; "
            f"expected ids such as '{min(there)}'"
        )
    if lacking:
        raise InputError(
            f"'{path}' lacks {len(lacking)} of the sweep's {len(there)} images: "
            f"{some_of(lacking)}; expected a line for each, with empty fields where nothing is "
            "known"
        )


def image_ids(run: Run) -> tuple[str, ...]:
    """The ids of a run's images, in order."""
    return CellStore(run.folder).read(next(iter(run.scores))).image_ids


def _property(text: str, runs: Sequence[Run], task: TaskMetrics) -> SliceColumn:
    name, _, argument = text.partition(":")
    if name in LIGHT:
        if argument:
            raise InputError(f"--slices {text}: expected '{name}' alone")
        return _light(name, runs)
    run = next(run for run in runs if run.scores)
    result = CellStore(run.folder).read(next(iter(run.scores)))
    values, labels = task.properties[name](result, argument)
    found = tuple(value for value in values if value in set(labels))
    return SliceColumn(plain(text), found, dict(zip(result.image_ids, labels, strict=True)))


def _light(name: str, runs: Sequence[Run]) -> SliceColumn:
    """Thirds of the images by what the clean cell keeps of them."""
    for run in runs:
        store = CellStore(run.folder)
        result = store.read(CLEAN) if CLEAN in run.scores else None
        if result is not None and name in result.samples:
            return _thirds_of_cell(name, result)
    raise InputError(
        f"--slices {name}: no clean cell has the {name} of its images, which sweeps of before did "
        "not keep; delete cells/clean.npz and run the sweep again, which measures that cell alone"
    )


def _thirds_of_cell(name: str, result: CellResult) -> SliceColumn:
    values = result.samples[name].astype(np.float64)
    if values.shape != (len(result.image_ids),):
        raise InputError(f"expected a sample '{name}' of shape (images,), got {values.shape}")
    found, labels = thirds(values, _THIRDS[name])
    return SliceColumn(name, found, dict(zip(result.image_ids, labels, strict=True)))


def thirds(
    values: npt.NDArray[np.float64], names: tuple[str, str, str]
) -> tuple[tuple[str, ...], list[str]]:
    """Cut images into three parts of equal number by a value; equal values stay together.

    Args:
        values: ``(N,)`` fractions; NaN for images that are in no part.
        names: Of the parts, the lowest first.

    Returns:
        The parts that have an image, in order, and each image's: ``''`` for none.
    """
    known = np.isfinite(values)
    if not known.any():
        return (), [""] * len(values)
    low, high = np.quantile(values[known], [1 / 3, 2 / 3])
    places = np.searchsorted([low, high], values, side="right")
    first, second = (f"{100 * edge:.3g} %" for edge in (low, high))
    labelled = (
        f"{names[0]} (below {first})",
        f"{names[1]} ({first} to {second})",
        f"{names[2]} (from {second})",
    )
    labels = [labelled[place] if fits else "" for place, fits in zip(places, known, strict=True)]
    return tuple(name for name in labelled if name in set(labels)), labels


__all__ = ["MOST_VALUES", "SliceColumn", "find_columns", "image_ids", "thirds"]
