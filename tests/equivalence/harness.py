"""Hold a sweep to the library's own test, on the data set and on corrupted copies of it.

The reference is mmengine's `Runner.test` with the config's own evaluator; nothing of ours but
`corrupt`, which makes the corrupted copies, is in it. What the evaluator counts is taken before it
is rounded.
"""

import contextlib
import io
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner

from stl_backbones.corruptions import corrupt
from stl_backbones.errors import UserError
from stl_backbones.records import CLEAN, Cell
from stl_backbones.results import CellStore

CORRUPTED = (Cell("contrast", 3), Cell("gaussian_noise", 3))
TOLERANCE = 1e-6  # of AP; counts are whole numbers
CONFIG, WEIGHTS = "config.py", "weights.pth"


@dataclass(frozen=True)
class Case:
    """A config, its data, and how it is swept.

    Attributes:
        write: Writes data set and `CONFIG` into a folder, the same at every call.
        images: The image folder below it.
        keys: The folder that images' keys are paths below, if not the image folder.
        words: More words of the sweep's command line.
        reference: What the sweep's config becomes for the library's test.
        refusal: Where the numbers need not be equal, what the one line that says so must hold: an
            error, or a note of the sweep.
    """

    write: Callable[[Path], None]
    images: str = "data/img"
    keys: str | None = None
    words: tuple[str, ...] = ()
    reference: Callable[[Config], None] | None = None
    refusal: str | None = None


def write_config(folder, settings):
    """Write a config file; its values are plain Python."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{name} = {value!r}\n" for name, value in settings.items()]
    (folder / CONFIG).write_text("".join(lines))


def write_png(path, image):
    """Write PNG, whatever the file's ending; readers go by the content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", image)[1].tobytes())


def check(case, folder, *, count, counted):
    """Sweep the clean data set, and hold each cell to the library's test.

    Args:
        case: What is tested.
        folder: An empty folder.
        count: Context manager that yields a dict, which it has filled with what a library's test
            counted, by name, when it ends.
        counted: What a cell's result comes to, in the same form.
    """
    case.write(folder / "clean")
    write_weights(folder / "clean")
    expected = reference(case, folder, CLEAN, count)
    try:
        store = CellStore(sweep(folder / "clean", folder / "sweep", case.words))
    except UserError as error:
        if case.refusal is None:
            raise
        got = str(error)
    else:
        notes = store.provenance().notes
        if case.refusal is not None and any(re.search(case.refusal, note) for note in notes):
            return
        compare(counted(store.read(CLEAN)), expected, CLEAN)
        for cell in CORRUPTED:
            case.write(folder / cell.name)
            corrupt_images(case, folder / cell.name, cell)
            compare(counted(store.read(cell)), reference(case, folder, cell, count), cell)
        return
    assert re.fullmatch(f".*({case.refusal}).*", got), got  # on one line
    assert not list((folder / "sweep").glob("cells/*"))


def check_copy(case, folder, *, count, counted):
    """The same where the sweep reads a corrupted copy on disk, whatever reads an image there."""
    case.write(folder / "clean")
    write_weights(folder / "clean")
    expected = {CLEAN: reference(case, folder, CLEAN, count)}
    for cell in CORRUPTED:
        images = folder / cell.name / case.images
        case.write(folder / cell.name)
        corrupt_images(case, folder / cell.name, cell)
        expected[cell] = reference(case, folder, cell, count)
        shutil.copytree(images, folder / "copy" / cell.corruption / str(cell.severity))
    words = ("--corrupted-root", str(folder / "copy"), *case.words)
    store = CellStore(sweep(folder / "clean", folder / "sweep", words))
    for cell, numbers in expected.items():
        compare(counted(store.read(cell)), numbers, cell)


def reference(case, folder, cell, count):
    """What the library's test counts on the cell's copy of the data set."""
    with count() as found:
        library_test(folder / cell.name, folder / "clean" / WEIGHTS, case.reference)
    assert found
    return found


def check_test_tool(case, folder, *, count):
    """Our tools/test.py counts what the library's does, on the clean data set."""
    from stl_backbones.training.test import evaluate

    clean = folder / "clean"
    case.write(clean)
    write_weights(clean)
    with count() as found, contextlib.redirect_stdout(io.StringIO()):
        evaluate(clean / CONFIG, clean / WEIGHTS, work_dir=folder / "test")
    compare(found, reference(case, folder, CLEAN, count), CLEAN)


def compare(found, expected, cell):
    assert found.keys() >= expected.keys()  # ours counts some that the libraries do not
    for name in expected:
        got = f"{cell.name}: {name}"
        np.testing.assert_allclose(found[name], expected[name], 0, TOLERANCE, err_msg=got)


def corrupt_images(case, folder, cell):
    """Corrupt all images of a case's folder, in place."""
    images, keys = folder / case.images, folder / (case.keys or case.images)
    paths = [path for path in sorted(images.rglob("*")) if path.suffix in (".png", ".jpg")]
    assert paths, images
    for path in paths:
        rgb = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        key = path.relative_to(keys).as_posix()
        made = corrupt(rgb, cell.corruption, cell.severity, key=key, mode="exact")
        write_png(path, cv2.cvtColor(made, cv2.COLOR_RGB2BGR))


def write_weights(folder):
    """Weights of the config's model, drawn from a fixed seed and large enough to differ."""
    config = Config.fromfile(folder / CONFIG)
    init_default_scope(config.get("default_scope") or "mmengine")
    settings = config.model
    model = MODELS.build(settings.get("module", settings))
    generator = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        spread = 0.1 if name.endswith("bias") else 1.0
        torch.nn.init.normal_(parameter, std=spread, generator=generator)
    torch.save({"state_dict": model.state_dict(), "meta": {}}, folder / WEIGHTS)


def library_test(folder, weights, change):
    """What the library's own tools/test.py does."""
    config = Config.fromfile(folder / CONFIG)
    if change is not None:
        change(config)
    config.work_dir, config.load_from = str(folder / "work"), str(weights)
    with contextlib.redirect_stdout(io.StringIO()):
        return Runner.from_cfg(config).test()


def sweep(folder, work_dir, words=(), *, progress=None):
    """tools/robustness.py, in this process."""
    from stl_backbones.cli.robustness import run
    from stl_backbones.cli.robustness_options import make_robustness_parser

    names, severities = [cell.corruption for cell in CORRUPTED], {c.severity for c in CORRUPTED}
    args = make_robustness_parser("").parse_intermixed_args(
        [
            str(folder / CONFIG), str(folder / WEIGHTS), "--corruptions", *names,
            "--severities", *map(str, severities), "--mode", "exact", "--workers", "0",
            "--work-dir", str(work_dir), *words,
        ]
    )  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        return run(args, progress=progress)


@contextlib.contextmanager
def spying(owner, name, note):
    """Call `note` with the arguments of each call of a method, before it is made."""
    original = getattr(owner, name)

    def spy(self, *args, **kwargs):
        note(self, *args, **kwargs)
        return original(self, *args, **kwargs)

    with mock.patch.object(owner, name, spy):
        yield
