"""Scores of token labels as tables of a terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping

from stl_backbones.metrics.token_labels import TOKEN_SCORES, TokenCounts, TokenScore
from stl_backbones.report.numbers.format import cell_words, with_interval
from stl_backbones.report.render.markdown import render_table
from stl_backbones.report.sections import Column, Row, Table
from stl_backbones.training.token_scores import RESAMPLES, TokenLabelResult

_DECIMALS = 1
_BY_CLASS = {
    "iou": "IoU", "precision": "precision", "recall": "recall", "drawn_iou": "IoU after the draw",
    "kept_on_object": "kept on the object", "kept_off_object": "kept off it",
    "auroc_labelled": "AUROC of labelled",
}  # fmt: skip
_NOTES = (
    "Percent. Labelled: a token whose likeliest class is the image's. On the object: a token of "
    "which the object's mask covers at least {share:g} %. Sums over the tokens of all images.",
    "The draw: Gumbel-Softmax's label, in expectation.",
    "In brackets: 95 % interval over images, {resamples} bootstrap resamples. Chance: the same "
    "labels at random places of their images; all tokens labelled would have an IoU of the share "
    "that is on the object. Other masks: the same labels by the masks of the other images, which "
    "are as likely in the middle.",
    "'-': no such token. Without brackets: one image, or resamples without such a token.",
)


def token_tables(result: TokenLabelResult) -> str:
    """Overall and by class, clean and below it corrupted, then what the numbers mean."""
    parts = []
    for name, found in result.scores.items():
        title = f"{cell_words(name)}: {_counts_text(found.counts)}"
        parts += [title, _plain(_overall(found.overall))]
        if len(found.by_class) > 1:
            rows = {
                result.classes[label]: (scores, found.class_counts[label])
                for label, scores in found.by_class.items()
            }
            parts.append(_plain(_by_class(rows)))
    share = 100 * result.record["options"]["share"]
    notes = [note.format(share=share, resamples=RESAMPLES) for note in _NOTES]
    return "\n\n".join([*parts, "\n".join(f"- {note}" for note in notes)])


def _overall(scores: Mapping[str, TokenScore]) -> Table:
    columns = tuple(Column(key, key, key) for key in ("score", "chance", "other masks"))
    rows = tuple(
        Row(
            meaning,
            {
                "score": _text(scores[key]),
                "chance": _known(scores[key].chance),
                "other masks": _known(scores[key].other_masks),
            },
        )
        for key, meaning in TOKEN_SCORES.items()
    )
    return Table("all images", "all images", columns, rows, rows_compete=False)


def _by_class(rows: Mapping[str, tuple[Mapping[str, TokenScore], TokenCounts]]) -> Table:
    columns = (
        Column("images", "images", "images"),
        *(Column(key, title, TOKEN_SCORES[key]) for key, title in _BY_CLASS.items()),
        Column("chance", "chance of IoU", "chance of IoU"),
        Column("other masks", "IoU by other masks", "IoU by other masks"),
    )
    made = tuple(
        Row(
            name,
            {
                "images": str(counts.images),
                **{key: _text(scores[key]) for key in _BY_CLASS},
                "chance": _known(scores["iou"].chance),
                "other masks": _known(scores["iou"].other_masks),
            },
        )
        for name, (scores, counts) in rows.items()
    )
    return Table("classes", "class", columns, made, rows_compete=False)


def _counts_text(counts: TokenCounts) -> str:
    text = (
        f"{counts.images} images, {counts.tokens} tokens, {counts.on_object} on the object, "
        f"{counts.labelled} labelled, {counts.both} both"
    )
    without = f"; {counts.without_object} images have no token on the object"
    return text + without * (counts.without_object > 0)


def _text(score: TokenScore) -> str:
    interval = None if math.isnan(score.interval[0]) else score.interval
    return with_interval(_known(score.value), interval, "fraction", _DECIMALS)


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _plain(table: Table) -> str:
    return render_table(table, _DECIMALS, escape=str)


__all__ = ["token_tables"]
