"""The contract of the public calls."""

import numpy as np
import pytest
import torch

from stl_backbones.corruptions import CORRUPTIONS, apply_corruption, draw_seed
from stl_backbones.corruptions.torch_backend import PARALLEL, corrupt_batch, corrupt_image
from stl_backbones.corruptions.torch_backend import batch as batch_module
from stl_backbones.records import CorruptionEngine, CorruptionSpec

SEEDS = [draw_seed(key, "any", 1) for key in ("a", "b", "c")]
SERIAL = ("glass_blur",)


@pytest.fixture(scope="module")
def batch(pictures, to_batch):
    """Three pictures of 131x97."""
    noise = pictures["noise"]
    return to_batch(noise, noise[::-1], np.roll(noise, 40, axis=1))


def test_every_corruption_is_parallel_or_serial():
    assert sorted(PARALLEL + SERIAL) == sorted(CORRUPTIONS)


@pytest.mark.parametrize("severity", [2, 5])
@pytest.mark.parametrize("name", PARALLEL)
def test_an_image_depends_on_its_own_seed_alone(batch, name, severity):
    together = corrupt_batch(batch, name, severity, seeds=SEEDS)

    for image, seed, expected in zip(batch, SEEDS, together, strict=True):
        assert torch.equal(corrupt_batch(image[None], name, severity, seeds=[seed])[0], expected)


@pytest.mark.parametrize("name", PARALLEL)
def test_the_same_again_and_other_draws_for_another_seed(batch, name):
    same = corrupt_batch(batch[:1], name, 3, seeds=[7])
    again = corrupt_batch(batch[:1], name, 3, seeds=[7])
    other = corrupt_batch(batch[:1], name, 3, seeds=[8])

    is_random = name not in {
        "defocus_blur", "gaussian_blur", "zoom_blur", "brightness", "saturate", "contrast",
        "pixelate", "jpeg_compression",
    }  # fmt: skip
    assert torch.equal(same, again)
    assert torch.equal(same, other) != is_random


@pytest.mark.parametrize("name", PARALLEL)
def test_result_and_input(batch, name):
    before = batch.clone()

    corrupted = corrupt_batch(batch, name, 4, seeds=SEEDS)

    assert torch.equal(batch, before)
    assert corrupted.dtype == torch.uint8
    assert corrupted.shape == batch.shape
    assert corrupted.device == batch.device
    assert corrupted.is_contiguous()
    assert not corrupted.requires_grad
    assert not torch.equal(corrupted, batch)


@pytest.mark.parametrize(
    ("name", "label", "shape"),
    [
        ("gaussian_noise", "normal", (3, 97, 131)),
        ("fog", "uniform", (256**2 - 1,)),
        ("elastic_transform", "uniform", (2, 97, 131)),
        ("spatter", "normal", (97, 131)),
    ],
)
def test_given_draws_are_not_changed(batch, name, label, shape):
    given = torch.rand(3, *shape)
    before = given.clone()

    corrupt_batch(batch, name, 1, seeds=SEEDS, draws={label: given})

    assert torch.equal(given, before)


@pytest.mark.parametrize("name", PARALLEL)
def test_smallest_sides(batch, name):
    for height, width in ((32, 32), (32, 97), (97, 32)):
        part = batch[..., :height, :width]
        assert corrupt_batch(part, name, 5, seeds=SEEDS).shape == part.shape


@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_an_image_is_corrupted_on_the_device_that_is_named(pictures, monkeypatch, device):
    """Whatever the thread's current device is; a batch without values stands for another GPU."""
    seen = []

    def corrupt(images, *args, **kwargs):
        seen.append(images.device.type)
        return torch.zeros(images.shape, dtype=torch.uint8)

    monkeypatch.setattr(batch_module, "corrupt_batch", corrupt)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    spec = CorruptionSpec("fog", 1, CorruptionEngine("torch"))
    assert not apply_corruption(pictures["ramps"], spec, key="a", device=device).any()
    assert seen == [device]


@pytest.mark.parametrize("name", ["frost", "fog", "shot_noise"])
def test_corrupt_image_is_a_batch_of_one(pictures, to_batch, name):
    picture = pictures["ramps"]  # read-only
    expected = corrupt_batch(to_batch(picture), name, 2, seeds=[5])[0].permute(1, 2, 0)

    corrupted = corrupt_image(picture, name, 2, seed=5, device="cpu")

    np.testing.assert_array_equal(corrupted, expected.numpy())
    assert corrupted.dtype == np.uint8
    assert corrupted.flags.c_contiguous


def test_an_empty_batch_stays_empty(batch):
    assert corrupt_batch(batch[:0], "fog", 1, seeds=[]).shape == (0, 3, 97, 131)


def test_cached_tables_serve_with_and_without_inference_mode(batch):
    with torch.inference_mode():
        first = corrupt_batch(batch, "speckle_noise", 1, seeds=SEEDS).clone()

    assert torch.equal(corrupt_batch(batch, "speckle_noise", 1, seeds=SEEDS), first)


@pytest.mark.parametrize("name", SERIAL)
def test_serial_corruptions_say_so(batch, pictures, name):
    with pytest.raises(ValueError, match=f"{name} .* no parallel form; use mode='fast' or 'exact'"):
        corrupt_batch(batch, name, 1, seeds=SEEDS)
    with pytest.raises(ValueError, match="no parallel form"):
        corrupt_image(pictures["ramps"], name, 1, seed=0)


def test_unknown_corruption(batch):
    with pytest.raises(KeyError, match="did you mean fog"):
        corrupt_batch(batch, "fogg", 1, seeds=SEEDS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"severity": 6}, r"severity must be a number in 1\.\.5, got 6"),
        ({"seeds": [1]}, "one seed per image, got 1 for 3 images"),
        ({"seeds": [1, 2, 2**32]}, "a seed must be in .*, got 4294967296"),
        ({"seeds": [1, 2, -1]}, "a seed must be in .*, got -1"),
        ({"draws": {"noise": torch.zeros(3)}}, "snow draws normal, angle, got draws for noise"),
        ({"draws": {"angle": torch.zeros(2)}}, r"\['angle'\] must have shape \(3,\), got \(2,\)"),
    ],
    ids=lambda value: None if isinstance(value, str) else next(iter(value)),
)
def test_wrong_arguments(batch, change, message):
    arguments = {"severity": 1, "seeds": SEEDS, **change}
    with pytest.raises(ValueError, match=message):
        corrupt_batch(batch, "snow", arguments.pop("severity"), **arguments)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(1, 3, 40, 40), "must be uint8, got torch.float32"),
        (torch.zeros(1, 40, 40, 3, dtype=torch.uint8), r"\(N, 3, H, W\) RGB, got shape \(1, 40"),
        (torch.zeros(3, 40, 40, dtype=torch.uint8), r"\(N, 3, H, W\) RGB, got shape \(3, 40, 40"),
        (torch.zeros(1, 3, 31, 40, dtype=torch.uint8), "at least 32 pixels .* got 40x31"),
    ],
)
def test_wrong_images(images, message):
    with pytest.raises(ValueError, match=message):
        corrupt_batch(images, "fog", 1, seeds=[1])


@pytest.mark.parametrize("shape", [(40, 40), (3, 40, 40), (40, 40, 4)])
def test_wrong_image(shape):
    with pytest.raises(ValueError, match="image"):
        corrupt_image(np.zeros(shape, np.uint8), "fog", 1, seed=1, device="cpu")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("severity", [1, 3, 5])
@pytest.mark.parametrize("name", PARALLEL)
def test_a_gpu_gives_the_same_image(batch, name, severity):
    """The draws are the same bits; the arithmetic may round another way."""
    on_cpu = corrupt_batch(batch, name, severity, seeds=SEEDS)

    on_gpu = corrupt_batch(batch.cuda(), name, severity, seeds=SEEDS)

    assert on_gpu.is_cuda
    apart = (on_gpu.cpu().int() - on_cpu.int()).abs()
    assert (apart > 0).float().mean() < 0.01
    assert (apart > 1).float().mean() < 1e-3  # next to a threshold of snow or spatter
