"""Names, groups and protocols, against the published tables."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest
from imagecorruptions import get_corruption_names

from stl_backbones.corruptions import (
    CORRUPTIONS,
    GROUPS,
    PROTOCOLS,
    SEVERITIES,
    Protocol,
    catalog,
    check_corruption,
    check_severity,
    get_protocol,
    register_corruption,
)
from stl_backbones.records import CLEAN, Cell

NOISES = {"gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise"}
FIFTEEN = {
    "gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "glass_blur", "motion_blur",
    "zoom_blur", "snow", "frost", "fog", "brightness", "contrast", "elastic_transform", "pixelate",
    "jpeg_compression",
}  # fmt: skip
# Tables 12 and 13 of the paper.
TABLE_12 = NOISES | {
    "motion_blur", "defocus_blur", "glass_blur", "gaussian_blur", "contrast", "saturate",
    "jpeg_compression", "pixelate", "brightness", "snow", "fog", "frost",
}  # fmt: skip
TABLE_13 = (TABLE_12 - {"pixelate"}) | {"spatter"}


def test_the_names_are_the_packages():
    assert sorted(CORRUPTIONS) == sorted(get_corruption_names("all"))


def test_groups():
    assert {name: set(members) for name, members in GROUPS.items()} == {
        "noise": NOISES,
        "blur": {"defocus_blur", "glass_blur", "motion_blur", "gaussian_blur", "zoom_blur"},
        "weather": {"snow", "frost", "fog", "brightness", "spatter"},
        "digital": {
            "contrast", "saturate", "jpeg_compression", "pixelate", "elastic_transform",
        },
    }  # fmt: skip
    assert [len(members) for members in GROUPS.values()] == [4, 5, 5, 5]


@pytest.mark.parametrize(
    ("name", "corruptions", "corrupted_cells"),
    [
        ("imagenet-c", FIFTEEN, 75),
        ("coco-c", FIFTEEN, 75),
        ("stl-imagenet-c", TABLE_12, 80),
        ("stl-imagenet-c-17", TABLE_12 | {"spatter"}, 85),
        ("stl-cityscapes-c", TABLE_13, 72),  # 12 x 5 and 4 noises x 3
        ("all", set(get_corruption_names("all")), 95),
    ],
)
def test_protocols(name, corruptions, corrupted_cells):
    protocol = get_protocol(name)
    assert set(protocol.corruptions) == corruptions
    assert len(protocol.corruptions) == len(corruptions)
    cells = protocol.cells()
    assert cells[0] == CLEAN
    assert len(set(cells)) == len(cells) == 1 + corrupted_cells


@pytest.mark.usefixtures("own_catalog")
def test_a_corruption_of_one_s_own_joins_no_protocol():
    before = {name: protocol.cells() for name, protocol in PROTOCOLS.items()}
    register_corruption("own_grain", group="noise", version="1")(lambda image, severity, rng: image)
    assert {name: protocol.cells() for name, protocol in PROTOCOLS.items()} == before


def test_a_20th_built_in_corruption_joins_no_published_protocol():
    text = Path(catalog.__file__).read_text(encoding="utf-8")
    grown = text.replace(
        '"speckle_noise"),\n        "blur"', '"speckle_noise", "grain"),\n        "blur"'
    )
    module = types.ModuleType("grown_catalog")
    sys.modules[module.__name__] = module  # where dataclasses look annotations up
    try:
        exec(compile(grown, "grown_catalog.py", "exec"), vars(module))
    finally:
        del sys.modules[module.__name__]
    assert module.CORRUPTIONS[4] == "grain"
    for name, protocol in PROTOCOLS.items():
        if protocol.published:
            assert module.PROTOCOLS[name].cells() == protocol.cells()


def test_there_are_six_protocols():
    names = {
        "imagenet-c", "coco-c", "stl-imagenet-c", "stl-imagenet-c-17", "stl-cityscapes-c", "all"
    }  # fmt: skip
    assert set(PROTOCOLS) == names


def test_noises_of_cityscapes_stop_at_severity_3():
    severities = get_protocol("stl-cityscapes-c").severities
    assert {name: tuple(levels) for name, levels in severities.items()} == {
        name: (1, 2, 3) if name in NOISES else (1, 2, 3, 4, 5) for name in TABLE_13
    }


def test_groups_of_table_13():
    columns = get_protocol("stl-cityscapes-c").columns
    assert set(columns["weather"]) == {"snow", "spatter", "fog", "frost"}
    assert set(columns["digital"]) == {"brightness", "contrast", "saturate", "jpeg_compression"}


def test_chosen_cells_leave_out_what_a_corruption_lacks():
    cells = get_protocol("stl-cityscapes-c").cells(
        corruptions=["fog", "shot_noise"], severities=[3, 5]
    )
    assert cells == (CLEAN, Cell("shot_noise", 3), Cell("fog", 3), Cell("fog", 5))


def test_a_corruption_outside_the_protocol():
    with pytest.raises(KeyError, match="'zoom_blur' is not part of protocol 'stl-cityscapes-c'"):
        get_protocol("stl-cityscapes-c").cells(corruptions=["zoom_blur"])


def test_no_cell_left():
    with pytest.raises(ValueError, match=r"no cell of protocol .* severity in \[5\]"):
        get_protocol("stl-cityscapes-c").cells(corruptions=["shot_noise"], severities=[5])


def test_unknown_protocol():
    with pytest.raises(KeyError, match="unknown protocol 'coco'; did you mean coco-c"):
        get_protocol("coco")


def test_unknown_corruption_offers_the_nearest():
    with pytest.raises(KeyError, match=r"unknown corruption 'fogg'; did you mean fog"):
        check_corruption("fogg")


@pytest.mark.parametrize("severity", [0, 6, -1, 2.5, "3"])
def test_unknown_severity(severity):
    with pytest.raises(
        ValueError, match=rf"severity must be a whole number in 1\.\.5, got {severity}"
    ):
        check_severity(severity)


def test_severities():
    assert SEVERITIES == (1, 2, 3, 4, 5)


def test_groups_stand_for_their_corruptions():
    protocol = get_protocol("imagenet-c")
    assert protocol.choose(["weather", "shot_noise", "fog"]) == (
        "shot_noise", "snow", "frost", "fog", "brightness",
    )  # fmt: skip
    cells = protocol.cells(corruptions=["noise"], severities=[2])
    assert [cell.name for cell in cells] == [
        "clean", "gaussian_noise-2", "shot_noise-2", "impulse_noise-2",
    ]  # fmt: skip


def test_a_groups_name_that_is_a_corruptions_is_asked_for_by_its_kind():
    protocol = Protocol("own", {"fog": ("fog", "snow"), "frost": ("frost",)}, "us")
    with pytest.raises(ValueError, match="write 'corruption:fog' or 'group:fog'"):
        protocol.choose(["fog"])
    assert protocol.choose(["group:fog"]) == ("fog", "snow")
    assert protocol.choose(["corruption:fog"]) == ("fog",)
    assert protocol.choose(["frost"]) == ("frost",)  # both mean the same
    with pytest.raises(KeyError, match="'noise' is not part of protocol 'own'; expected one of"):
        protocol.choose(["noise"])
