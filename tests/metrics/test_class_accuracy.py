"""Accuracy of each class against counting the drawn images one by one."""

import numpy as np
import pytest

from stl_backbones.metrics import ClassAccuracy

CLASSES, IMAGES, RESAMPLES = 5, 40, 6


@pytest.fixture
def label():
    """Classes 0 to 3 in any order; class 4 does not occur."""
    return np.random.default_rng(0).integers(0, 4, IMAGES)


@pytest.fixture
def drawn():
    """How often each of the resamples has each image; the first has the last images alone."""
    rng = np.random.default_rng(1)
    counts = rng.multinomial(IMAGES, np.full(IMAGES, 1 / IMAGES), RESAMPLES).T.astype(np.float32)
    counts[: IMAGES - 2, 0] = 0
    return counts


def counted(label, right, weight):
    """By class, image by image; NaN where nothing is drawn."""
    found = np.full(CLASSES, np.nan)
    for one in range(CLASSES):
        total = sum(weight[i] for i in range(IMAGES) if label[i] == one)
        hits = sum(weight[i] for i in range(IMAGES) if label[i] == one and right[i])
        if total:
            found[one] = hits / total
    return found


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.8, 1.0])
def test_classes_are_counted_image_by_image(label, drawn, share):
    right = np.arange(IMAGES) < share * IMAGES
    prediction = np.where(right, label, 4)
    found = ClassAccuracy(label, classes=CLASSES, drawn=drawn)(prediction)
    np.testing.assert_allclose(found.values, counted(label, right, np.ones(IMAGES)), rtol=1e-12)
    expected = [counted(label, right, weight) for weight in drawn.T]
    np.testing.assert_allclose(found.resampled, expected, rtol=1e-6)
    assert np.isnan(found.values[4])
    assert np.isnan(found.resampled[0]).any()
