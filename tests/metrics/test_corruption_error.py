"""MCE: AlexNet's own errors give 1, and the rest by hand."""

from __future__ import annotations

import numpy as np
import pytest

from stl_backbones.corruptions import SEVERITIES, get_protocol
from stl_backbones.metrics import (
    ALEXNET_CLEAN_ERROR,
    ALEXNET_ERRORS,
    IncompleteCellsError,
    corruption_error_cells,
    mean_corruption_error,
    relative_corruption_error,
)
from stl_backbones.records import CLEAN, Cell


@pytest.fixture
def alexnet():
    cells = {cell: 1 - ALEXNET_ERRORS[cell.corruption] for cell in corruption_error_cells()}
    return {CLEAN: 1 - ALEXNET_CLEAN_ERROR, **cells}


def test_the_corruptions_are_the_benchmarks():
    assert set(ALEXNET_ERRORS) == set(get_protocol("imagenet-c").corruptions)
    cells = {Cell(name, severity) for name in ALEXNET_ERRORS for severity in SEVERITIES}
    assert set(corruption_error_cells()) == cells


def test_the_published_errors():
    # percent, as the benchmark's authors printed them
    printed = {
        "gaussian_noise": 88.6428, "shot_noise": 89.4468, "impulse_noise": 92.2640,
        "defocus_blur": 81.9880, "glass_blur": 82.6268, "motion_blur": 78.5948,
        "zoom_blur": 79.8360, "snow": 86.6816, "frost": 82.6572, "fog": 81.9324,
        "brightness": 56.4592, "contrast": 85.3204, "elastic_transform": 64.6056,
        "pixelate": 71.7840, "jpeg_compression": 60.6500,
    }  # fmt: skip
    assert {name: pytest.approx(e / 100) for name, e in printed.items()} == ALEXNET_ERRORS


def test_the_clean_error_is_torchvisions_alexnet():
    torchvision = pytest.importorskip("torchvision.models")
    accuracy = torchvision.AlexNet_Weights.IMAGENET1K_V1.meta["_metrics"]["ImageNet-1K"]["acc@1"]
    assert pytest.approx(1 - accuracy / 100) == ALEXNET_CLEAN_ERROR


def test_alexnet_is_one(alexnet):
    assert mean_corruption_error(alexnet) == pytest.approx(1)
    assert relative_corruption_error(alexnet) == pytest.approx(1)


def test_half_the_error_everywhere_is_a_half(alexnet):
    halved = {cell: 1 - (1 - accuracy) / 2 for cell, accuracy in alexnet.items()}
    assert mean_corruption_error(halved) == pytest.approx(0.5)
    assert relative_corruption_error(halved) == pytest.approx(0.5)


def test_severities_are_averaged_before_the_division(alexnet):
    # fog at severity 1..5 has errors 0, 0.2, 0.4, 0.6, 0.8: mean 0.4
    for severity in SEVERITIES:
        alexnet[Cell("fog", severity)] = 1 - 0.2 * (severity - 1)
    assert mean_corruption_error(alexnet) == pytest.approx((14 + 0.4 / 0.819324) / 15)
    gain = (0.4 - ALEXNET_CLEAN_ERROR) / (0.819324 - ALEXNET_CLEAN_ERROR)
    assert relative_corruption_error(alexnet) == pytest.approx((14 + gain) / 15)


def test_relative_mce_ignores_a_uniform_shift(alexnet):
    shifted = {cell: accuracy + 0.05 for cell, accuracy in alexnet.items()}
    assert relative_corruption_error(shifted) == pytest.approx(1)
    assert mean_corruption_error(shifted) < 1


def test_other_cells_do_not_count(alexnet):
    alexnet[Cell("spatter", 1)] = 0.0
    assert mean_corruption_error(alexnet) == pytest.approx(1)


def test_arrays_give_one_number_per_element(alexnet):
    stacked = {cell: np.array([value, (1 + value) / 2]) for cell, value in alexnet.items()}
    np.testing.assert_allclose(mean_corruption_error(stacked), [1, 0.5])
    np.testing.assert_allclose(relative_corruption_error(stacked), [1, 0.5])


def test_what_is_missing_is_named(alexnet):
    del alexnet[Cell("zoom_blur", 2)]
    with pytest.raises(IncompleteCellsError, match=r": zoom_blur-2$"):
        mean_corruption_error(alexnet)
    del alexnet[CLEAN]
    with pytest.raises(IncompleteCellsError, match=r": clean, zoom_blur-2$"):
        relative_corruption_error(alexnet)
    alexnet[Cell("zoom_blur", 2)] = 0.5
    assert 0 < mean_corruption_error(alexnet) < 1.1  # which needs no clean score
