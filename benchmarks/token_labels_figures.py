"""Scores, intervals, claims and tables of `token_labels.py`, from what the labelers said."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from token_labels_scoring import CLASS_HEAD, LABELERS, VIEWS
from token_labels_training import STOPPED

from stl_backbones.metrics.bootstrap import percentile_interval, resample_counts, weighted_sums
from stl_backbones.metrics.token_labels import score_token_labels
from stl_backbones.metrics.token_samples import TokenSample, token_samples

RESAMPLES = 1000
EQUAL = 0.02  # what a difference may be where a claim says that there is none
STL = "cls_and_gap"
EVERYWHERE, PLACES = "everywhere", "places"
TITLES = {
    "cls": "`cls`: class token alone, its token head",
    CLASS_HEAD: "the same network, class head on its patch tokens",
    "gap": "`gap`: mean token alone",
    STL: "`cls_and_gap`: the paper's labeler",
    STOPPED: "`cls_and_gap_stopgrad`",
    "cnn": "CNN, each location classified",
    EVERYWHERE: "every token has the image's class",
    PLACES: "the tokens where training objects are",
}
# Of the metric; the confidences are counted here.
SCORES = (
    "iou", "precision", "recall", "auroc_labelled", "auroc_on_object", "drawn_iou",
    "drawn_precision", "drawn_recall", "kept_on_object", "kept_off_object", "labelled", "on_object",
)  # fmt: skip
CONFIDENCES = (
    "confidence", "confidence_right", "confidence_wrong", "confidence_background"
)  # fmt: skip


@dataclass(frozen=True)
class Claim:
    """One claim of the paper, as a difference that is above zero if it is right.

    Attributes:
        section: Of the paper.
        text: The claim.
        number: What is measured, in words.
        plus: Row and column of what should be larger.
        minus: Row and column of what should be smaller; or the number itself.
        equal: The claim is that they are equal.
    """

    section: str
    text: str
    number: str
    plus: tuple[str, str]
    minus: tuple[str, str] | float
    equal: bool = False


CLAIMS = (
    Claim("3.1", "token labels show the object", "IoU above chance",
          (STL, "iou"), (STL, "iou_chance")),
    Claim("3.1", "they know where this image's object is", "IoU above that of fixed places",
          (STL, "iou"), (PLACES, "iou")),
    Claim("A.1", "trained on the class token alone, labels are meaningless",
          "IoU of `cls` less chance, within 0.02 of zero",
          ("cls", "iou"), ("cls", "iou_chance"), equal=True),
    Claim("3.1", "a classifier's own last tokens are worse",
          "IoU above that of the class head on the tokens of `cls`",
          (STL, "iou"), (CLASS_HEAD, "iou")),
    Claim("A.1", "both losses are needed", "IoU above that of `gap`", (STL, "iou"), ("gap", "iou")),
    Claim("A.1", "with stopped gradients all confidences are high",
          "mean confidence of `cls_and_gap_stopgrad` above that of `cls_and_gap`",
          (STOPPED, "confidence"), (STL, "confidence")),
    Claim("A.1", "with stopped gradients confidence says less about right and wrong",
          "AUROC (a) above that of `cls_and_gap_stopgrad`",
          (STL, "auroc_labelled"), (STOPPED, "auroc_labelled")),
    Claim("A.1", "with stopped gradients labels are worse",
          "IoU above that of `cls_and_gap_stopgrad`",
          (STL, "iou"), (STOPPED, "iou")),
    Claim("5.3", "a FAN labels better than a CNN", "IoU above the CNN's",
          (STL, "iou"), ("cnn", "iou")),
    Claim("3.2", "right foreground labels are surer than wrong ones", "AUROC (a) above 0.5",
          (STL, "auroc_labelled"), 0.5),
    Claim("3.2", "found parts of the object are surer than missed ones", "AUROC (b) above 0.5",
          (STL, "auroc_on_object"), 0.5),
    Claim("3.2", "background tokens are less sure than right foreground tokens",
          "mean confidence of right foreground tokens above that of background tokens",
          (STL, "confidence_right"), (STL, "confidence_background")),
    Claim("3.2", "Gumbel-Softmax keeps right labels and changes wrong ones",
          "share kept on the object above that off it",
          (STL, "kept_on_object"), (STL, "kept_off_object")),
    Claim("3.2", "after Gumbel-Softmax foreground labels are more accurate",
          "precision after above before", (STL, "drawn_precision"), (STL, "precision")),
    Claim("3.2", "Gumbel-Softmax gives a more precise segmentation", "IoU after above before",
          (STL, "drawn_iou"), (STL, "iou")),
    *(
        Claim("5.1", f"{names} in the labeler's view: labels are worse",
              "IoU of the spatial view above", ("view:spatial", "iou"), (f"view:{view}", "iou"))
        for view, names in (
            ("rand_augment", "RandAugment's colours"),
            ("erasing", "random erasing"),
            ("mixup", "Mixup"),
            ("cutmix", "CutMix"),
            ("rand_augment_erasing", "RandAugment and erasing"),
            ("all", "all four"),
        )
    ),
)  # fmt: skip


def make_figures(
    found: Sequence[Mapping[str, np.ndarray]], places: np.ndarray, *, resamples: int = RESAMPLES
) -> dict[str, Any]:
    """Every figure of the tables.

    An interval is that of a bootstrap over the scored crops: a crop is drawn with all labelers,
    views and training seeds together, and a figure is the mean of its seeds. It says how much
    other crops could change a figure, not how much other training seeds could; ``seeds`` shows
    those.

    Args:
        found: What `token_labels_scoring.score` gave, of each training seed.
        places: ``(h, w)`` bool, see `best_places`.
        resamples: Of the bootstrap.

    Returns:
        ``rows``: labeler or view -> column -> ``mean``, ``low``, ``high`` and ``seeds``;
        ``claims``: a list of such figures with ``verdict``, see `judge`; ``accuracy``: labeler ->
        ``class_token`` and ``mean_token``, of each seed.
    """
    names = [*LABELERS, EVERYWHERE, PLACES, *(f"view:{view}" for view in VIEWS)]
    values: dict[str, dict[str, np.ndarray]] = {}  # row -> column -> (seeds, 1 + resamples)
    for name in names:
        each = [_columns(_samples(one, name, places), resamples) for one in found]
        values[name] = {column: np.stack([one[column] for one in each]) for column in each[0]}
    return {
        "rows": {
            name: {column: _figure(rows) for column, rows in columns.items()}
            for name, columns in values.items()
        },
        "claims": [_test(claim, values) for claim in CLAIMS],
        "accuracy": {
            name: {
                title: [float(one[f"{name}/{key}"].mean()) for one in found]
                for title, key in (("class_token", "correct"), ("mean_token", "pooled_correct"))
            }
            for name in LABELERS
        },
        "tokens": {
            "crops": len(found[0][f"{STL}/labels"]),
            "grid": list(found[0][f"{STL}/foreground"].shape[1:]),
            "on_object": float(found[0][f"{STL}/foreground"].mean()),
            "without_object": int((~found[0][f"{STL}/foreground"].any(axis=(1, 2))).sum()),
        },
    }


def best_places(foreground: np.ndarray) -> np.ndarray:
    """The set of tokens that, as the label of every crop, has the best IoU with the objects.

    Args:
        foreground: ``(n, h, w)`` bool, tokens on the object of each training crop.

    Returns:
        ``(h, w)`` bool.
    """
    counts = foreground.sum(axis=0).ravel()
    order = np.argsort(-counts, kind="stable")
    taken = np.arange(1, len(order) + 1)
    hits = counts[order].cumsum()
    iou = hits / (taken * len(foreground) + counts.sum() - hits)
    chosen = np.zeros(len(order), bool)
    chosen[order[: 1 + int(iou.argmax())]] = True
    return chosen.reshape(foreground.shape[1:])


def _samples(found: Mapping[str, np.ndarray], name: str, places: np.ndarray) -> list[TokenSample]:
    if name in (EVERYWHERE, PLACES):
        labels, foregrounds = found[f"{STL}/labels"], found[f"{STL}/foreground"]
        taken = np.ones_like(places) if name == EVERYWHERE else places
        return [
            TokenSample(
                label=int(label), foreground=foreground, classes=np.where(taken, label, -1),
                confidence=np.ones(taken.shape), label_probability=taken.astype(float),
            )
            for label, foreground in zip(labels, foregrounds, strict=True)
        ]  # fmt: skip
    parts = (found[f"{name}/{part}"] for part in ("labels", "foreground", "probabilities"))
    return token_samples(*parts)


def _columns(samples: Sequence[TokenSample], resamples: int) -> dict[str, np.ndarray]:
    """Column -> its value, then that of each resample; the same resamples for all rows."""
    scores = score_token_labels(samples, resamples=resamples, seed=0).overall
    columns = {name: np.append(scores[name].value, scores[name].replicates) for name in SCORES}
    columns["iou_chance"] = np.full(1 + resamples, scores["iou"].chance)
    counts = resample_counts(len(samples), resamples=resamples, rng=np.random.default_rng(0))
    counts = np.vstack([np.ones((1, len(samples)), counts.dtype), counts])
    sums = weighted_sums(counts, np.array([_confidence_terms(sample) for sample in samples]))
    with np.errstate(invalid="ignore"):
        means = sums[:, ::2] / sums[:, 1::2]
    return columns | dict(zip(CONFIDENCES, means.T, strict=True))


def _confidence_terms(sample: TokenSample) -> list[float]:
    """Sum and number of confidences: of all tokens, right foreground ones, wrong ones, others."""
    labelled = sample.classes == sample.label
    sets = (
        np.ones_like(labelled),
        labelled & sample.foreground,
        labelled & ~sample.foreground,
        ~labelled,
    )
    return [term for chosen in sets for term in (sample.confidence[chosen].sum(), chosen.sum())]


def _test(claim: Claim, values: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, Any]:
    row, column = claim.plus
    difference = values[row][column]
    if isinstance(claim.minus, float):
        difference = difference - claim.minus
    else:
        row, column = claim.minus
        difference = difference - values[row][column]
    figure = _figure(difference)
    text = {"section": claim.section, "claim": claim.text, "number": claim.number}
    return {**text, **figure, "verdict": judge(figure, equal=claim.equal)}


def judge(figure: Mapping[str, Any], *, equal: bool = False) -> str:
    """Whether a difference is above zero.

    Args:
        figure: The difference.
        equal: Whether it is zero instead, up to `EQUAL`.

    Returns:
        ``'holds'`` or ``'the opposite'`` if the ends of the interval and the figures of all
        training seeds agree; else ``'not seen'``.
    """
    ends = (figure["low"], figure["high"], *figure["seeds"])
    if any(end is None for end in ends):
        return "not seen"
    if equal:
        holds, opposite = max(map(abs, ends)) < EQUAL, min(map(abs, ends)) > EQUAL
    else:
        holds, opposite = min(ends) > 0, max(ends) < 0
    return "holds" if holds else "the opposite" if opposite else "not seen"


def _figure(values: np.ndarray) -> dict[str, Any]:
    """Of ``(seeds, 1 + resamples)``; None where there is no value."""
    mean = values.mean(axis=0)
    spread = mean[1:][np.isfinite(mean[1:])]
    low, high = percentile_interval(spread, level=0.95) if len(spread) else (None, None)
    return {
        "mean": _finite(mean[0]), "low": low, "high": high,
        "seeds": [_finite(value) for value in values[:, 0]],
    }  # fmt: skip


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def render(figures: Mapping[str, Any]) -> str:
    """The tables as Markdown."""
    lines = [
        *_claim_table(figures["claims"]),
        "",
        *_table(figures, LABELERS_AND_PLACES, LABELER_COLUMNS, head="labeler"),
        "",
        *_table(figures, LABELERS, DRAWN_COLUMNS, head="labeler"),
        "",
        *_table(figures, [f"view:{view}" for view in VIEWS], VIEW_COLUMNS, head="labeler's view"),
        "",
        *_accuracy_table(figures),
    ]
    return "\n".join(lines) + "\n"


LABELERS_AND_PLACES = (
    "cls", CLASS_HEAD, "gap", STL, STOPPED, "cnn", EVERYWHERE, PLACES,
)  # fmt: skip
LABELER_COLUMNS = {
    "iou": "IoU", "iou_chance": "of chance", "precision": "precision", "recall": "recall",
    "confidence": "mean confidence", "auroc_labelled": "AUROC (a)", "auroc_on_object": "AUROC (b)",
}  # fmt: skip
DRAWN_COLUMNS = {
    "kept_on_object": "kept, right", "kept_off_object": "kept, wrong",
    "precision": "precision before", "drawn_precision": "after", "recall": "recall before",
    "drawn_recall": "after", "iou": "IoU before", "drawn_iou": "after",
}  # fmt: skip
VIEW_COLUMNS = {
    "iou": "IoU", "iou_chance": "of chance", "precision": "precision", "recall": "recall",
    "labelled": "foreground tokens", "on_object": "on the object",
}  # fmt: skip


def _claim_table(claims: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield "| section | claim | number | difference | seed by seed | verdict |"
    yield "|---|---|---|---|---|---|"
    for claim in claims:
        seeds = ", ".join(_number(value, "+") for value in claim["seeds"])
        yield (
            f"| {claim['section']} | {claim['claim']} | {claim['number']} | {_cell(claim, '+')} "
            f"| {seeds} | {claim['verdict']} |"
        )


def _table(
    figures: Mapping[str, Any], names: Sequence[str], columns: Mapping[str, str], *, head: str
) -> Iterator[str]:
    yield f"| {head} | {' | '.join(columns.values())} |"
    yield "|---" * (1 + len(columns)) + "|"
    for name in names:
        title = VIEWS[name[5:]].title if name.startswith("view:") else TITLES[name]
        cells = [_cell(figures["rows"][name][column]) for column in columns]
        yield f"| {title} | {' | '.join(cells)} |"


def _cell(figure: Mapping[str, Any], sign: str = "") -> str:
    if figure["mean"] is None:
        return "-"
    mean, low, high = (_number(figure[key], sign) for key in ("mean", "low", "high"))
    return mean if low == high else f"{mean} [{low}, {high}]"


def _number(value: float | None, sign: str = "") -> str:
    return "-" if value is None else f"{value:{sign}.3f}"


def _accuracy_table(figures: Mapping[str, Any]) -> Iterator[str]:
    yield "| class accuracy, seed by seed | class token | mean token |"
    yield "|---|---|---|"
    for name, row in figures["accuracy"].items():
        shown = [
            ", ".join(f"{100 * value:.1f}" for value in row[key])
            for key in ("class_token", "mean_token")
        ]
        yield f"| {TITLES[name]} | {' | '.join(shown)} |"
