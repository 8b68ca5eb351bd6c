"""What is read, what is refused, and how it is written."""

import io
import os

import cv2
import mmcv
import numpy as np
import pytest
from PIL import Image

from stl_backbones.copies.images import (
    JPEG_HENDRYCKS,
    OPENCV,
    PILLOW,
    UnfitImageError,
    read_image,
)
from stl_backbones.corruptions.decoding import png_chunks
from stl_backbones.datasets.class_folders import read_rgb
from stl_backbones.errors import InputError


@pytest.mark.parametrize("crop", [True, False])
@pytest.mark.parametrize("mode", ["L", "1", "P"])
def test_grey_and_palettes_become_rgb(tmp_path, save, scene, mode, crop):
    image = Image.fromarray(scene(1, height=256, width=256)).convert(mode)
    path = save(tmp_path / "a.png", image)
    expected = np.array(image.convert("RGB"))
    expected = expected[16:240, 16:240] if crop else expected
    np.testing.assert_array_equal(
        read_image(path, crop=crop, reader=PILLOW if crop else OPENCV), expected
    )


@pytest.mark.parametrize("crop", [True, False])
def test_cmyk_is_converted_as_the_loader_does(tmp_path, save, scene, crop):
    path = save(
        tmp_path / "a.jpg", Image.fromarray(scene(1, height=256, width=256)).convert("CMYK")
    )
    if crop:
        expected = np.array(Image.open(path).convert("RGB"))[16:240, 16:240]
    else:
        expected = cv2.imread(str(path), cv2.IMREAD_COLOR)[..., ::-1]
    np.testing.assert_array_equal(
        read_image(path, crop=crop, reader=PILLOW if crop else OPENCV), expected
    )


def test_both_loaders_agree_on_cmyk(tmp_path, save, scene):
    path = save(
        tmp_path / "a.jpg", Image.fromarray(scene(1, height=256, width=256)).convert("CMYK")
    )
    ours = read_image(path, crop=False)[16:240, 16:240].astype(int)
    assert np.abs(ours - read_image(path, crop=True, reader=PILLOW)).mean() < 2


def test_colour_jpeg_is_decoded_as_openmmlab_does(tmp_path, save, scene):
    path = save(tmp_path / "a.jpg", scene(2), quality=60)
    expected = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    np.testing.assert_array_equal(read_image(path, crop=False), expected)


def test_exif_rotation_is_openmmlab_s(tmp_path, save, scene):
    exif = Image.Exif()
    exif[274] = 6  # orientation: turn by 90 degrees
    path = save(tmp_path / "a.jpg", scene(2), exif=exif)
    assert read_image(path, crop=False).shape == (48, 40, 3)
    as_timm = np.array(Image.open(path).convert("RGB"))  # not turned
    np.testing.assert_array_equal(read_image(path, reader=PILLOW), as_timm)


@pytest.mark.parametrize("size", [(300, 400), (400, 300), (256, 256), (257, 999), (100, 60)])
def test_imagenet_crop_is_torchvision_s(tmp_path, save, scene, size):
    transforms = pytest.importorskip("torchvision.transforms")
    path = save(tmp_path / "a.png", scene(3, height=size[0], width=size[1]))
    reference = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224)])
    expected = np.array(reference(Image.open(path)))
    np.testing.assert_array_equal(read_image(path, crop=True, reader=PILLOW), expected)


def rgba(scene):
    return Image.fromarray(scene(0)).convert("RGBA")


def png_of(picture):
    return cv2.imencode(".png", picture)[1].tobytes()


def with_transparent_colour(scene):
    buffer = io.BytesIO()
    Image.fromarray(scene(0)).convert("P").save(buffer, "PNG", transparency=0)
    return buffer.getvalue()


def two_frames(scene):
    buffer = io.BytesIO()
    frames = [Image.fromarray(scene(number)) for number in (0, 1)]
    frames[0].save(buffer, "PNG", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def without_palette(scene):
    content = encoded(Image.fromarray(scene(0)).convert("P"), "PNG")
    ((begin, end),) = ((b, e) for name, b, e in png_chunks(content) if name == b"PLTE")
    return content[:begin] + content[end:]


BAD = {
    "rgba.png": (lambda scene: encoded(rgba(scene), "PNG"), "it has transparency"),
    "la.png": (lambda scene: encoded(rgba(scene).convert("LA"), "PNG"), "it has transparency"),
    "palette.png": (with_transparent_colour, "it has transparency"),
    "no_palette.png": (without_palette, "its palette is missing"),
    "deep.png": (lambda scene: png_of(scene(0).astype(np.uint16) * 257), "8 bits per channel"),
    "deep_grey.png": (
        lambda scene: png_of(scene(0)[..., 0].astype(np.uint16) * 257), "8 bits per channel",
    ),
    "frames.png": (two_frames, "it has 2 frames"),
    "small.png": (
        lambda scene: encoded(Image.fromarray(scene(0, height=31)), "PNG"),
        "sides must be at least 32 pixels, got 48x31",
    ),
    "truncated.jpg": (
        lambda scene: encoded(Image.fromarray(scene(0)), "JPEG")[:-200], "the file is damaged",
    ),
    "truncated.png": (
        lambda scene: encoded(Image.fromarray(scene(0)), "PNG")[:-900], "the file is damaged",
    ),
    "text.png": (lambda scene: b"no image", "this is no image"),
    "empty.png": (lambda scene: b"", "the file is empty"),
}  # fmt: skip


def test_an_image_without_its_palette_is_damaged_for_classifiers_too(tmp_path, scene):
    (tmp_path / "a.png").write_bytes(without_palette(scene))
    with pytest.raises(InputError, match=r"a\.png' is damaged: its palette is missing"):
        read_rgb(tmp_path / "a.png")


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_used_says_why(tmp_path, scene, name):
    make, message = BAD[name]
    path = tmp_path / name
    path.write_bytes(make(scene))
    with pytest.raises(UnfitImageError, match=message):
        read_image(path, crop=False)


def test_imagenet_enlarges_small_images(tmp_path, save, scene):
    path = save(tmp_path / "a.png", scene(0, height=20, width=24))
    assert read_image(path, crop=True, reader=PILLOW).shape == (224, 224, 3)


def test_imagenet_files_are_those_of_hendrycks(scene):
    """make_imagenet_c.py: ``Image.save(path, quality=85, optimize=True)``."""
    picture = scene(4, height=224, width=224)
    expected = encoded(Image.fromarray(picture), "JPEG", quality=85, optimize=True)
    assert JPEG_HENDRYCKS.encode(picture) == expected


@pytest.mark.parametrize("crop", [True, False])
def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path, crop):
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(UnfitImageError, match="there is no such file"):
        read_image(tmp_path / "a.png", crop=crop, reader=PILLOW if crop else OPENCV)


@pytest.mark.parametrize("crop", [True, False])
def test_a_strip_is_refused(tmp_path, save, crop):
    path = save(tmp_path / "a.png", Image.new("RGB", (40_000, 40)))
    with pytest.raises(UnfitImageError, match="sides of at most 200 to 1, got 40000x40"):
        read_image(path, crop=crop, reader=PILLOW if crop else OPENCV)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_read_as_openmmlab_does(tmp_path, scene, kind, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(scene(2)).save(tmp_path / "a", kind, exif=exif)
    expected = mmcv.imfrombytes((tmp_path / "a").read_bytes(), channel_order="rgb")
    np.testing.assert_array_equal(read_image(tmp_path / "a", crop=False), expected)
