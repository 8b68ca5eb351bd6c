"""The nearest usable names, by one function."""

import pytest

from stl_backbones.corruptions import PROTOCOLS
from stl_backbones.errors import did_you_mean, unknown_name
from stl_backbones.models.mm_presets import MM_PRESETS
from stl_backbones.models.presets import PRESETS
from stl_backbones.models.variants import VARIANTS

FAN_NAMES = [variant.name for variant in VARIANTS.values()]


@pytest.mark.parametrize(
    ("name", "known", "nearest"),
    [
        ("cityscapes-c", PROTOCOLS, "stl-cityscapes-c"),
        ("imagenet_c", PROTOCOLS, "imagenet-c"),
        ("convnext", PRESETS, "convnext-t"),
        ("segformer", MM_PRESETS, "segformer-b0"),
        ("fan_tiny", FAN_NAMES, "fan_tiny_12_p16_224 or fan_tiny_8_p4_hybrid?"),
        ("tiny", VARIANTS, "tiny_vit or tiny_hybrid?"),
        ("Fog", ["fog", "frost"], "fog"),
        ("--work-dri", ["--work-dir", "--workers"], "--work-dir"),
    ],
)
def test_the_nearest_name_comes_first(name, known, nearest):
    assert did_you_mean(name, known).startswith(f"; did you mean {nearest}")


def test_nothing_is_offered_where_nothing_is_near():
    assert did_you_mean("xyzzy", PROTOCOLS) == ""


def test_at_most_three_names_are_offered():
    assert did_you_mean("fan", FAN_NAMES).count(" or ") == 2


def test_an_unknown_name_is_said_with_the_nearest_and_with_all():
    assert str(unknown_name("colour", "gren", ["red", "green"])) == (
        "unknown colour 'gren'; did you mean green? Expected one of red, green"
    )
    assert str(unknown_name("colour", "mauve", ["red", "green"], more=", or your own")) == (
        "unknown colour 'mauve'; expected one of red, green, or your own"
    )
