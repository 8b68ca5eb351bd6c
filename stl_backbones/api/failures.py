"""The pictures of a sweep's failures, of any model that `evaluate` takes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stl_backbones.api.evaluate import find_sweep
from stl_backbones.api.result import Result, load
from stl_backbones.api.words import in_python_words
from stl_backbones.failures.choose import DEFAULT_COUNT
from stl_backbones.failures.show import DEFAULT_LEAST_SCORE, Failures, Wanted
from stl_backbones.failures.show import show_failures as draw_failures
from stl_backbones.records import CHANNEL_ORDERS, COMPATS, Provenance
from stl_backbones.results import CellStore


def show_failures(
    sweep: Result | str | Path,
    model: Any,
    data: Any = None,
    *,
    cells: Sequence[str] = (),
    count: int = DEFAULT_COUNT,
    by: str = "drop",
    picture_format: str = "png",
    least_score: float = DEFAULT_LEAST_SCORE,
    out: str | Path | None = None,
    classes: Sequence[str] | str | Path | None = None,
    label_ids: str | Sequence[int] | None = None,
    ids: Sequence[str] | None = None,
    **said: Any,
) -> Failures:
    """Draw the images that a model loses most on, side by side; a notebook shows them.

    The images are chosen from the sweep's records, then corrupted and predicted again: only these.

    Args:
        sweep: A result of `evaluate` or `load`, or the sweep's folder.
        model: The sweep's model, as for `evaluate`.
        data: Its data, likewise.
        cells: Such as ``'fog/5'``; none: of the three corruptions that cost most the strongest.
        count: Pictures, shared evenly among the cells.
        by: ``'drop'``: the largest fall against the clean image; ``'worst'``: the lowest score;
            ``'class:NAME'``: the largest fall of a class; ``'random'``: the same at every call.
        picture_format: ``'png'`` or ``'jpeg'``.
        least_score: Detections below it are not drawn.
        out: Where the pictures go; default: ``failures`` in the sweep's folder, where a report
            finds them.
        classes: As for `evaluate`.
        label_ids: As for `evaluate`.
        ids: As for `evaluate`.
        **said: What else `evaluate` was given about the model. How many images there are, and how
            they are corrupted, is in the sweep's record.

    Returns:
        The folder, and its pictures.

    Raises:
        InputError: If model or data are others than the sweep's, or nothing is to be shown.
        UnknownNameError: If a name is unknown.
        MissingFileError: If something named is missing.
    """
    result = sweep if isinstance(sweep, Result) else load(sweep)
    wanted = Wanted(cells, count, by, picture_format, least_score, out)
    with in_python_words():
        recorded = CellStore(result.folders[0]).provenance()
        source, options = find_sweep(
            model, data, said, classes=classes, label_ids=label_ids, ids=ids, **_recorded(recorded)
        )
        return draw_failures(source, options, result.folders[0], wanted=wanted)


def _recorded(measured: Provenance) -> dict[str, Any]:
    """Options that a sweep's record states."""
    compat = measured.corruption_package.rpartition(" ")[2]
    found: dict[str, Any] = {"seed": measured.seed, "skip_broken": bool(measured.skipped)}
    if measured.num_images + len(measured.skipped) < measured.num_images_total:
        found["limit"] = measured.num_images
    if compat in COMPATS:
        found["compat"] = compat
    if measured.channel_order in CHANNEL_ORDERS:
        found["channel_order"] = measured.channel_order
    return {"protocol": measured.protocol, **found}


__all__ = ["show_failures"]
