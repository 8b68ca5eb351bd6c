"""Readers of what sweeps leave: cells, records, bundles, and what lies beside them."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import random
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from faults.fuzz import mutators as ways
from faults.fuzz.images import as_png, picture
from faults.fuzz.reader import Mutator, Reader, each_alone
from stl_backbones.errors import InputError, UserError
from stl_backbones.records import CLEAN, Cell, CellResult, Provenance
from stl_backbones.results import CellStore
from stl_backbones.results.cell_file import decode_cell, hash_of
from stl_backbones.results.run_record import encode_run

_FOG = Cell("fog", 3)
_TASKS = ("segmentation", "classification")


def provenance_of(task: str) -> Provenance:
    """The record of a small sweep."""
    return Provenance(
        task=task, model="m", protocol="imagenet-c", dataset="d", dataset_fingerprint="f1" * 16,
        num_images=2, num_images_total=2, skipped=(), classes=("road", "car"),
        config_sha256="c0" * 32, checkpoint_sha256="ab" * 32, inference="whole",
        corruption_source="on-the-fly", corruption_mode="exact",
        corruption_package="imagecorruptions-imaug 1.1.5", channel_order="rgb", seed=0,
        device="cpu", versions={"numpy": "2"},
    )  # fmt: skip


def _samples(task: str) -> dict[str, np.ndarray]:
    light = {"brightness": np.array([0.5, 0.25]), "contrast": np.array([0.1, 0.2])}
    if task == "segmentation":
        return {"confusion_matrix": np.array([[[3, 1], [0, 4]], [[2, 2], [1, 3]]]), **light}
    return {
        "label": np.array([0, 1], np.int32), "prediction": np.array([0, 0], np.int32),
        "in_top5": np.array([True, True]), "confidence": np.array([0.75, 0.5], np.float32),
        "nll": np.array([0.25, 1], np.float32), **light,
    }  # fmt: skip


def write_sweep(folder: Path, task: str) -> Path:
    """A sweep of two cells."""
    store, record = CellStore(folder), provenance_of(task)
    with store.writing(record):
        for cell in (CLEAN, _FOG):
            store.write(CellResult(cell, record, ("0.jpg", "1.jpg"), _samples(task)))
    return folder


def _report(folder: Path, **options: Any) -> None:
    from stl_backbones.report.write import make_report

    options = {"out": folder.parent / "report", "partial": True, "resamples": 2, **options}
    make_report([folder], **options)


def _cell_seeds(folder: Path) -> list[bytes]:
    for task in _TASKS:
        write_sweep(folder / task, task)
    stores = [CellStore(folder / task) for task in _TASKS]
    return [store.path(cell).read_bytes() for store in stores for cell in (CLEAN, _FOG)]


def _read_cell(path: Path) -> None:
    """A report of the folder that the cell seems to be of."""
    task, cell = _TASKS[0], CLEAN
    with contextlib.suppress(UserError, AttributeError, TypeError):
        result = decode_cell(path)
        task = _TASKS[result.provenance.task == _TASKS[1]]
        cell = CLEAN if result.cell.corruption == "clean" else _FOG
    sweep = path.parent / "sweep"
    shutil.rmtree(sweep, ignore_errors=True)
    shutil.copytree(path.parent / task, sweep)
    shutil.copy(path, CellStore(sweep).path(cell))
    _report(sweep, per_image=True)


def _cell_members(name: str) -> Sequence[Mutator]:
    return (_change_record, *ways.NPY) if name.startswith("record") else ways.NPY


def _change_record(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """Change the JSON that an array of bytes holds."""
    start = 10 + int.from_bytes(data[8:10], "little")
    text = np.frombuffer(ways.change_json(data[start:], rng, others), np.uint8)
    buffer = io.BytesIO()
    np.save(buffer, text)
    return buffer.getvalue()


def _sealed(inner: Mutator) -> Mutator:
    """Change an archive, and seal it as a cell is sealed."""

    def change(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
        body = inner(data, rng, others)
        end = body.rfind(b"PK\x05\x06")
        if end < 0:
            return body
        body = body[: end + 20] + (32).to_bytes(2, "little")
        return body + hash_of(body).encode()

    return change


def _change_signed(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """Change a ``run.json``, with the hash that fits."""
    try:
        plain = json.loads(data)
        plain.pop("digest", None)
        tree = ways.changed_tree(plain, rng)
        tree["digest"] = hash_of(json.dumps(tree, sort_keys=True).encode())
        return json.dumps(tree).encode()
    except (ValueError, TypeError, AttributeError, RecursionError):
        return ways.change_json(data, rng, others)


def _run_seeds(folder: Path) -> list[bytes]:
    write_sweep(folder / "sweep", "classification")
    return [encode_run(provenance_of("classification")), encode_run(provenance_of("segmentation"))]


def _read_run(path: Path) -> None:
    with each_alone() as each:
        each(_report, path.parent)
        shutil.rmtree(path.parent / "anew", ignore_errors=True)
        with CellStore(path.parent).writing(provenance_of("classification")):
            pass


def _bundle_seeds(folder: Path) -> list[bytes]:
    from stl_backbones.report.read.bundles import write_bundle

    found = []
    for task in _TASKS:
        sweep = write_sweep(folder / "made" / task, task)
        for records in (True, False):
            out = write_bundle(sweep, folder / f"{task}{records}.bundle.zip", records=records)
            found.append(out.read_bytes())
    return found


def _read_bundle(path: Path) -> None:
    from stl_backbones.report.read.bundles import open_bundle, stated_numbers

    into = path.parent / "into"
    shutil.rmtree(into, ignore_errors=True)
    folder = open_bundle(path, into)
    with each_alone() as each:
        each(stated_numbers, folder)
        each(_report, folder)


def _bundle_members(name: str) -> Sequence[Mutator]:
    if name.endswith("run.json"):
        return (_change_signed, *ways.JSON)
    return ways.JSON if name.endswith(".json") else (_sealed(ways.change_member(_cell_members)),)


def _hashed(inner: Mutator) -> Mutator:
    """Change a bundle, and write the hashes that fit into its index."""

    def change(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
        body = inner(data, rng, others)
        try:
            with zipfile.ZipFile(io.BytesIO(body)) as archive:
                members = [(one, archive.read(one)) for one in archive.infolist()]
            index = json.loads(next(own for one, own in members if one.filename == "bundle.json"))
            index["sha256"] = {one.filename: hashlib.sha256(own).hexdigest() for one, own in members
                               if one.filename != "bundle.json"}  # fmt: skip
        except Exception:  # of any damaged archive
            return body
        text = json.dumps(index).encode()
        return ways.zipped([(one, text if one.filename == "bundle.json" else own)
                            for one, own in members])  # fmt: skip

    return change


def _index_seeds(folder: Path) -> list[bytes]:
    from stl_backbones.results.failure_index import FailurePicture, write_index, write_picture

    write_sweep(folder / "sweep", "classification")
    place = folder / "sweep" / "failures"
    digest = write_picture(place, "a.png", as_png(picture(0)))
    one = FailurePicture("a.png", digest, "fog-3", "0.jpg", "caption")
    write_index(place, [one], provenance_of("classification"))
    return [(place / "index.json").read_bytes()]


def _blocks_seeds(folder: Path) -> list[bytes]:
    from stl_backbones.robustness.blocks import BlockStore

    store = BlockStore(folder, provenance_of("classification"))
    store.write(range(2), {cell: _samples("classification") for cell in (CLEAN, _FOG)})
    return [(folder / "blocks/00000000-00000002.npz").read_bytes()]


def _read_blocks(path: Path) -> None:
    from stl_backbones.robustness.blocks import BlockStore

    store = BlockStore(path.parents[1], provenance_of("classification"))
    blocks = store.whole([CLEAN, _FOG])
    if not blocks:  # damaged: measured anew
        raise InputError("no whole block")
    list(store.join(blocks, [CLEAN, _FOG]))


def _slices_seeds(folder: Path) -> list[bytes]:
    write_sweep(folder / "sweep", "classification")
    return [
        b"image,weather\n0.jpg,rain\n1.jpg,sun\n",
        '\ufeffimage,"a,b",c\n0.jpg,x,1\n1.jpg,,2\n'.encode(),
    ]


def _conditions_seeds(folder: Path) -> list[bytes]:
    from stl_backbones.results.conditions import write_conditions

    values = {"0.jpg": "rain", "1.jpg": "sun, low"}
    write_conditions(folder, ("0.jpg", "1.jpg"), {"weather": values, "time": values})
    return [(folder / "conditions.csv").read_bytes()]


def _read_conditions(path: Path) -> None:
    from stl_backbones.results.conditions import read_conditions

    read_conditions(path.parent, ("0.jpg", "1.jpg"))


def _command_seeds(folder: Path) -> list[bytes]:
    from stl_backbones.cli.robustness_options import make_robustness_parser
    from stl_backbones.cli.sweep_command import COMMAND, keep_command

    words = ["--timm", "resnet10t", "--data-root", "d", "--corruptions", "fog", "--seed", "3"]
    keep_command(make_robustness_parser("").parse_intermixed_args(words), folder)
    return [(folder / COMMAND).read_bytes()]


def _read_command(path: Path) -> None:
    from stl_backbones.cli.sweep_command import options_text, read_command

    options, _ = read_command(path.parent)
    options_text(options)


_ZIP = ("zipfile",)
_sweep_archive = ways.change_member(_cell_members)
_bundle = ways.change_member(_bundle_members)

READERS = (
    Reader("cell", "a.npz", _cell_seeds, _read_cell,
           (_sealed(_sweep_archive),) * 3 + (_sweep_archive, *ways.BYTES), _ZIP),
    Reader("run.json", "sweep/run.json", _run_seeds, _read_run, (_change_signed,) * 3 + ways.JSON),
    Reader("bundle", "a.bundle.zip", _bundle_seeds, _read_bundle,
           (_hashed(_bundle),) * 3 + (_bundle, *ways.BYTES), _ZIP),
    Reader("failures index", "sweep/failures/index.json", _index_seeds,
           lambda path: _report(path.parents[1]), ways.JSON),
    Reader("blocks", "blocks/00000000-00000002.npz", _blocks_seeds, _read_blocks,
           (_sweep_archive, *ways.BYTES), _ZIP),
    Reader("slices CSV", "a.csv", _slices_seeds,
           lambda path: _report(path.parent / "sweep", slices=[path]), ways.TEXT),
    Reader("conditions.csv", "conditions.csv", _conditions_seeds, _read_conditions, ways.TEXT),
    Reader("command.json", "command.json", _command_seeds, _read_command, ways.JSON),
)  # fmt: skip
