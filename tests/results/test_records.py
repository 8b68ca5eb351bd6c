"""The records that cross the stages."""

from __future__ import annotations

import json

import pytest

from stl_backbones.records import CLEAN, Cell, Provenance


def test_names_of_cells():
    assert (CLEAN.name, Cell("fog", 3).name) == ("clean", "fog-3")


def test_provenance_survives_json(make_provenance):
    provenance = make_provenance()
    plain = json.loads(json.dumps(provenance.to_dict()))
    assert Provenance.from_dict(plain) == provenance


def test_provenance_of_other_fields_is_refused(make_provenance):
    plain = make_provenance().to_dict()
    del plain["seed"]
    plain["sead"] = 0
    with pytest.raises(ValueError, match=r"missing \['seed'\], unknown \['sead'\]"):
        Provenance.from_dict(plain)


@pytest.mark.parametrize(
    ("name", "value"),
    [("task", None), ("num_images", "2"), ("classes", "road"), ("classes", [1]),
     ("versions", [["numpy", "2"]]), ("versions", {"numpy": 2}), ("custom_versions", []),
     ("imagenet_val", "yes"), ("sampling", "seed"), ("seed", 1.5)],
)  # fmt: skip
def test_provenance_of_other_types_is_refused(make_provenance, name, value):
    plain = {**make_provenance().to_dict(), name: value}
    with pytest.raises(ValueError, match=f"provenance field {name} must be of type .*, got"):
        Provenance.from_dict(plain)


@pytest.mark.parametrize(
    "name",
    [
        "custom_versions",
        "parameters",
        "encoder_parameters",
        "macs",
        "notes",
        "imagenet_val",
        "copy_digests",
    ],
)
def test_a_record_from_before_a_field(make_provenance, name):
    plain = make_provenance().to_dict()
    del plain[name]
    assert Provenance.from_dict(plain) == make_provenance()


def test_counts_and_notes_survive_json(make_provenance):
    provenance = make_provenance(parameters=7, macs=9, notes=("not the official files",))
    plain = json.loads(json.dumps(provenance.to_dict()))
    assert plain["notes"] == ["not the official files"]
    assert Provenance.from_dict(plain) == provenance


def test_versions_differ_only_where_both_have_the_corruption(make_provenance):
    one = make_provenance(custom_versions={"rain": "1", "hail": "1"})
    assert one.differences(make_provenance()) == {}
    assert one.differences(make_provenance(custom_versions={"hail": "1", "soot": "4"})) == {}
    other = make_provenance(custom_versions={"rain": "2", "hail": "1"})
    assert list(one.differences(other)) == ["custom_versions"]


def test_copies_differ_where_both_have_the_cell(make_provenance):
    one = make_provenance(copy_digests={"fog-1": "a", "fog-2": "b"})
    assert one.differences(make_provenance(copy_digests={"fog-2": "b", "snow-1": "c"})) == {}
    other = make_provenance(copy_digests={"fog-1": "a", "fog-2": "x"})
    assert one.differences(other) == {"copy_digests": ({"fog-1": "a", "fog-2": "b"},
                                                       {"fog-1": "a", "fog-2": "x"})}  # fmt: skip


def test_differences_hold_both_values(make_provenance):
    one, other = make_provenance(), make_provenance(seed=4, inference="slide")
    assert one.differences(other) == {"seed": (0, 4), "inference": ("whole", "slide")}


def test_counts_of_the_model_are_no_difference(make_provenance):
    counted = make_provenance(parameters=7, encoder_parameters=5, macs=9)
    assert make_provenance().differences(counted) == {}


def test_notes_are_a_difference(make_provenance):
    noted = make_provenance(notes=("no frost",))
    assert make_provenance().differences(noted) == {"notes": ([], ["no frost"])}


def test_the_protocol_is_no_difference(make_provenance):
    assert make_provenance().differences(make_provenance(protocol="all")) == {}
