"""How well a labeler's token labels show the object of an image.

A token is *on the object* if enough of its patch is covered by the object's mask, and *labelled*
if its likeliest class is the image's class: the paper's foreground token. What Gumbel-Softmax
makes of a label is a draw from the token's softmax, so that a token is labelled after the draw
with the probability that it gives the image's class: all scores of drawn labels are expectations,
without noise.

References:
    Zhao et al. 2023, "Fully Attentional Networks with Self-emerging Token Labeling" (STL),
    sections 3.1 and 3.2, Figure 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from stl_backbones.metrics.bootstrap import percentile_intervals, resample_counts, weighted_sums
from stl_backbones.metrics.token_samples import TokenSample, foreground_tokens, token_samples

_Floats = npt.NDArray[np.float64]
_NAN = float("nan")

# Key -> what it is; the order of tables.
TOKEN_SCORES = {
    "iou": "IoU of the labelled tokens with the tokens on the object",
    "precision": "share of the labelled tokens that are on the object",
    "recall": "share of the tokens on the object that are labelled",
    "image_iou": "IoU of each image, mean over images",
    "drawn_iou": "IoU after the draw",
    "drawn_precision": "precision after the draw",
    "drawn_recall": "recall after the draw",
    "kept_on_object": "share of the labelled tokens on the object that keep the label in the draw",
    "kept_off_object": "share of the labelled tokens off the object that keep it",
    "auroc_labelled": "AUROC of confidence, labelled tokens: on the object against off it",
    "auroc_on_object": "AUROC of confidence, tokens on the object: labelled against not",
    "auroc_labelled_within": "auroc_labelled, tokens compared within each image only",
    "auroc_on_object_within": "auroc_on_object, tokens compared within each image only",
    "on_object": "share of all tokens that are on the object",
    "labelled": "share of all tokens that are labelled",
}
_AUROCS = ("auroc_labelled", "auroc_on_object")


@dataclass(frozen=True)
class TokenScore:
    """One number.

    Attributes:
        value: A fraction; NaN where there is no token that it could be counted of.
        interval: Ends of its 95 % interval over images; NaN where there is none: no value, a
            single image, or too few resamples with a value.
        chance: The same of labels at random places, see `score_token_labels`; NaN where that has
            no meaning.
        replicates: ``(R,)`` the score of each resample, NaN where it has none. Scores of the same
            images, in one order, and of one seed are paired: the interval of a difference is that
            of the differences of their replicates.
    """

    value: float
    interval: tuple[float, float]
    chance: float
    replicates: _Floats


@dataclass(frozen=True)
class TokenCounts:
    """What was counted.

    Attributes:
        images: Images.
        without_object: Images of which no token is on the object, so that it counts for nothing in
            recall; all that is labelled there is wrong.
        tokens: Tokens.
        on_object: Those on the object.
        labelled: Those labelled with their image's class.
        both: Those that are both.
    """

    images: int
    without_object: int
    tokens: int
    on_object: int
    labelled: int
    both: int


@dataclass(frozen=True)
class TokenLabelScores:
    """The scores of images, by the keys of `TOKEN_SCORES`.

    Attributes:
        overall: Of all images.
        by_class: Class -> of its images; classes without an image have no entry.
        counts: What was counted, of all images.
        class_counts: Class -> of its images.
    """

    overall: Mapping[str, TokenScore]
    by_class: Mapping[int, Mapping[str, TokenScore]]
    counts: TokenCounts
    class_counts: Mapping[int, TokenCounts]


def score_token_labels(
    samples: Sequence[TokenSample], *, resamples: int = 1000, seed: int = 0
) -> TokenLabelScores:
    """Score token labels against the places of the objects.

    Every score but ``image_iou`` is a ratio of sums over the tokens of all images, so that an
    image counts by its tokens. Those of drawn labels are ratios of expected sums. The AUROCs pool
    the tokens of all images; those that end in ``_within`` compare tokens of one image only, and
    sum the pairs over images. A pair of equal confidences counts half.

    Chance keeps each image's labels and probabilities and puts them at random places of the image:
    what is expected of a labeler that labels as many tokens, with no regard to where the object is,
    and so of one that labels at random. Of ratios of sums it is the ratio of the expected sums, of
    AUROCs 0.5, a confidence that says nothing. A labeler that gives every token the image's class
    scores ``on_object`` as IoU and precision, and 1 as recall: its chance, too.

    Args:
        samples: The images' tokens.
        resamples: Bootstrap resamples of the images for the intervals; 0 for none.
        seed: Of the resamples.

    Returns:
        The scores, overall and by class. Intervals of a class are of the same resamples.

    Raises:
        ValueError: If there is no image.
    """
    rng = np.random.default_rng(seed)
    drawn = resample_counts(len(samples), resamples=resamples, rng=rng)
    counts = np.vstack([np.ones((1, len(samples)), np.float32), drawn])
    terms = np.array([_image_terms(sample) for sample in samples])
    labels = np.array([sample.label for sample in samples])
    tokens = {name: _pooled(samples, name) for name in _AUROCS}
    by_class, class_counts = {}, {}
    for label in np.unique(labels):
        chosen = labels == label
        by_class[int(label)] = _scores(terms[chosen], tokens, chosen, counts)
        class_counts[int(label)] = _count(terms[chosen])
    everything = np.ones(len(samples), np.bool_)
    overall = _scores(terms, tokens, everything, counts)
    return TokenLabelScores(overall, by_class, _count(terms), class_counts)


@dataclass(frozen=True)
class _Tokens:
    """Tokens of all images, by confidence."""

    image: npt.NDArray[np.intp]
    confidence: npt.NDArray[np.floating]
    positive: npt.NDArray[np.bool_]


# What each image adds to the sums.
(
    _TOKENS, _ON, _LABELLED, _HITS, _DRAWN, _DRAWN_HITS, _KEPT, _KEPT_HITS, _CHANCE_HITS,
    _CHANCE_DRAWN_HITS, _CHANCE_KEPT_HITS, _IOU, _HAS_IOU, _CHANCE_IOU, _WINS, _PAIRS, _WINS_ON,
    _PAIRS_ON,
) = range(18)  # fmt: skip


def _image_terms(sample: TokenSample) -> list[float]:
    foreground, labelled = sample.foreground, sample.classes == sample.label
    probability = sample.label_probability.astype(np.float64)
    size, on, of_class = foreground.size, int(foreground.sum()), int(labelled.sum())
    hits = int((foreground & labelled).sum())
    drawn, kept = probability.sum(), probability[labelled].sum()
    union = on + of_class - hits
    confidence = sample.confidence
    return [
        size, on, of_class, hits,
        drawn, probability[foreground].sum(), kept, probability[foreground & labelled].sum(),
        of_class * on / size, drawn * on / size, kept * on / size,
        hits / union if union else 0, union > 0, _chance_iou(size, on, of_class),
        *_wins(confidence[foreground & labelled], confidence[~foreground & labelled]),
        *_wins(confidence[foreground & labelled], confidence[foreground & ~labelled]),
    ]  # fmt: skip


def _chance_iou(size: int, on: int, labelled: int) -> float:
    """Mean IoU of two sets of tokens, one of them anywhere; 0 if both are empty."""
    if not on or not labelled:
        return 0.0
    hits = np.arange(max(0, on + labelled - size), min(on, labelled) + 1)
    odds = stats.hypergeom.pmf(hits, size, on, labelled)
    return float((odds * hits / (on + labelled - hits)).sum())


def _wins(
    positive: npt.NDArray[np.floating], negative: npt.NDArray[np.floating]
) -> tuple[float, float]:
    """Pairs in which the positive one is higher, ties by half, and all pairs."""
    ordered = np.sort(negative)
    below, up_to = (np.searchsorted(ordered, positive, side) for side in ("left", "right"))
    return float((below + up_to).sum()) / 2, float(len(positive) * len(negative))


def _pooled(samples: Sequence[TokenSample], name: str) -> _Tokens:
    image, confidence, positive = [], [], []
    for index, sample in enumerate(samples):
        labelled = sample.classes == sample.label
        among, sign = (
            (labelled, sample.foreground)
            if name == "auroc_labelled"
            else (sample.foreground, labelled)
        )
        confidence.append(sample.confidence[among])
        positive.append(sign[among])
        image.append(np.full(len(positive[-1]), index))
    values = np.concatenate(confidence)
    order = np.argsort(values, kind="stable")
    return _Tokens(np.concatenate(image)[order], values[order], np.concatenate(positive)[order])


def _scores(
    terms: _Floats,
    tokens: Mapping[str, _Tokens],
    chosen: npt.NDArray[np.bool_],
    counts: npt.NDArray[np.float32],
) -> dict[str, TokenScore]:
    """All scores of some images, from their terms and ``(1 + R, N)`` counts of all images."""
    sums = weighted_sums(counts[:, chosen], terms)
    found = _ratios(sums)
    for name, pooled in tokens.items():
        found[name] = _auroc(pooled, chosen, counts)
    chances = _chances(sums[0])
    scores = {}
    for name in TOKEN_SCORES:
        value, replicates = float(found[name][0]), found[name][1:]
        known = len(terms) > 1 and np.isfinite(value)
        low, high = percentile_intervals(replicates) if known else (_NAN, _NAN)
        scores[name] = TokenScore(
            value, (float(low), float(high)), chances.get(name, _NAN), replicates
        )
    return scores


def _ratios(sums: _Floats) -> dict[str, _Floats]:
    """The scores that are ratios of sums ``(..., 18)``."""
    of = np.moveaxis(sums, -1, 0)
    found = {}
    for prefix, labelled, hits in (
        ("", of[_LABELLED], of[_HITS]),
        ("drawn_", of[_DRAWN], of[_DRAWN_HITS]),
    ):
        found[f"{prefix}iou"] = _ratio(hits, of[_ON] + labelled - hits)
        found[f"{prefix}precision"] = _ratio(hits, labelled)
        found[f"{prefix}recall"] = _ratio(hits, of[_ON])
    return {
        **found,
        "image_iou": _ratio(of[_IOU], of[_HAS_IOU]),
        "kept_on_object": _ratio(of[_KEPT_HITS], of[_HITS]),
        "kept_off_object": _ratio(of[_KEPT] - of[_KEPT_HITS], of[_LABELLED] - of[_HITS]),
        "auroc_labelled_within": _ratio(of[_WINS], of[_PAIRS]),
        "auroc_on_object_within": _ratio(of[_WINS_ON], of[_PAIRS_ON]),
        "on_object": _ratio(of[_ON], of[_TOKENS]),
        "labelled": _ratio(of[_LABELLED], of[_TOKENS]),
    }


def _chances(sums: _Floats) -> dict[str, float]:
    """The same with hits as they are expected of tokens at random places."""
    expected = sums.copy()
    expected[[_HITS, _DRAWN_HITS, _KEPT_HITS, _IOU]] = sums[
        [_CHANCE_HITS, _CHANCE_DRAWN_HITS, _CHANCE_KEPT_HITS, _CHANCE_IOU]
    ]
    found = {name: float(value) for name, value in _ratios(expected).items()}
    half = {name: 0.5 for name in TOKEN_SCORES if name.startswith("auroc_")}
    return {**found, **half, "on_object": _NAN, "labelled": _NAN}


def _auroc(
    tokens: _Tokens, chosen: npt.NDArray[np.bool_], counts: npt.NDArray[np.float32]
) -> _Floats:
    """``(1 + R,)`` the AUROC of some images' tokens."""
    from stl_backbones.metrics.token_ranking import resampled_auroc  # numba

    inside = chosen[tokens.image]
    return resampled_auroc(
        tokens.confidence[inside], tokens.positive[inside], tokens.image[inside], counts
    )


def _ratio(part: _Floats, whole: _Floats) -> _Floats:
    """Part by whole; NaN where the whole is nothing."""
    out = np.full(np.shape(whole), np.nan)
    np.divide(part, whole, out=out, where=np.asarray(whole) > 0)
    return out


def _count(terms: _Floats) -> TokenCounts:
    sums = terms.sum(axis=0)
    return TokenCounts(
        images=len(terms),
        without_object=int((terms[:, _ON] == 0).sum()),
        tokens=int(sums[_TOKENS]),
        on_object=int(sums[_ON]),
        labelled=int(sums[_LABELLED]),
        both=int(sums[_HITS]),
    )


__all__ = [
    "TOKEN_SCORES",
    "TokenCounts",
    "TokenLabelScores",
    "TokenSample",
    "TokenScore",
    "foreground_tokens",
    "score_token_labels",
    "token_samples",
]
