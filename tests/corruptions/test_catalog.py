"""Names, groups and protocols, against the published tables."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
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
    custom_versions,
    engine,
    get_protocol,
    protocols,
    register_corruption,
)
from stl_backbones.corruptions.packaged import PackagedCorruption
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
DRIVING = {
    "fog_depth", "rain", "lens_droplets", "sun_glare", "low_light", "exposure_motion", "night",
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
        ("cifar10-c", set(get_corruption_names("all")), 95),
        ("stl-imagenet-c", TABLE_12, 80),
        ("stl-imagenet-c-17", TABLE_12 | {"spatter"}, 85),
        ("stl-cityscapes-c", TABLE_13, 72),  # 12 x 5 and 4 noises x 3
        ("all", set(get_corruption_names("all")), 95),
        ("driving", DRIVING, 35),
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


def test_a_20th_built_in_corruption_joins_no_published_protocol(monkeypatch):
    grown = {**catalog.GROUPS, "noise": (*catalog.GROUPS["noise"], "grain")}
    monkeypatch.setattr(catalog, "GROUPS", grown)
    monkeypatch.setattr(catalog, "CORRUPTIONS", (*catalog.CORRUPTIONS, "grain"))
    spec = importlib.util.spec_from_file_location("grown_protocols", protocols.__file__)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, module.__name__, module)  # dataclasses look annotations up
    spec.loader.exec_module(module)
    assert "grain" in module.get_protocol("all").corruptions
    for name, protocol in PROTOCOLS.items():
        if protocol.published:
            assert module.PROTOCOLS[name].cells() == protocol.cells()


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


@pytest.mark.parametrize("severity", [0, 6, -1, 0.99, "3", True, float("nan")])
def test_unknown_severity(severity):
    with pytest.raises(ValueError, match=rf"severity must be a number in 1\.\.5, got {severity}"):
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


def test_a_fraction_of_a_severity():
    assert (check_severity(2.5), check_severity(2.0)) == (2.5, 2)
    assert isinstance(check_severity(np.float32(3)), int)
    cells = get_protocol("stl-cityscapes-c").cells(
        corruptions=["fog", "shot_noise"], severities=[1, 2.5, 4.25]
    )
    names = [cell.name for cell in cells]
    assert names == ["clean", "shot_noise-1", "shot_noise-2.5", "fog-1", "fog-2.5", "fog-4.25"]
    assert [Cell.from_name(name) for name in names] == list(cells)


def test_compounds():
    cells = get_protocol("imagenet-c").cells(
        corruptions=["fog+gaussian_noise", "fog@2+snow"], severities=[3]
    )
    assert [cell.name for cell in cells] == ["clean", "fog+gaussian_noise-3", "fog@2+snow-3"]
    assert custom_versions(["fog", "fog+snow"]) == {"fog+snow": "compound 1"}


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("fog+", ValueError, r"'fog\+' is no compound: expected different corruptions joined"),
        ("fog+fog", ValueError, r"'fog\+fog' is no compound"),
        ("fog+fogg", KeyError, "unknown corruption 'fogg'; did you mean fog"),
        ("fog@7+snow", ValueError, r"severity must be a number in 1\.\.5, got 7"),
        ("fog@2+snow@3", ValueError, "leave one part without its own, fog@2\\+snow"),
        ("fog@2.0+snow", ValueError, "write the compound 'fog@2.0\\+snow' as fog@2\\+snow"),
        ("fog@ 2+snow", ValueError, "write the compound"),
        ("fog@x+snow", ValueError, r"severity must be a number in 1\.\.5, got 'x'"),
    ],
)
def test_what_is_no_compound(name, error, message):
    with pytest.raises(error, match=message):
        get_protocol("imagenet-c").cells(corruptions=[name])


@pytest.fixture
def haze(monkeypatch):
    """A packaged corruption on an axis in metres; each level takes its share of light."""
    made = PackagedCorruption(
        "haze", "weather", "3", f"{__name__}:_haze", {"imagenet": (400, 200, 100, 50, 25)},
        unit="m", is_geometric=True,
    )  # fmt: skip
    monkeypatch.setattr(catalog, "PACKAGED", {"haze": made})
    monkeypatch.setattr(engine, "PACKAGED", {"haze": made})
    return made


def _haze(image, level, rng):
    return np.full_like(image, level)


def test_levels_in_a_unit(haze):
    protocol = Protocol("hazy", {"weather": ("haze", "fog")}, "test")
    cells = protocol.cells(levels={"haze": [70.7, 50, 50.0]})
    assert [cell.severity for cell in cells[1:]] == [3.50022, 4]
    assert [catalog.level_text("haze", cell.severity) for cell in cells[1:]] == ["70.7 m", "50 m"]
    assert catalog.cell_at("haze/50m") == cells[2]
    image = np.zeros((32, 32, 3), np.uint8)
    assert engine.corrupt(image, "haze", 3.50022, key="").max() == 70
    assert custom_versions(["haze+fog"]) == {"haze+fog": "compound 1, haze 3"}
    assert catalog.parse_levels(["haze=70.7m,50m"]) == {"haze": (70.7, 50)}
    for levels, message in (
        ({"haze": [10]}, "haze has levels from 25m to 400m, severities 1 to 5; got 10m"),
        ({"haze": [50.001]}, "levels of haze are numbers of at most four digits, in m; got 50.001"),
        ({"haze": ["50"]}, "levels of haze are numbers"),
        ({"fog": [10]}, "'fog' has no levels in a unit; expected severities, 1 to 5, or one of h"),
    ):
        with pytest.raises(ValueError, match=message):
            protocol.cells(levels=levels)


@pytest.mark.parametrize(
    ("word", "error", "message"),
    [
        ("haze", ValueError, "levels are NAME=LEVEL,LEVEL, for example fog_depth=50m; got 'haze'"),
        ("haze=", ValueError, "levels are NAME=LEVEL,LEVEL"),
        ("haze=50", ValueError, "levels of haze are in m, for example 5m; got '50'"),
        ("haze=50m,1.2.3m", ValueError, "number"),
        ("haze=-5m", ValueError, "levels of haze are in m"),
        ("fog=50m", ValueError, "'fog' has no levels in a unit"),
        ("hase=50m", KeyError, "unknown corruption 'hase'; did you mean haze"),
    ],
)
def test_what_are_no_levels(haze, word, error, message):
    with pytest.raises(error, match=message):
        catalog.parse_levels([word])


def test_a_level_of_three_digits_is_met_exactly(haze):
    for level in [*range(25, 400), 33.3]:
        assert haze.level(haze.severity(level)) == level


def test_severities_beside_levels_of_all_corruptions(haze):
    protocol = Protocol("hazy", {"weather": ("haze", "fog")}, "test")
    with pytest.raises(ValueError, match="severities and levels were both given for haze"):
        protocol.cells(levels={"haze": [50]}, severities=[3])
    cells = protocol.cells(levels={"haze": [50]}, severities=[3], corruptions=["fog"])
    assert [cell.name for cell in cells] == ["clean", "haze-4", "fog-3"]


def test_a_unit_with_a_slash():
    assert catalog.cell_at("rain/25mm/h") == Cell("rain", 2)
    assert catalog.cell_at("lens_droplets/3%") == Cell("lens_droplets", 2)
    assert catalog.cell_at("rain/25") is None


def test_strengths_that_a_corruption_lacks(haze):
    with pytest.raises(ValueError, match="'haze' has no levels for strengths 'cifar10'; it has"):
        haze.level(1, "cifar10")


def test_a_compound_is_one_corruption_after_the_other(haze):
    image = np.full((32, 32, 3), 90, np.uint8)
    both = engine.corrupt(image, "contrast@4+gaussian_noise", 2, key="a", mode="fast")
    first = engine.corrupt(image, "contrast", 4, key="a", mode="fast")
    assert np.array_equal(both, engine.corrupt(first, "gaussian_noise", 2, key="a", mode="fast"))
