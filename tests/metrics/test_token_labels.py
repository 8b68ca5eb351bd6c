"""Scores of token labels: hand numbers, brute force, chance by all permutations, real draws."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch

from stl_backbones.metrics.token_labels import (
    TOKEN_SCORES,
    TokenSample,
    foreground_tokens,
    score_token_labels,
    token_samples,
)
from stl_backbones.models.losses import token_labels


def values(samples):
    return {
        key: score.value for key, score in score_token_labels(samples, resamples=0).overall.items()
    }


def random_samples(images, *, seed=0, grid=(3, 4), classes=3):
    """Probabilities in tenths: confidences have ties."""
    rng = np.random.default_rng(seed)
    shares = rng.random((images, 1, 1))
    return token_samples(
        rng.integers(0, classes, images),
        rng.random((images, *grid)) < shares,
        rng.multinomial(10, rng.dirichlet(np.ones(classes), (images, *grid))) / 10,
    )


@pytest.fixture
def by_hand():
    """Class 1 of two: tokens on the object are 0 and 1 of four; 0, 1 and 2 are labelled."""
    probability = np.array([[0.9, 0.7], [0.8, 0.1]])
    foreground = np.array([[True, True], [False, False]])
    return TokenSample.from_probabilities(
        1, foreground, np.stack([1 - probability, probability], axis=-1)
    )


def test_a_score_cannot_be_changed(by_hand):
    score = score_token_labels([by_hand], resamples=0).overall["iou"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        score.value = 1.0


def test_by_hand(by_hand):
    found = values([by_hand])
    assert found["iou"] == pytest.approx(2 / 3)
    assert found["precision"] == pytest.approx(2 / 3)
    assert found["recall"] == 1
    assert found["image_iou"] == pytest.approx(2 / 3)
    assert found["drawn_iou"] == pytest.approx(1.6 / (2 + 2.5 - 1.6))
    assert found["drawn_precision"] == pytest.approx(1.6 / 2.5)
    assert found["drawn_recall"] == pytest.approx(1.6 / 2)
    assert found["kept_on_object"] == pytest.approx(0.8)
    assert found["kept_off_object"] == pytest.approx(0.8)
    assert found["auroc_labelled"] == 0.5  # .9 is above .8, .7 is below
    assert found["on_object"] == 0.5
    assert found["labelled"] == 0.75
    assert math.isnan(found["auroc_on_object"])  # all tokens on the object are labelled


def test_sums_over_tokens_and_the_mean_over_images_differ(by_hand):
    other = TokenSample.from_probabilities(
        0, np.array([[True]]), np.array([[[0.6, 0.4]]])
    )  # one token, right
    found = values([by_hand, other])
    assert found["iou"] == pytest.approx(3 / 4)
    assert found["image_iou"] == pytest.approx((2 / 3 + 1) / 2)


def test_counts(by_hand):
    nothing = TokenSample.from_probabilities(0, np.zeros((1, 2), bool), np.full((1, 2, 2), 0.5))
    counts = score_token_labels([by_hand, nothing], resamples=0).counts
    assert (counts.images, counts.without_object, counts.tokens) == (2, 1, 6)
    assert (counts.on_object, counts.labelled, counts.both) == (2, 5, 2)


def test_a_perfect_labeler_scores_one():
    rng = np.random.default_rng(0)
    foregrounds = rng.random((20, 4, 4)) < 0.4
    sure = np.where(foregrounds[..., None], [0.0, 1.0], [1.0, 0.0])
    found = values(token_samples([1] * 20, foregrounds, sure))
    for key in ("iou", "precision", "recall", "image_iou", "drawn_iou", "kept_on_object"):
        assert found[key] == 1


def test_a_random_labeler_scores_chance():
    rng = np.random.default_rng(1)
    foregrounds = rng.random((4000, 4, 4)) < rng.random((4000, 1, 1))
    softmax = rng.dirichlet(np.ones(4), (4000, 4, 4))
    found = score_token_labels(
        token_samples(rng.integers(0, 4, 4000), foregrounds, softmax), resamples=0
    ).overall
    share = foregrounds.mean()
    # A quarter of the tokens is labelled, wherever the object is.
    assert found["iou"].chance == pytest.approx(share / 4 / (share + (1 - share) / 4), abs=0.01)
    assert found["precision"].chance == pytest.approx(share, abs=0.01)
    assert found["recall"].chance == pytest.approx(1 / 4, abs=0.01)
    for key, score in found.items():
        if not math.isnan(score.chance):
            assert score.value == pytest.approx(score.chance, abs=0.015), key


def test_chance_is_the_mean_over_all_places():
    """Of one image: expected sums over all 720 permutations of its six tokens."""
    rng = np.random.default_rng(2)
    foreground = np.array([[True, True, False], [False, True, False]])
    softmax = rng.dirichlet(np.ones(2), (2, 3))
    chance = score_token_labels(
        [TokenSample.from_probabilities(0, foreground, softmax)], resamples=0
    ).overall
    on, flat = foreground.ravel(), softmax.reshape(6, 2)
    hits, drawn, kept, ious = [], [], [], []
    for order in itertools.permutations(range(6)):
        moved = flat[list(order)]
        labelled = moved[:, 0] > 0.5
        hits.append((on & labelled).sum())
        drawn.append(moved[on, 0].sum())
        kept.append(moved[on & labelled, 0].sum())
        ious.append((on & labelled).sum() / (on | labelled).sum())
    labelled, mass = (flat[:, 0] > 0.5).sum(), flat[:, 0].sum()
    hit, drawn_hit = np.mean(hits), np.mean(drawn)
    assert chance["iou"].chance == pytest.approx(hit / (3 + labelled - hit))
    assert chance["precision"].chance == pytest.approx(hit / labelled)
    assert chance["recall"].chance == pytest.approx(hit / 3)
    assert chance["drawn_iou"].chance == pytest.approx(drawn_hit / (3 + mass - drawn_hit))
    assert chance["kept_on_object"].chance == pytest.approx(np.mean(kept) / hit)
    assert chance["image_iou"].chance == pytest.approx(np.mean(ious))
    assert chance["auroc_labelled"].chance == 0.5


def test_labels_everywhere_score_the_share_on_the_object_which_is_chance():
    foregrounds = np.random.default_rng(3).random((5, 4, 4)) < 0.3
    everywhere = np.broadcast_to([0.0, 1.0], (5, 4, 4, 2))
    found = score_token_labels(token_samples([1] * 5, foregrounds, everywhere), resamples=0).overall
    for key in ("iou", "precision"):
        assert found[key].value == pytest.approx(foregrounds.mean())
        assert found[key].chance == pytest.approx(found[key].value)
    assert found["recall"].value == found["recall"].chance == 1


def test_other_masks_are_those_of_all_pairs_of_images():
    samples = random_samples(7)
    found = score_token_labels(samples, resamples=0)
    for chosen, scores in [(samples, found.overall)] + [
        ([one for one in samples if one.label == label], found.by_class[label])
        for label in found.by_class
    ]:
        if len(chosen) < 2:
            assert math.isnan(scores["iou"].other_masks)
            continue
        # Each image with the mask of every other one: as many images again for each.
        pairs = [
            TokenSample(a.label, b.foreground, a.classes, a.confidence, a.label_probability)
            for a, b in itertools.permutations(chosen, 2)
        ]
        expected = values(pairs)
        for key in ("iou", "precision", "recall", "drawn_iou", "drawn_precision", "drawn_recall",
                    "kept_on_object", "kept_off_object"):  # fmt: skip
            assert scores[key].other_masks == pytest.approx(expected[key], nan_ok=True), key
        for key in ("image_iou", "auroc_labelled", "on_object", "labelled"):
            assert math.isnan(scores[key].other_masks)


def test_looking_at_the_middle_beats_chance_but_not_other_masks():
    foregrounds = np.zeros((30, 4, 4), bool)
    foregrounds[:, 1:3, 1:3] = np.random.default_rng(6).random((30, 2, 2)) < 0.7
    middle = np.zeros((30, 4, 4, 2))
    middle[..., 0] = 1
    middle[:, 1:3, 1:3] = [0, 1]
    iou = score_token_labels(token_samples([1] * 30, foregrounds, middle), resamples=0).overall[
        "iou"
    ]
    assert iou.value == pytest.approx(foregrounds.sum() / 120)
    assert iou.other_masks == pytest.approx(iou.value)
    assert iou.chance < iou.value / 3


def test_images_of_other_grids_have_no_other_masks(by_hand):
    other = TokenSample.from_probabilities(1, np.array([[True]]), np.array([[[0.4, 0.6]]]))
    assert math.isnan(score_token_labels([by_hand, other], resamples=0).overall["iou"].other_masks)


def auroc_by_pairs(samples, *, on_object, within):
    """All pairs, one by one."""
    tokens = [
        (index, float(confidence), bool(labelled if on_object else on))
        for index, one in enumerate(samples)
        for on, labelled, confidence in zip(
            one.foreground.flat, (one.classes == one.label).flat, one.confidence.flat, strict=True
        )
        if (on if on_object else labelled)
    ]
    wins = [
        (a > b) + (a == b) / 2
        for (i, a, first), (j, b, second) in itertools.product(tokens, repeat=2)
        if first and not second and (i == j or not within)
    ]
    return np.mean(wins) if wins else math.nan


@pytest.mark.parametrize("on_object", [False, True])
@pytest.mark.parametrize("within", [False, True])
def test_auroc_equals_all_pairs(on_object, within):
    samples = random_samples(12)
    key = ("auroc_on_object" if on_object else "auroc_labelled") + "_within" * within
    expected = auroc_by_pairs(samples, on_object=on_object, within=within)
    assert values(samples)[key] == pytest.approx(expected)


def test_a_resample_is_the_images_again():
    samples = random_samples(8)
    found = score_token_labels(samples, resamples=20, seed=5)
    rng = np.random.default_rng(5)
    for resample in range(20):
        drawn = [samples[index] for index in rng.integers(0, 8, 8)]
        again = values(drawn)
        for key in TOKEN_SCORES:
            replicate = found.overall[key].replicates[resample]
            assert replicate == pytest.approx(again[key], nan_ok=True), key


def test_intervals_are_percentiles_over_images():
    found = score_token_labels(random_samples(200), resamples=500).overall["iou"]
    assert found.interval == pytest.approx(np.quantile(found.replicates, [0.025, 0.975]))
    assert found.interval[0] < found.value < found.interval[1]


def test_the_seed_is_0_unless_given():
    replicates = [
        score_token_labels(random_samples(20), resamples=9, **options).overall["iou"].replicates
        for options in ({}, {"seed": 0}, {"seed": 1})
    ]
    np.testing.assert_array_equal(replicates[0], replicates[1])
    assert not np.array_equal(replicates[0], replicates[2])


def test_by_class():
    samples = random_samples(30)
    found = score_token_labels(samples, resamples=50)
    assert sorted(found.by_class) == sorted({one.label for one in samples})
    for label, scores in found.by_class.items():
        own = [one for one in samples if one.label == label]
        assert found.class_counts[label].images == len(own)
        alone = score_token_labels(own, resamples=0).overall
        for key in TOKEN_SCORES:
            assert scores[key].value == pytest.approx(alone[key].value, nan_ok=True)
            assert scores[key].chance == pytest.approx(alone[key].chance, nan_ok=True)


def test_missing_is_never_zero():
    """Nothing is labelled, nothing is on the object."""
    none = TokenSample.from_probabilities(0, np.zeros((2, 2), bool), np.tile([0.2, 0.8], (2, 2, 1)))
    found = score_token_labels([none, none], resamples=10).overall
    for key in ("iou", "precision", "recall", "image_iou", "kept_on_object", "auroc_labelled"):
        assert math.isnan(found[key].value), key
        assert all(map(math.isnan, found[key].interval)), key
    assert found["drawn_precision"].value == 0  # drawn labels there are, none on the object
    assert math.isnan(found["drawn_recall"].value)


def test_few_images_have_no_interval():
    samples = random_samples(40)
    alone = score_token_labels(samples[:1], resamples=100).overall["iou"]
    assert not math.isnan(alone.value)
    assert all(map(math.isnan, alone.interval))
    rare = [TokenSample(9, one.foreground, one.classes, one.confidence, one.confidence * 0)
            for one in samples[:2]]  # fmt: skip
    found = score_token_labels([*samples, *rare], resamples=400)
    assert all(map(math.isnan, found.by_class[9]["drawn_iou"].interval))


@pytest.mark.parametrize("seed", range(3))
def test_expectations_are_those_of_the_draw(seed):
    """Against 4000 draws of the labels that a student learns from."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn((1, 48, 3), generator=generator) * 2
    softmax = logits.softmax(-1)[0].reshape(6, 8, 3).numpy()
    foreground = np.zeros((6, 8), bool)
    foreground[:4] = True
    sample = TokenSample.from_probabilities(0, foreground, softmax)
    expected = values([sample])
    drawn = token_labels(logits.expand(4000, -1, -1), generator=generator).numpy() == 0
    on, labelled = foreground.ravel(), sample.classes.ravel() == 0
    hits, every = drawn[:, on].sum(), drawn.sum()
    assert labelled[on].any()
    assert labelled[~on].any()
    assert expected["drawn_precision"] == pytest.approx(hits / every, abs=0.01)
    assert expected["drawn_recall"] == pytest.approx(hits / (4000 * on.sum()), abs=0.01)
    union = 4000 * on.sum() + every - hits
    assert expected["drawn_iou"] == pytest.approx(hits / union, abs=0.01)
    assert expected["kept_on_object"] == pytest.approx(drawn[:, on & labelled].mean(), abs=0.02)
    assert expected["kept_off_object"] == pytest.approx(drawn[:, ~on & labelled].mean(), abs=0.02)


def test_foreground_tokens_by_hand():
    mask = np.zeros((4, 4), bool)
    mask[:2, :1] = True  # half of the first token
    mask[3, 3] = True  # a quarter of the last
    assert foreground_tokens(mask, (2, 2)).tolist() == [[True, False], [False, False]]
    assert foreground_tokens(mask, (2, 2), share=0.51).sum() == 0
    assert foreground_tokens(mask, (2, 2), share=0.25).tolist() == [[True, False], [False, True]]


@pytest.mark.parametrize(("size", "grid"), [((5, 7), (2, 3)), ((10, 9), (4, 4)), ((3, 2), (6, 5))])
def test_areas_are_exact_where_patches_are_no_whole_pixels(size, grid):
    """Against a mask whose pixels are cut so small that each piece is of one token."""
    mask = np.random.default_rng(4).random(size) < 0.5
    fine = np.kron(mask, np.ones(grid))  # h * H rows
    pieces = fine.reshape(grid[0], size[0], grid[1], size[1])
    shares = pieces.sum(axis=(1, 3)) / mask.size
    for share in (0.25, 0.5, 1.0):
        assert np.array_equal(foreground_tokens(mask, grid, share=share), shares >= share)


def test_numbers_of_objects_are_a_mask():
    assert foreground_tokens(np.array([[0, 7], [0, 255]], np.uint8), (1, 2)).tolist() == [
        [False, True]
    ]


def test_bad_input_is_named(by_hand):
    softmax = np.full((2, 2, 2), 0.5)
    with pytest.raises(ValueError, match=r"with class 2 among the K, got \(2, 2, 2\)"):
        TokenSample.from_probabilities(2, by_hand.foreground, softmax)
    with pytest.raises(ValueError, match="must sum to 1"):
        TokenSample.from_probabilities(1, by_hand.foreground, softmax * 3)
    with pytest.raises(ValueError, match=r"foreground must be a bool array \(h, w\), got int64"):
        TokenSample.from_probabilities(1, by_hand.foreground * 1, softmax)
    with pytest.raises(ValueError, match=r"classes must have foreground's shape \(1, 2\)"):
        TokenSample.from_probabilities(1, by_hand.foreground[:1], softmax)
    with pytest.raises(ValueError, match="the confidence being the largest"):
        TokenSample(1, *(np.ones((1, 1), kind) for kind in (bool, int)), np.full((1, 1), 0.4),
                    np.full((1, 1), 0.6))  # fmt: skip
    with pytest.raises(ValueError, match="one number of images, got 2, 1 and 1"):
        token_samples([0, 1], [by_hand.foreground], softmax[None])
    with pytest.raises(ValueError, match="at least one image"):
        score_token_labels([])
    with pytest.raises(ValueError, match=r"mask must be an array \(H, W\), got shape \(2, 2, 3\)"):
        foreground_tokens(np.ones((2, 2, 3)), (1, 1))
    with pytest.raises(ValueError, match="grid must have at least one row"):
        foreground_tokens(np.ones((2, 2)), (0, 1))
    for share in (0, 1.5):
        with pytest.raises(ValueError, match=f"share must be above 0 and up to 1, got {share}"):
            foreground_tokens(np.ones((2, 2)), (1, 1), share=share)
