"""Means, intervals and tables of `stl_small.py`, from which test images each network got right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from stl_small_study import CELLS, PROTOCOL

from stl_backbones.metrics.bootstrap import percentile_interval, resample_counts

GROUPS = PROTOCOL.columns
RESAMPLES = 4000
LEVEL = 0.95  # share of the resamples inside an interval
TITLES = {
    "class_only": "(a) class labels only",
    "class_only_long": "(b) class labels only, twice the epochs",
    "labeler": "(c) labeler",
    "student": "(d) student of (c)",
    "student_of_plain": "(e) student of (a), argmax",
    "student_argmax": "(f) student of (c), argmax",
}
# Percentages but for retention, which is corrupted / clean.
COLUMNS = ("clean", "corrupted", "retention", *GROUPS)
ROWS = (
    "class_only/cls",
    "class_only_long/cls",
    "labeler/cls",
    "student/cls",
    "student_of_plain/cls",
    "student_argmax/cls",
    "labeler/cls_plus_max_token",
    "student/cls_plus_max_token",
    "student_of_plain/cls_plus_max_token",
)
DIFFERENCES = (
    ("student/cls", "class_only/cls"),
    ("student/cls", "class_only_long/cls"),
    ("student/cls", "student_of_plain/cls"),
    ("student_argmax/cls", "class_only/cls"),
    ("student_argmax/cls", "class_only_long/cls"),
    ("student_argmax/cls", "student_of_plain/cls"),
    ("student_argmax/cls", "student/cls"),
    ("student_of_plain/cls", "class_only/cls"),
    ("labeler/cls", "class_only/cls"),
    ("student/cls", "labeler/cls"),
    ("class_only_long/cls", "class_only/cls"),
    ("student/cls_plus_max_token", "class_only/cls"),
    ("student/cls_plus_max_token", "class_only_long/cls"),
)


def make_figures(correct: Mapping[str, np.ndarray], *, seed: int = 0) -> dict[str, Any]:
    """Every figure of the tables.

    An interval is that of a bootstrap over test images and training seeds: each resample draws
    images, an image with all its cells and networks, and seeds, a seed with all its networks. Of
    three seeds it says little about what a fourth could bring; ``seeds`` shows each.

    Args:
        correct: ``'<arm>/<scoring>'`` -> ``(training seeds, cells, images)`` bool.
        seed: Of the bootstrap.

    Returns:
        ``rows`` and ``differences``: name -> column -> ``mean``, ``low`` and ``high`` (the
        interval) and ``seeds`` (the figure of each); ``cells``: name -> cell -> right answers of
        each seed.
    """
    names = [name for name in ROWS if name in correct]
    count = correct[names[0]].shape[2]
    rng = np.random.default_rng(seed)
    draws = resample_counts(count, resamples=RESAMPLES, rng=rng) / count
    trainings = len(correct[names[0]])
    shares = resample_counts(trainings, resamples=RESAMPLES, rng=rng) / trainings
    whole, equal = np.full((1, count), 1 / count), np.full((1, trainings), 1 / trainings)
    means = {name: columns_of(correct[name], whole, equal)[0] for name in names}
    spread = {name: columns_of(correct[name], draws, shares) for name in names}
    seeds = {
        name: np.stack([columns_of(one[None], whole, np.ones((1, 1)))[0] for one in correct[name]])
        for name in names
    }
    return {
        "rows": {name: _figures(means[name], spread[name], seeds[name]) for name in names},
        "differences": {
            f"{a} - {b}": _figures(means[a] - means[b], spread[a] - spread[b], seeds[a] - seeds[b])
            for a, b in DIFFERENCES
            if a in means and b in means
        },
        "cells": {
            name: {
                cell.name: correct[name][:, at].sum(axis=1).tolist()
                for at, cell in enumerate(CELLS)
            }
            for name in names
        },
    }


def columns_of(right: np.ndarray, draws: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """The columns of a row.

    Args:
        right: ``(seeds, cells, images)``, 1 where the answer was right.
        draws: ``(resamples, images)``, the weight of each image, summing to 1.
        shares: ``(resamples, seeds)``, the weight of each training, summing to 1.

    Returns:
        ``(resamples, columns)``.
    """
    groups: list[Sequence[str]] = [("clean",), tuple(n for names in GROUPS.values() for n in names)]
    groups += list(GROUPS.values())
    chosen = [[cell.corruption in group for cell in CELLS] for group in groups]
    percent = np.zeros((len(draws), len(groups)))
    for one, share in zip(right, shares.T, strict=True):
        per_image = np.stack([one[cells].mean(axis=0) for cells in chosen])
        percent += share[:, None] * (100 * draws @ per_image.T)
    return np.insert(percent, COLUMNS.index("retention"), percent[:, 1] / percent[:, 0], axis=1)


def _figures(mean: np.ndarray, spread: np.ndarray, seeds: np.ndarray) -> dict[str, Any]:
    figures = {}
    for at, column in enumerate(COLUMNS):
        low, high = percentile_interval(spread[:, at], level=LEVEL)
        own = [float(value) for value in seeds[:, at]]
        figures[column] = {"mean": float(mean[at]), "low": low, "high": high, "seeds": own}
    return figures


def render(figures: Mapping[str, Any]) -> str:
    """The tables as Markdown."""
    lines = [
        *_table("network", figures["rows"]),
        "",
        *_table("difference", figures["differences"]),
        "",
        *_seed_table(figures),
        "",
        *_label_table(figures["labels"]),
        "",
        *_cost_table(figures["cost"]),
    ]
    return "\n".join(lines) + "\n"


def _table(head: str, rows: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    yield f"| {head} | {' | '.join(COLUMNS)} |"
    yield "|---" * (1 + len(COLUMNS)) + "|"
    for name, row in rows.items():
        sign = "+" if " - " in name else ""
        yield f"| {_title(name)} | {' | '.join(_cell(c, row[c], sign) for c in COLUMNS)} |"


def _cell(column: str, figure: Mapping[str, Any], sign: str) -> str:
    form = f"{sign}.3f" if column == "retention" else f"{sign}.1f"
    return f"{figure['mean']:{form}} [{figure['low']:{form}}, {figure['high']:{form}}]"


def _seed_table(figures: Mapping[str, Any]) -> Iterator[str]:
    """Clean and corrupted accuracy of each training seed."""
    yield f"| seed by seed ({', '.join(map(str, figures['seeds']))}) | clean | corrupted |"
    yield "|---|---|---|"
    for name, row in {**figures["rows"], **figures["differences"]}.items():
        form = "+.1f" if " - " in name else ".1f"
        shown = [
            ", ".join(f"{value:{form}}" for value in row[column]["seeds"])
            for column in ("clean", "corrupted")
        ]
        yield f"| {_title(name)} | {' | '.join(shown)} |"


def _label_table(labels: Sequence[Mapping[str, Mapping[str, float]]]) -> Iterator[str]:
    """Percent of the training images' tokens that have the image's class, seed by seed."""
    yield "| right labels of training images, percent | argmax | Gumbel | mean token |"
    yield "|---|---|---|---|"
    for arm, title in (("labeler", "(c) labeler"), ("class_only", "(a), its class head on tokens")):
        shown = [
            ", ".join(f"{100 * one[arm][kind]:.1f}" for one in labels if one)
            for kind in ("argmax", "gumbel", "image")
        ]
        yield f"| {title} | {' | '.join(shown)} |"


def _cost_table(cost: Mapping[str, Sequence[Mapping[str, float]]]) -> Iterator[str]:
    yield "| training | image steps | wall minutes, seed by seed |"
    yield "|---|---|---|"
    for arm, runs in cost.items():
        minutes = ", ".join(f"{run['minutes']:.1f}" for run in runs)
        yield f"| {TITLES[arm]} | {runs[0]['image_steps']:,} | {minutes} |"


def _title(name: str) -> str:
    if " - " in name:
        return " - ".join(_title(part).split(" ", 1)[1] for part in name.split(" - "))
    arm, scoring = name.split("/")
    return TITLES[arm] + (" + tokens" if scoring == "cls_plus_max_token" else "")
