"""From a sweep's folder and its model to the pictures of its failures."""

from __future__ import annotations

import dataclasses
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stl_backbones.corruptions import get_protocol, protocol_names
from stl_backbones.display import shown_one_by_one
from stl_backbones.drawing import INK, LINE, canvas, fitted, font, stacked
from stl_backbones.errors import InputError, UnknownNameError
from stl_backbones.failures import boxes, label_maps, probabilities  # noqa: F401  they draw
from stl_backbones.failures.choose import DEFAULT_COUNT, Choice, choose, find_cells
from stl_backbones.failures.drawn import Pair, draw
from stl_backbones.records import CLEAN, Cell, CellResult, Provenance
from stl_backbones.report import tasks  # noqa: F401  registers the tasks' numbers
from stl_backbones.report.read.metrics import TaskMetrics, find_task
from stl_backbones.results import CellStore
from stl_backbones.results.failure_index import (
    FAILURES,
    FailurePicture,
    clear_pictures,
    write_index,
    write_picture,
)
from stl_backbones.results.lock import locked
from stl_backbones.robustness.examined import Examined
from stl_backbones.robustness.options import SweepOptions
from stl_backbones.robustness.predicted.source import PredictedSource
from stl_backbones.robustness.sources import Source
from stl_backbones.robustness.sweep import open_sets
from stl_backbones.robustness.tasks import ScoredSet
from stl_backbones.shift_sets import check_may_show

FORMATS = {"png": {"compress_level": 1}, "jpeg": {"quality": 90}}
DEFAULT_LEAST_SCORE = 0.3
# What may differ from the sweep without being another model or other data.
_MAY_DIFFER = frozenset({"versions", "device", "notes", "model"})
_SAME = 2e-3  # by which the numbers of an image may differ: other batches, another device
_NAME = re.compile(r"[^A-Za-z0-9.-]+")


@dataclass(frozen=True)
class Wanted:
    """Which failures, and as which files.

    Attributes:
        cells: Such as ``'fog/5'``; none: the strongest of the three corruptions that cost most.
        count: Pictures, shared evenly among the cells.
        by: See `stl_backbones.failures.choose.choose`.
        picture_format: ``'png'`` or ``'jpeg'``.
        least_score: Detections below it are not drawn.
        out: The folder; default: ``failures`` in the sweep's, where a report finds it.
    """

    cells: Sequence[str] = ()
    count: int = DEFAULT_COUNT
    by: str = "drop"
    picture_format: str = "png"
    least_score: float = DEFAULT_LEAST_SCORE
    out: str | Path | None = None

    def __post_init__(self) -> None:
        if self.picture_format not in FORMATS:
            raise InputError(
                f"the format must be {' or '.join(FORMATS)}, got '{self.picture_format}'"
            )
        if self.count < 1:
            raise InputError(f"count must be at least 1, got {self.count}")
        if not 0 <= self.least_score <= 1:
            raise InputError(f"the least score must be in 0..1, got {self.least_score}")


@dataclass(frozen=True)
class Failures:
    """The pictures that were made.

    Attributes:
        folder: Where they are.
        pictures: Each of them, worst first within its cell.
    """

    folder: Path
    pictures: tuple[FailurePicture, ...]

    def _repr_html_(self) -> str:
        """The pictures, in a notebook."""
        import base64
        from html import escape

        parts = []
        for one in self.pictures:
            data = base64.b64encode((self.folder / one.file).read_bytes()).decode()
            kind = "png" if one.file.endswith("png") else "jpeg"
            parts.append(
                f'<figure><img src="data:image/{kind};base64,{data}" style="max-width: 100%" '
                f'alt=""><figcaption>{escape(f"{one.cell}, {one.image}: {one.caption}")}'
                f"{escape(one.note)}</figcaption></figure>"
            )
        return "".join(parts)


def show_failures(
    source: Source | PredictedSource,
    options: SweepOptions,
    folder: str | Path,
    *,
    wanted: Wanted = Wanted(),
) -> Failures:
    """Draw what a model gets wrong.

    Only the images that are chosen are read, corrupted and predicted; data and model are opened,
    and held against the sweep's hashes, as when a sweep goes on.

    Args:
        source: The sweep's model and data.
        options: The sweep's options; protocol and cells are found here.
        folder: The sweep's folder.
        wanted: Which failures.

    Raises:
        InputError: If model or data are others than the sweep's, or nothing is to be shown.
        UnknownNameError: If a corruption or a class is unknown.
        MissingFileError: If the folder holds no such cells.
    """
    store = CellStore(folder)
    recorded = store.provenance()
    task = find_task(recorded.task)
    cells = find_cells(store, task, wanted.cells)
    check_may_show(recorded.dataset, store.read(CLEAN).image_ids)
    choices = choose(store, task, cells, count=wanted.count, by=wanted.by)
    again = options_again(options, recorded, cells)
    place = Path(folder) / FAILURES if wanted.out is None else Path(wanted.out)
    place.mkdir(parents=True, exist_ok=True)  # said here if it cannot be, not after the opening
    stored = {cell: store.read(cell) for cell in (CLEAN, *cells)}
    for scored, _ in open_sets(source, again, "none"):
        if scored.place:
            continue
        check_same(recorded, scored)
        artist = _Artist(scored, stored, task, wanted)
        with locked(place):
            clear_pictures(place)
            made = list(artist.pictures(choices, place))
            write_index(place, made, recorded)
        return Failures(place, tuple(made))
    raise InputError(f"'{folder}' holds no corrupted images")


def options_again(
    options: SweepOptions, recorded: Provenance, cells: Sequence[Cell]
) -> SweepOptions:
    """The sweep's options for some of its cells, and a protocol that holds these."""
    names = list(dict.fromkeys(cell.corruption for cell in cells))
    severities = sorted({cell.severity for cell in cells})
    wanted = set(cells)
    protocol = next(
        (name for name in dict.fromkeys((options.protocol, recorded.protocol, *protocol_names()))
         if name and wanted <= _cells_of(name, names, severities)), None,
    )  # fmt: skip
    if protocol is None:
        raise UnknownNameError(
            f"no protocol holds {', '.join(cell.name for cell in cells)} together; name cells of "
            "one of them, or --custom-imports the module that registers yours"
        )
    mode = recorded.corruption_mode if recorded.corruption_source == "on-the-fly" else options.mode
    return dataclasses.replace(
        options, protocol=protocol, corruptions=names, severities=severities, levels={}, workers=0,
        mode=mode if mode in ("exact", "fast", "reference", "torch") else options.mode,
    )  # fmt: skip


def _cells_of(protocol: str, names: Sequence[str], severities: Sequence[float]) -> set[Cell]:
    try:
        return set(get_protocol(protocol).cells(corruptions=names, severities=severities))
    except (UnknownNameError, InputError):
        return set()


def check_same(recorded: Provenance, scored: ScoredSet) -> None:
    """Refuse another model or other data than the sweep's.

    Raises:
        InputError: If they differ.
    """
    differences = recorded.differences(scored.provenance)
    passed_over = _MAY_DIFFER | ({"inference"} if "device" in differences else set())
    other = {name: both for name, both in differences.items() if name not in passed_over}
    if other:
        listed = "; ".join(f"{name}: there {str(a)[:60]}, now {str(b)[:60]}"
                         for name, (a, b) in other.items())  # fmt: skip
        raise InputError(f"these are not the sweep's model and data ({listed})")


class _Artist:
    """Makes the pictures of a sweep's failures."""

    def __init__(
        self,
        scored: ScoredSet,
        stored: Mapping[Cell, CellResult],
        task: TaskMetrics,
        wanted: Wanted,
    ) -> None:
        self.scored, self.stored, self.task, self.wanted = scored, stored, task, wanted
        self.scores: dict[Cell, Any] = {}

    def pictures(
        self,
        choices: Sequence[Choice],
        place: Path,
    ) -> Iterator[FailurePicture]:
        """Draw and write each choice; a clean image is predicted once for all its cells."""
        clean: dict[int, Examined] = {}
        shown = shown_one_by_one(choices, str(place), "pictures")
        with ThreadPoolExecutor(max_workers=1) as drawing:  # while the next image is predicted
            before: Future[FailurePicture] | None = None
            for number, choice in enumerate(shown, start=1):
                image = choice.image
                first = () if image in clean else (CLEAN,)
                found = {one.cell: one for one in self.scored.examine(image, (*first, choice.cell))}
                clean[image] = found.get(CLEAN) or clean[image]
                pair = (clean[image], found[choice.cell])
                if before is not None:
                    yield before.result()
                before = drawing.submit(self._picture, number, choice, *pair, place)
            if before is not None:
                yield before.result()

    def _picture(
        self, number: int, choice: Choice, clean: Examined, corrupted: Examined, place: Path
    ) -> FailurePicture:
        key, cell = self.scored.keys[choice.image], choice.cell
        drawn = draw(
            clean.prediction,
            Pair(clean, corrupted, self.scored.provenance.classes, self.wanted.least_score),
        )
        note = " ".join(filter(None, (self._differs(choice.image, one)
                                      for one in (clean, corrupted))))  # fmt: skip
        head, width = f"{cell.corruption} {cell.severity}, {key}", drawn.picture.width
        lines = [head, drawn.caption, *([note] if note else [])]
        made, pen = canvas(width, LINE * len(lines))
        for line, text in enumerate(lines):
            pen.text((0, LINE * line), fitted(text, width), INK, font())
        buffer = io.BytesIO()
        kind = self.wanted.picture_format
        stacked([made, drawn.picture]).save(buffer, kind, **FORMATS[kind])
        stem = _NAME.sub("_", Path(key).stem)[-60:]
        file = f"{number:03d}_{cell.name}_{stem}.{'jpg' if kind == 'jpeg' else kind}"
        digest = write_picture(place, file, buffer.getvalue())
        return FailurePicture(file, digest, cell.name, key, drawn.caption, note)

    def _differs(self, image: int, now: Examined) -> str:
        """What the sweep recorded, where the prediction is another one now."""
        result = self.stored[now.cell]
        alone = dataclasses.replace(
            result, image_ids=(result.image_ids[image],), samples=dict(now.samples)
        )
        if now.cell not in self.scores:
            self.scores[now.cell] = self.task.image_scores(result)
        there, here = float(self.scores[now.cell][image]), float(self.task.image_scores(alone)[0])
        if (np.isnan(there) and np.isnan(here)) or abs(there - here) <= _SAME:
            return ""
        return (
            f"Predicted otherwise than in the sweep ({now.cell.name}: score {here:.3f}, there "
            f"{there:.3f}): another device or version, or a model whose results depend on the "
            "batch."
        )


__all__ = ["DEFAULT_LEAST_SCORE", "FORMATS", "Failures", "Wanted", "show_failures"]
