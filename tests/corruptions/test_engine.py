"""The engine: the package's own numbers, the same for a key whatever else happens."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from unittest import mock

import imagecorruptions
import numpy as np
import pytest
import torch
from PIL import Image
from skimage.filters import gaussian
from skimage.util import random_noise

from stl_backbones.corruptions import (
    CORRUPTIONS,
    CorruptionEngine,
    corrupt,
    corrupt_all,
    draw_seed,
    engine_version,
)

ROOT = Path(__file__).parents[2]
SEVERITIES = (1, 2, 3, 4, 5)
DETERMINISTIC = (
    "defocus_blur", "zoom_blur", "gaussian_blur", "brightness", "contrast", "pixelate",
    "jpeg_compression", "saturate",
)  # fmt: skip
RANDOM = tuple(name for name in CORRUPTIONS if name not in DETERMINISTIC)


try:
    INSTALLED = f"imagecorruptions-imaug {version('imagecorruptions-imaug')}"
except PackageNotFoundError:
    INSTALLED = f"imagecorruptions {version('imagecorruptions')}"


def gaussian_of_scikit_image_0_18(image, *args, multichannel=False, **kwargs):
    return gaussian(image, *args, channel_axis=-1 if multichannel else None, **kwargs)


def by_the_package(image, name, severity, seed):
    """The recipe, written again: every generator of the package seeded before the call."""
    state = np.random.get_state()  # noqa: NPY002
    fork = INSTALLED.startswith("imagecorruptions-imaug")
    extra = {"seed": seed} if fork and name in {"impulse_noise", "glass_blur"} else {}
    with ExitStack() as stack:
        stack.callback(np.random.set_state, state)
        if not fork:
            package = imagecorruptions.corruptions
            noise = partial(random_noise, rng=seed)
            stack.enter_context(mock.patch.object(package.sk.util, "random_noise", noise))
            stack.enter_context(
                mock.patch.object(package, "gaussian", gaussian_of_scikit_image_0_18)
            )
        np.random.seed(seed)  # noqa: NPY002  the package draws from the global generator
        return imagecorruptions.corrupt(image, severity=severity, corruption_name=name, **extra)


@pytest.fixture(scope="module", params=["exact", "fast", "reference"])
def mode(request):
    return request.param


@pytest.fixture(scope="module")
def corrupted(image, mode):
    """All 95 corruptions of the picture, made once in catalog order."""
    variants = corrupt_all(image, key="a.png", engine=CorruptionEngine(mode, seed=3))
    return {(variant.name, variant.severity): variant.image for variant in variants}


# 4 bytes of blake2b, read as a little-endian number:
# >>> hashlib.blake2b(b"stl-1|frankfurt_000000_000294.png|fog|3|0").hexdigest()[:8]  ->  3454c34c
# >>> hashlib.blake2b(b"stl-1|a|fog|3|7").hexdigest()[:8]  ->  92c9be1e
def test_draw_seed_by_hand():
    assert draw_seed("frankfurt_000000_000294.png", "fog", 3) == 0x4CC35434
    assert draw_seed("a", "fog", 3, seed=7) == 0x1EBEC992


@pytest.mark.parametrize("mode", ["exact", "reference"], indirect=True)
@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_equals_the_package(image, mode, installed_compat, name, severity):
    text = f"stl-1|a.png|{name}|{severity}|3"
    seed = int.from_bytes(hashlib.blake2b(text.encode()).digest()[:4], "little")
    expected = by_the_package(image, name, severity, seed)
    options = {"key": "a.png", "seed": 3, "mode": mode, "compat": installed_compat}
    np.testing.assert_array_equal(corrupt(image, name, severity, **options), expected)


def test_every_result_is_a_changed_uint8_picture(image, corrupted):
    for cell, result in corrupted.items():
        assert (result.shape, result.dtype) == ((64, 64, 3), np.uint8), cell
        assert not np.array_equal(result, image), cell


def test_the_order_of_calls_does_not_matter(image, corrupted, mode):
    shuffled = random.Random(0).sample(sorted(corrupted), len(corrupted))
    for cell in shuffled:
        again = corrupt(image, *cell, key="a.png", seed=3, mode=mode)
        np.testing.assert_array_equal(again, corrupted[cell], err_msg=str(cell))


def test_threads_do_not_matter(image, corrupted, mode):
    cells = sorted(corrupted) * 2

    def again(cell):
        return corrupt(image, *cell, key="a.png", seed=3, mode=mode)

    with ThreadPoolExecutor(8) as pool:
        results = pool.map(again, cells)
        for cell, result in zip(cells, results, strict=True):
            np.testing.assert_array_equal(result, corrupted[cell], err_msg=str(cell))


OTHER_PROCESS = """
import hashlib, sys
import numpy as np
from stl_backbones.corruptions import CORRUPTIONS, corrupt
image = np.frombuffer(sys.stdin.buffer.read(), np.uint8).reshape(64, 64, 3)
for name in CORRUPTIONS[::-1]:
    result = corrupt(image, name, 3, key="a.png", seed=3, mode=sys.argv[1])
    print(name, hashlib.sha256(result.tobytes()).hexdigest())
"""


def test_the_process_does_not_matter(image, corrupted, mode):
    search = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", OTHER_PROCESS, mode], input=image.tobytes(), stdout=subprocess.PIPE,
        check=True, timeout=120, env={**os.environ, "PYTHONPATH": search},
    )  # fmt: skip
    there = dict(line.split() for line in done.stdout.decode().splitlines())
    assert there == {
        name: hashlib.sha256(corrupted[name, 3].tobytes()).hexdigest() for name in CORRUPTIONS
    }


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_global_generator_is_left_as_it_was(image, mode, name):
    np.random.seed(11)  # noqa: NPY002
    expected = np.random.random(5)  # noqa: NPY002
    np.random.seed(11)  # noqa: NPY002
    corrupt(image, name, 2, key="a.png", mode=mode)
    np.testing.assert_array_equal(np.random.random(5), expected)  # noqa: NPY002


def test_global_generator_is_left_as_it_was_by_a_failing_call(image, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("inside the package")

    monkeypatch.setattr(imagecorruptions, "corrupt", fail)
    np.random.seed(11)  # noqa: NPY002
    expected = np.random.random(5)  # noqa: NPY002
    np.random.seed(11)  # noqa: NPY002
    with pytest.raises(RuntimeError, match="inside the package"):
        corrupt(image, "fog", 2, key="a.png", mode="reference")
    np.testing.assert_array_equal(np.random.random(5), expected)  # noqa: NPY002


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_input_is_not_changed(image, mode, name):
    writable = image.copy()
    corrupt(writable, name, 5, key="a.png", mode=mode)
    np.testing.assert_array_equal(writable, image)


@pytest.mark.parametrize("name", RANDOM)
@pytest.mark.parametrize("change", [{"key": "b.png"}, {"seed": 4}])
def test_another_key_or_seed_is_another_draw(image, corrupted, mode, name, change):
    other = corrupt(image, name, 3, mode=mode, **{"key": "a.png", "seed": 3, **change})
    assert not np.array_equal(other, corrupted[name, 3])


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_what_draws_nothing_is_the_same_for_every_key(image, corrupted, mode, name):
    other = corrupt(image, name, 3, key="b.png", seed=4, mode=mode)
    np.testing.assert_array_equal(other, corrupted[name, 3])


def test_severities_of_one_corruption_differ(corrupted):
    for name in CORRUPTIONS:
        assert len({corrupted[name, s].tobytes() for s in SEVERITIES}) == 5, name


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_bgr_reverses_before_and_after(image, mode, name):
    ours = corrupt(image, name, 3, key="a.png", channel_order="bgr", mode=mode)
    reverse = corrupt(image[..., ::-1], name, 3, key="a.png", mode=mode)[..., ::-1]
    np.testing.assert_array_equal(ours, reverse)


@pytest.mark.parametrize("name", ["frost", "jpeg_compression", "spatter", "snow"])
def test_bgr_is_another_result_where_colours_matter(image, name):
    one, other = (corrupt(image, name, 3, key="a", channel_order=o) for o in ("rgb", "bgr"))
    assert not np.array_equal(one, other)


def test_any_memory_layout_gives_the_same(image, corrupted, mode):
    turned = np.asfortranarray(image)
    assert not turned.flags.c_contiguous
    for name in CORRUPTIONS:
        result = corrupt(turned, name, 3, key="a.png", seed=3, mode=mode)
        np.testing.assert_array_equal(result, corrupted[name, 3], err_msg=name)


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("shape", [(32, 32), (33, 47)])
def test_small_and_odd_sizes(image, mode, name, shape):
    cut = image[: shape[0], : shape[1]]
    assert corrupt(cut, name, 3, key="a.png", mode=mode).shape == (*shape, 3)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_grey_is_three_equal_channels(image, mode, name):
    grey = np.ascontiguousarray(image[..., 1])
    expected = corrupt(np.stack([grey] * 3, axis=-1), name, 3, key="a.png", mode=mode)
    for given in (grey, grey[..., None]):
        result = corrupt(given, name, 3, key="a.png", mode=mode)
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_shared_draws_are_those_of_severity_0(image, mode, name, monkeypatch):
    engine = CorruptionEngine(mode, seed=3)
    shared = list(corrupt_all(image, [name], key="a.png", engine=engine, share_draws=True))
    assert [variant.severity for variant in shared] == list(SEVERITIES)
    seed = draw_seed("a.png", name, 0, seed=3)
    monkeypatch.setattr("stl_backbones.corruptions.engine.draw_seed", lambda *_, **__: seed)
    for variant in shared:
        expected = corrupt(image, name, variant.severity, key="any", mode=mode)
        np.testing.assert_array_equal(variant.image, expected)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.zeros((64, 64, 3), np.float32), "uint8 array, got float32; round values of 0..255"),
        (torch.zeros((3, 64, 64)), r"got a torch tensor of shape \(3, 64, 64\); give one image"),
        (Image.new("RGB", (64, 64)), "got a PIL image; give np.array"),
        (np.zeros((5, 64, 64, 3), np.uint8), "this is a batch of 5 images: corrupt one after"),
        (np.zeros((3, 64, 64), np.uint8), r"its channels come first .*transpose\(1, 2, 0\)"),
        (np.zeros((1, 64, 64), np.uint8), "its channels come first"),
        (np.zeros((64, 64, 3), np.int8), "image must be a uint8 array, got int8"),
        ([[0] * 64] * 64, "image must be a uint8 array, got list"),
        (np.zeros(64, np.uint8), r"RGB or \(H, W\) grey, got shape \(64,\)"),
        (np.zeros((64, 64, 2), np.uint8), r"RGB or \(H, W\) grey, got shape \(64, 64, 2\)"),
        (np.zeros((64, 64, 4), np.uint8), r"got shape \(64, 64, 4\); drop an alpha channel"),
        (np.zeros((64, 31, 3), np.uint8), "at least 32 pixels to be corrupted, got 31x64"),
        (np.zeros((0, 64, 3), np.uint8), "at least 32 pixels to be corrupted, got 64x0"),
    ],
)
def test_images_that_cannot_be_corrupted(mode, bad, message):
    with pytest.raises(ValueError, match=message):
        corrupt(bad, "fog", 3, key="a.png", mode=mode)


@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.int32])
def test_integers_of_numpy_are_integers(image, mode, kind):
    expected = corrupt(image, "brightness", 3, key="a.png", mode=mode, seed=1)
    made = corrupt(image, "brightness", kind(3), key="a.png", mode=mode, seed=kind(1))
    np.testing.assert_array_equal(made, expected)
    (variant,) = corrupt_all(image, ["brightness"], np.arange(3, 4, dtype=kind), key="a.png")
    assert type(variant.severity) is int
    for wrong in (kind(0), np.float64(5.1), np.bool_(True)):
        with pytest.raises(ValueError, match=r"severity must be a number in 1\.\.5"):
            corrupt(image, "brightness", wrong, key="a.png")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"mode": "quick"}, "corruption mode must be one of exact, fast, .*, got 'quick'"),
        ({"compat": "1.1.2"}, "compat must be one of imaug-1.1.5, .*, got '1.1.2'"),
        ({"channel_order": "rbg"}, "channel order must be one of rgb, bgr, got 'rbg'"),
        ({"strengths": "cifar"}, "strengths must be one of imagenet, cifar10, got 'cifar'"),
        ({"strengths": "cifar10"}, "for images of 32x32 pixels, got 64x64"),
        (
            {"strengths": "cifar10", "mode": "reference"},
            "mode 'reference' has the constants of ImageNet-C alone",
        ),
    ],
)
def test_unknown_options(image, option, message):
    with pytest.raises(ValueError, match=message):
        corrupt(image, "fog", 3, key="a.png", **option)


def test_unknown_corruption_and_severity(image):
    with pytest.raises(KeyError, match="unknown corruption 'drizzle'"):
        corrupt(image, "drizzle", 3, key="a.png")
    with pytest.raises(ValueError, match=r"severity must be a number in 1\.\.5, got 6"):
        corrupt(image, "fog", 6, key="a.png")


def test_engine_version_names_package_and_version():
    assert engine_version(CorruptionEngine("reference")) == INSTALLED
    ours = engine_version(CorruptionEngine("exact", compat="imagecorruptions-1.1.2"))
    assert ours == "stl_backbones exact 1, as imagecorruptions-1.1.2"


NOTHING_HEAVY = """
import sys
import stl_backbones.corruptions
print(*{"numba", "torch", "scipy", "skimage", "cv2"} & set(sys.modules))
"""


def test_importing_is_light():
    done = subprocess.run(
        [sys.executable, "-c", NOTHING_HEAVY], stdout=subprocess.PIPE, check=True, timeout=60
    )
    assert done.stdout.split() == []


@pytest.mark.parametrize("mode", ["exact", "fast", "torch"])
def test_cifar_s_constants_reach_every_mode(image, mode):
    small = np.ascontiguousarray(image[:32, :32])
    means = small.mean(axis=(0, 1))
    made = corrupt(small, "contrast", 5, key="a.png", mode=mode, strengths="cifar10")
    assert np.abs(made - ((small - means) * 0.15 + means)).max() <= 1.01
    engine = CorruptionEngine(mode, strengths="cifar10")
    assert engine_version(engine) == f"{engine_version(CorruptionEngine(mode))}, constants cifar10"


def test_the_affine_map_has_no_form_for_torch_and_is_the_fast_one(image):
    small = np.ascontiguousarray(image[:32, :32])
    made = [
        corrupt(small, "elastic_transform", 2, key="a.png", mode=mode, strengths="cifar10")
        for mode in ("torch", "fast")
    ]
    np.testing.assert_array_equal(*made)


@pytest.mark.parametrize("mode", ["exact", "fast", "torch"])
def test_a_fraction_of_a_severity_lies_between(image, mode):
    dark = image // 2
    one, middle, two = (
        corrupt(dark, "brightness", severity, key="a.png", mode=mode).astype(int)
        for severity in (1, 1.5, 2)
    )
    assert one.sum() < middle.sum() < two.sum()
    bright = dark.max(axis=2) > 0
    assert np.abs(middle.max(axis=2) - dark.max(axis=2) - 0.15 * 255)[bright].max() <= 1.01


def test_the_package_itself_has_whole_severities(image):
    message = "mode 'reference' has whole severities, 1 to 5, got 2.5"
    with pytest.raises(ValueError, match=message):
        corrupt(image, "fog", 2.5, key="a.png", mode="reference")
