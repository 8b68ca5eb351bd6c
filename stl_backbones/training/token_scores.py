"""Scores of token labels by masks of the objects, and the file that they are kept in."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stl_backbones.copies.plan import package_versions
from stl_backbones.corruptions import custom_versions, engine_version
from stl_backbones.metrics.bootstrap import LEVEL
from stl_backbones.metrics.token_labels import (
    TokenCounts,
    TokenLabelScores,
    TokenSample,
    TokenScore,
    score_token_labels,
)
from stl_backbones.pretraining.frozen import FrozenLabeler
from stl_backbones.records import CLEAN, Cell, CorruptionEngine
from stl_backbones.training.token_maps import LabelledImage, PictureOptions, class_name

SCORES_FILE = "token_labels.json"
FORMAT = 1
RESAMPLES, SEED = 1000, 0  # of the intervals


@dataclass(frozen=True)
class TokenLabelResult:
    """Scores of token labels, and what they were measured with.

    Attributes:
        scores: ``'clean'``, and with a corruption for example ``'fog-3'`` -> the scores.
        classes: Class -> its name.
        images: For each image its name, its class, and of each cell its scores.
        record: What was measured: labeler, options, data, versions.
    """

    scores: Mapping[str, TokenLabelScores]
    classes: Mapping[int, str]
    images: tuple[Mapping[str, Any], ...]
    record: Mapping[str, Any]

    def as_json(self) -> bytes:
        """The file: fractions unrounded, ``null`` where nothing was counted."""
        cells = {
            name: {
                "overall": _plain(found.overall, found.counts),
                "classes": {
                    self.classes[label]: _plain(of_class, found.class_counts[label])
                    for label, of_class in found.by_class.items()
                },
            }
            for name, found in self.scores.items()
        }
        content = {"format": FORMAT, **self.record, "scores": cells, "images": self.images}
        return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()


class TokenScorer:
    """Collects the tokens of images, and scores them.

    Args:
        labeler: Who labelled them.
        options: How.
        masks: Where the masks are from.
    """

    def __init__(self, labeler: FrozenLabeler, options: PictureOptions, masks: str | Path) -> None:
        self._labeler, self._options, self._masks = labeler, options, Path(masks)
        cells = [CLEAN]
        if options.corruption is not None:
            cells.append(Cell(options.corruption, options.severity))
        self._samples: dict[str, list[TokenSample]] = {cell.name: [] for cell in cells}
        self._images: list[Mapping[str, Any]] = []
        self._digest = hashlib.blake2b(digest_size=16)

    def add(self, one: LabelledImage) -> None:
        """Add an image, whose mask is known."""
        name, label = f"{one.path.resolve().parent.name}/{one.path.name}", one.maps[0].label
        entry: dict[str, Any] = {"image": name, "class": class_name(self._labeler, label)}
        self._digest.update(f"{name}\0{label}\0".encode())
        self._digest.update(one.maps[0].image.tobytes())
        self._digest.update(np.asarray(one.maps[0].mask, np.uint8).tobytes())
        for (cell, samples), tokens in zip(self._samples.items(), one.maps, strict=True):
            samples.append(tokens.sample())
            found = score_token_labels(samples[-1:], resamples=0)
            entry[cell] = {key: _number(score.value) for key, score in found.overall.items()}
        self._images.append(entry)

    def result(self) -> TokenLabelResult:
        """The scores of all images so far."""
        scores = {
            cell: score_token_labels(samples, resamples=RESAMPLES, seed=SEED)
            for cell, samples in self._samples.items()
        }
        labels = {sample.label for samples in self._samples.values() for sample in samples}
        names = {label: class_name(self._labeler, label) for label in sorted(labels)}
        return TokenLabelResult(scores, names, tuple(self._images), self._record())

    def _record(self) -> dict[str, Any]:
        options = dataclasses.asdict(self._options)
        for what in ("threshold", "pictures", "seed"):  # of the pictures alone
            del options[what]
        names = [] if self._options.corruption is None else [self._options.corruption]
        if not names:
            del options["severity"]
        return {
            "labeler": self._labeler.card,
            "options": options,
            "data": {
                "masks": self._masks.name,
                "images": len(self._images),
                "fingerprint": self._digest.hexdigest(),
            },
            "corruption_package": engine_version(CorruptionEngine()),
            "custom_versions": custom_versions(names),
            "versions": {**package_versions(), "torch": torch.__version__},
            "intervals": {"level": LEVEL, "resamples": RESAMPLES, "seed": SEED},
        }


def _plain(scores: Mapping[str, TokenScore], counts: TokenCounts) -> dict[str, Any]:
    return {
        "counts": dataclasses.asdict(counts),
        **{
            key: {
                "value": _number(score.value),
                "interval": _interval(score.interval),
                "chance": _number(score.chance),
                "other_masks": _number(score.other_masks),
            }
            for key, score in scores.items()
        },
    }


def _interval(ends: Iterable[float]) -> list[float] | None:
    found = list(ends)
    return None if any(map(math.isnan, found)) else found


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


__all__ = ["SCORES_FILE", "TokenLabelResult", "TokenScorer"]
