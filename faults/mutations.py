"""Changes to a finished sweep's files, of which none may pass for a result.

`CATALOGUE` holds the changes by kind; each is made to a copy of a sweep's folder. A report of the
copy must refuse it in one line that names the file, or say at every table what was mixed, and a
sweep that goes on in it must not take the changed cell for finished. Who computes the hashes anew
forges, and is no part of this.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from faults.changed_sweeps import (
    Mutation,
    Sweep,
    arrays_of,
    file_of,
    of_cell,
    other_value,
    put,
    remove_array,
    replaced,
    save_arrays,
    swap_files,
    try_mutation,
    with_value,
)
from stl_backbones.records import CLEAN, Cell, CellResult, Provenance
from stl_backbones.report.read.runs import SHARED_FIELDS
from stl_backbones.results import CellStore
from stl_backbones.results.detections import detections_path
from stl_backbones.results.run_record import encode_run

# "sampling" and "image_list" are not in the record of a sweep of all images; of other images the
# fingerprint is another one.
FIELDS = tuple(
    one.name for one in dataclasses.fields(Provenance) if one.name not in ("sampling", "image_list")
)
# What cells of one folder may differ in: they are cells of several protocols, measured alike, of
# data that may have moved.
_UNION = (
    "protocol", "dataset", "custom_versions", "parameters", "encoder_parameters", "macs",
    "imagenet_val", "copy_digests", "chosen",
)  # fmt: skip
# What rows of one table may differ in, if it is said there.
_SAID = ("checkpoint_sha256", "config_sha256", "inference", "device", "versions", "notes")
_FLIPS = 60  # bytes of a file that are changed, one at a time
_NUMBERS: Mapping[str, tuple[tuple[str, object], ...]] = {
    "segmentation": tuple(("confusion_matrix", value) for value in (-1, 2**62, 2**64 - 1, np.nan)),
    "classification": (
        *(("confidence", value) for value in (1.5, -0.1, np.nan, np.inf)),
        *(("nll", value) for value in (-1.0, np.nan, np.inf, 1e300)),
        *((name, value) for name in ("label", "prediction") for value in (-1, 10**6, 2**40)),
    ),
    "detection": (
        *(("bbox_score", value) for value in (np.nan, np.inf)),
        *((name, value) for name in ("bbox_category", "object_category") for value in (-1, 10**6)),
        *((name, value) for name in ("bbox_detections", "objects") for value in (-1, 10**6)),
        ("bbox_matched", 2**10),
        ("bbox_matched", -1),
        ("image_number", -7),
    ),
}


def _dropped(sweep: Sweep) -> Iterator[Mutation]:
    found, total = sweep.measured
    marks = (f"has {found - 1} of {total} cells",) if sweep.partial else ()
    for cell in sweep.cells:
        stale = frozenset({cell})
        yield Mutation(cell.name, lambda f, c=cell: file_of(f, c).unlink(), (cell.name,), stale,
                       marks)  # fmt: skip


def _swapped(sweep: Sweep) -> Iterator[Mutation]:
    clean, first, last = sweep.cells
    for one, other in ((clean, first), (first, last), (clean, last)):

        def swap(folder: Path, one: Cell = one, other: Cell = other) -> None:
            swap_files(file_of(folder, one), file_of(folder, other))

        name, names = f"{one.name} and {other.name}", (f"{one.name}.npz", f"{other.name}.npz")
        yield Mutation(name, swap, names, frozenset({one, other}))


def _copied(sweep: Sweep) -> Iterator[Mutation]:
    for one, other in ((sweep.cells[0], sweep.cells[1]), (sweep.cells[1], sweep.cells[2])):

        def copy(folder: Path, one: Cell = one, other: Cell = other) -> None:
            shutil.copy(file_of(folder, one), file_of(folder, other))

        name = f"{one.name} over {other.name}"
        yield Mutation(name, copy, (f"{other.name}.npz",), frozenset({other}))


def _array_edited(sweep: Sweep) -> Iterator[Mutation]:
    """The zip's own checksums are right again; its comment is lost, or kept."""
    cell = sweep.cells[1]
    for name, array in arrays_of(sweep.store.path(cell)).items():
        for kept in (False, True) if array.size else ():

            def edit(folder: Path, name: str = name, kept: bool = kept) -> None:
                arrays = arrays_of(file_of(folder, cell))
                changed = np.ascontiguousarray(arrays[name]).reshape(-1)
                changed.view(np.uint8)[0] ^= 1
                arrays[name] = changed.reshape(arrays[name].shape)
                save_arrays(file_of(folder, cell), arrays, keep_comment=kept)

            how = "comment kept" if kept else "comment lost"
            yield of_cell(f"{name}, {how}", edit, cell)
        yield of_cell(f"{name} missing", lambda f, n=name: remove_array(file_of(f, cell), n), cell)


def _record_edited(sweep: Sweep) -> Iterator[Mutation]:
    cell = sweep.cells[1]
    changes: dict[str, Callable[[dict[str, Any]], object]] = {
        name: lambda record, n=name: record["provenance"].update(
            {n: other_value(record["provenance"][n])}
        )
        for name in FIELDS
    }
    for name in ("corruption", "severity", "format", "digest"):
        changes[name] = lambda record, n=name: record.update({n: other_value(record[n])})
        changes[f"no {name}"] = lambda record, n=name: record.pop(n)
    for name, change in changes.items():

        def edit(folder: Path, change: Callable[[dict[str, Any]], object] = change) -> None:
            arrays = arrays_of(file_of(folder, cell))
            record = json.loads(arrays["record"].tobytes())
            change(record)
            arrays["record"] = np.frombuffer(json.dumps(record).encode(), np.uint8)
            save_arrays(file_of(folder, cell), arrays, keep_comment=True)

        yield of_cell(name, edit, cell)


def _run_record_edited(sweep: Sweep) -> Iterator[Mutation]:
    del sweep  # every sweep's record has the same fields
    changes: dict[str, Callable[[dict[str, Any]], object]] = {}
    for name in (*FIELDS, "format", "digest"):
        changes[name] = lambda plain, n=name: plain.update({n: other_value(plain[n])})
        changes[f"no {name}"] = lambda plain, n=name: plain.pop(n)
    changes["one more"] = lambda plain: plain.update(more=1)
    for name, change in changes.items():

        def edit(folder: Path, change: Callable[[dict[str, Any]], object] = change) -> None:
            path = folder / "run.json"
            plain = json.loads(path.read_text())
            change(plain)
            path.write_text(json.dumps(plain))

        yield Mutation(name, edit, ("run.json",))
    yield Mutation("gone", lambda folder: (folder / "run.json").unlink(), ("run.json",))


def _flipped(sweep: Sweep) -> Iterator[Mutation]:
    for path, stale in ((sweep.store.path(sweep.cells[1]), sweep.cells[1:2]),
                        (sweep.folder / "run.json", ())):  # fmt: skip
        size = path.stat().st_size
        for turn, index in enumerate(range(0, size, max(1, size // _FLIPS))):

            def flip(folder: Path, path: Path = path, index: int = index, turn: int = turn) -> None:
                copied = folder / path.relative_to(sweep.folder)
                content = bytearray(copied.read_bytes())
                content[index] ^= (0x01, 0x80, 0xFF)[turn % 3]
                copied.write_bytes(content)

            yield Mutation(f"{path.name}, byte {index}", flip, (path.name,), frozenset(stale))


def _truncated(sweep: Sweep) -> Iterator[Mutation]:
    for path, stale in ((sweep.store.path(sweep.cells[1]), sweep.cells[1:2]),
                        (sweep.folder / "run.json", ())):  # fmt: skip
        size = path.stat().st_size
        for length in (0, 1, size // 4, size // 2, size - 2):

            def cut(folder: Path, path: Path = path, length: int = length) -> None:
                copied = folder / path.relative_to(sweep.folder)
                copied.write_bytes(copied.read_bytes()[:length])

            name = f"{path.name} to {length} bytes"
            yield Mutation(name, cut, (path.name,), frozenset(stale))


def _of_another_run(sweep: Sweep) -> Iterator[Mutation]:
    """Whole cells of a sweep that differs in one field: checkpoint, engine, seed, limit, ..."""
    cell = sweep.cells[1]
    for name in (*FIELDS, "sampling"):
        if name not in _UNION:

            def mix(folder: Path, name: str = name) -> None:
                result = CellStore(folder).read(cell)
                other = replaced(result.provenance, name)
                put(folder, dataclasses.replace(result, provenance=other))

            yield of_cell(name, mix, cell)


def _other_images(sweep: Sweep) -> Iterator[Mutation]:
    cell = sweep.cells[1]
    changes: dict[str, Callable[[tuple[str, ...]], tuple[str, ...]]] = {
        "in another order": lambda ids: ids[::-1],
        "one twice": lambda ids: (*ids[:-1], ids[0]),
        "one less": lambda ids: ids[:-1],
        "one more": lambda ids: (*ids, "more.png"),
        "another": lambda ids: (*ids[:-1], "other.png"),
        "none": lambda ids: ids[:0],
    }
    for name, change in changes.items():

        def edit(folder: Path, change: Any = change) -> None:
            result = CellStore(folder).read(cell)
            put(folder, dataclasses.replace(result, image_ids=change(result.image_ids)))

        yield of_cell(name, edit, cell)


def _impossible(sweep: Sweep) -> Iterator[Mutation]:
    """Numbers that no network gives, in a cell whose hashes are right."""
    cell = sweep.cells[1]
    samples = sweep.store.read(cell).samples

    def edited(name: str, change: Callable[[Any], Any]) -> Callable[[Path], None]:
        def edit(folder: Path) -> None:
            result = CellStore(folder).read(cell)
            changed = {**result.samples, name: change(result.samples[name])}
            put(folder, dataclasses.replace(result, samples=changed))

        return edit

    for name, value in _NUMBERS[sweep.store.provenance().task]:
        if samples[name].size:
            change = edited(name, lambda array, v=value: with_value(array, v))
            yield Mutation(f"{name} {value}", change, (f"{cell.name}.npz",))
    for name, array in samples.items():
        if array.ndim and array.size and name != "detections_sha256":
            change = edited(name, lambda array: np.concatenate([array, array[:1]]))
            yield Mutation(f"{name} one longer", change, (f"{cell.name}.npz",))
            change = edited(name, lambda array: array.astype(str))
            yield Mutation(f"{name} as text", change, (f"{cell.name}.npz",))
    if "in_top5" in samples and (samples["label"] == samples["prediction"]).any():
        change = edited("in_top5", lambda array: np.zeros_like(array))
        yield Mutation("in_top5 never", change, (f"{cell.name}.npz",))


def _no_cell(sweep: Sweep) -> Iterator[Mutation]:
    cell = sweep.cells[1]
    fifth, renamed = f"{cell.corruption}-9", f"{cell.corruption}-0{cell.severity}"
    for name in ("notes", "hail-3", "clean-1", fifth, renamed, f"{cell.corruption}-0"):

        def add(folder: Path, name: str = name) -> None:
            shutil.copy(file_of(folder, cell), file_of(folder, cell).with_name(f"{name}.npz"))

        yield Mutation(name, add, (f"{name}.npz",))
    other = "speckle_noise-5"

    def move(folder: Path) -> None:
        file_of(folder, cell).rename(file_of(folder, cell).with_name(f"{other}.npz"))

    yield Mutation(f"renamed {other}", move, (f"{other}.npz", cell.name), frozenset({cell}))


def _detections_edited(sweep: Sweep) -> Iterator[Mutation]:
    cell, other = sweep.cells[1:]
    path = detections_path(sweep.folder, cell)
    if not path.exists():
        return
    content = path.read_bytes()
    contents = {
        "empty": b"",
        "half": content[: len(content) // 2],
        "of another cell": detections_path(sweep.folder, other).read_bytes(),
        "no detections": b"[]",
    }
    for name, changed in contents.items():

        def edit(folder: Path, changed: bytes = changed) -> None:
            detections_path(folder, cell).write_bytes(changed)

        yield Mutation(name, edit, (path.name,), frozenset({cell}))


def _sets_mixed(sweep: Sweep) -> Iterator[Mutation]:
    """Sets of other images; a table names them after their folders."""
    names = [path.parent.name for path in sorted(sweep.folder.glob("*/run.json"))]
    for one, other in itertools.pairwise(names):

        def swap(folder: Path, one: str = one, other: str = other) -> None:
            swap_files(folder / one, folder / other)

        yield Mutation(f"{one} and {other} swapped", swap, (one, other))
    for name in names:
        yield Mutation(f"{name} without record", lambda f, n=name: (f / n / "run.json").unlink(),
                       ("run.json",))  # fmt: skip

        def other_model(folder: Path, name: str = name) -> None:
            result = CellStore(folder / name).read(CLEAN)
            record = replaced(result.provenance, "checkpoint_sha256")
            put(folder / name, dataclasses.replace(result, provenance=record))
            (folder / name / "run.json").write_bytes(encode_run(record))

        yield Mutation(f"{name} of another checkpoint", other_model, (name,))
        yield Mutation(f"{name} without its cell", lambda f, n=name: file_of(f / n, CLEAN).unlink(),
                       (name,), marks=(f"has no set {name}",))  # fmt: skip


def _two_folders(sweep: Sweep) -> Iterator[Mutation]:
    """Two sweeps in one table: of other data or another engine, or the same one twice."""

    def other_record(folder: Path, name: str) -> Sequence[Path]:
        """Refused before any cell is read."""
        other = sweep.copy(folder.with_name("other"))
        record = replaced(CellStore(other).provenance(), name)
        (other / "run.json").write_bytes(encode_run(record))
        return folder, other

    def again(folder: Path) -> Sequence[Path]:
        link = folder.with_name("link")
        link.symlink_to(folder)
        return folder, link

    for name in (*SHARED_FIELDS, "protocol"):
        yield Mutation(name, lambda f, n=name: other_record(f, n), (name,))
    yield Mutation("the same folder", lambda folder: (folder, folder), ("given 2 times",))
    yield Mutation("a link to it", again, ("given 2 times",))


def _rows_that_differ(sweep: Sweep) -> Iterator[Mutation]:
    """What may differ between rows is said under every table."""
    record = sweep.store.provenance()

    def another(folder: Path, change: Callable[[CellResult], CellResult]) -> Sequence[Path]:
        other = sweep.copy(folder.with_name("other"))
        for path in other.glob("*/run.json"):
            shutil.rmtree(path.parent)  # sets of other images: of the first model alone
        for cell in CellStore(other).cells():
            result = change(CellStore(other).read(cell))
            put(other, result)
        own = dataclasses.replace(result.provenance, chosen=record.chosen)
        (other / "run.json").write_bytes(encode_run(own))
        return folder, other

    for name in _SAID:
        changed = replaced(record, name)
        with_field = lambda result, c=changed: dataclasses.replace(result, provenance=c)  # noqa: E731
        value = getattr(changed, name)
        shown = {"versions": "more 1", "notes": "more"}.get(name, str(value)[:12].strip())
        yield Mutation(name, lambda f, w=with_field: another(f, w), (), marks=(shown,))
    renamed = lambda result: dataclasses.replace(  # noqa: E731
        result, image_ids=tuple(f"other/{name}" for name in result.image_ids)
    )
    yield Mutation("--compare of other images", lambda folder: another(folder, renamed),
                   ("other images",), compare=True)  # fmt: skip


CATALOGUE: Mapping[str, Callable[[Sweep], Iterator[Mutation]]] = {
    "cell dropped": _dropped,
    "cells swapped": _swapped,
    "cell copied over another": _copied,
    "number edited": _array_edited,
    "cell's record edited": _record_edited,
    "run.json edited": _run_record_edited,
    "byte flipped": _flipped,
    "file truncated": _truncated,
    "cell of another run": _of_another_run,
    "images of a cell": _other_images,
    "impossible number": _impossible,
    "file that is no cell": _no_cell,
    "detections edited": _detections_edited,
    "sets mixed": _sets_mixed,
    "two folders that do not fit": _two_folders,
    "rows that differ": _rows_that_differ,
}


def count_mutations(
    folders: Sequence[Path], kinds: Iterable[str]
) -> Iterator[tuple[str, int, int]]:
    """Try the catalogue on finished sweeps, kind by kind.

    Args:
        folders: Sweeps of any task; they are not changed.
        kinds: Of change, names of the catalogue.

    Yields:
        Kind of change, how many were tried, how many of them were noticed.
    """
    for kind in kinds:
        sweeps = [Sweep(folder) for folder in folders]
        found = [try_mutation(one, sweep) for sweep in sweeps for one in CATALOGUE[kind](sweep)]
        yield kind, len(found), found.count("")
