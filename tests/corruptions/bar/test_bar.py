"""What holds for all corruptions of ImageNet-C-bar and CIFAR-10-C-bar."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from stl_backbones.corruptions import corrupt, get_protocol
from stl_backbones.corruptions.packaged import PACKAGED
from stl_backbones.datasets.street_scenes.scene import render_scene
from stl_backbones.report.published.files import read_published

CELLS = [
    (name, strengths)
    for name, one in PACKAGED.items()
    if ".bar." in one.place
    for strengths in one.levels
]
DRAWS_NOTHING = {"circular_motion_blur"}


@pytest.fixture(scope="module")
def scene():
    return np.ascontiguousarray(render_scene(1, height=256, width=512).image[16:240, 100:324])


def run(name, strengths, image, severity, seed):
    function, level = PACKAGED[name].function(), PACKAGED[name].level(severity, strengths)
    return function(image, level, np.random.default_rng(seed))


def test_the_two_protocols_are_the_paper_s_tens():
    imagenet, cifar10 = get_protocol("imagenet-c-bar"), get_protocol("cifar10-c-bar")
    assert len(imagenet.cells()) == len(cifar10.cells()) == 51
    assert list(imagenet.corruptions) == list(read_published("imagenet_c_bar").rows[0])[3:]
    for protocol in (imagenet, cifar10):
        with_levels = {name for name, strengths in CELLS if strengths == protocol.strengths}
        assert set(protocol.corruptions) == with_levels
        for group, names in protocol.columns.items():
            assert {PACKAGED[name].group for name in names} == {group}


@pytest.mark.parametrize(("name", "strengths"), CELLS)
def test_severities_go_away_from_the_clean_image(scene, name, strengths):
    image = scene if strengths == "imagenet" else np.ascontiguousarray(scene[::7, ::7])
    keys = range(6 if strengths == "imagenet" else 24)
    distance = [
        np.mean([np.abs(run(name, strengths, image, severity, key).astype(int) - image)
                 for key in keys])
        for severity in (1, 2, 3, 4, 5)
    ]  # fmt: skip
    assert distance[0] > 0.2
    assert np.all(np.diff(distance) > 0), distance


@pytest.mark.parametrize("name", sorted({name for name, _ in CELLS}))
def test_draws_come_from_the_generator_alone(scene, name):
    strengths = next(iter(PACKAGED[name].levels))
    shown = np.ascontiguousarray(scene[:70, :90])
    kept, state = shown.copy(), np.random.get_state()[1].copy()  # noqa: NPY002
    made = [run(name, strengths, shown, 3, seed) for seed in (1, 2)]
    with ThreadPoolExecutor(4) as pool:
        again = list(pool.map(lambda _: run(name, strengths, shown, 3, 1), range(4)))
    assert all(np.array_equal(made[0], one) for one in again)
    assert np.array_equal(made[0], made[1]) == (name in DRAWS_NOTHING)
    assert np.array_equal(shown, kept)
    assert np.array_equal(np.random.get_state()[1], state)  # noqa: NPY002


@pytest.mark.parametrize("shape", [(32, 32), (33, 200), (200, 33), (97, 41)])
@pytest.mark.parametrize(("name", "strengths"), CELLS)
def test_any_shape(name, strengths, shape):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    for severity in (1, 5):
        made = run(name, strengths, image, severity, 9)
        assert (made.shape, made.dtype) == (image.shape, np.uint8)
        assert not np.array_equal(made, image)


def test_grey_images_and_the_engine():
    grey = np.random.default_rng(0).integers(0, 256, (40, 48), np.uint8)
    made = corrupt(grey, "single_frequency_greyscale", 5, key="a", mode="exact")
    assert np.array_equal(made[..., 0], made[..., 2])
    for mode in ("fast", "torch"):
        assert np.array_equal(
            made, corrupt(grey, "single_frequency_greyscale", 5, key="a", mode=mode)
        )
