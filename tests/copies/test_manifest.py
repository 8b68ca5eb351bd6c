"""Header and rows: what is written is what is read, and damage is refused."""

import dataclasses
import json

import pytest

from stl_backbones.copies import ManifestHeader, Row, read_header
from stl_backbones.copies.manifest import read_rows
from stl_backbones.errors import InputError

HEADER = ManifestHeader(
    layout="folder", split=None, protocol="all", mode="exact", compat="imaug-1.1.5", engine="e 1",
    channel_order="rgb", seed=3, versions={"numpy": "2"}, images=4, cells={"fog": (1, 3)},
    image_format="png", files=8, rows_blake2b="00",
)  # fmt: skip


def test_header_round_trip(tmp_path):
    (tmp_path / "manifest.json").write_bytes(HEADER.to_json())
    assert read_header(tmp_path) == HEADER


def test_no_header(tmp_path):
    with pytest.raises(FileNotFoundError, match="no finished corrupted copy: expected manifest"):
        read_header(tmp_path)


def with_fields(**fields):
    return json.dumps(json.loads(HEADER.to_json()) | fields).encode()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "Expecting value"),
        (b"[]", "is no manifest"),
        (b"\xff\xfe", "is no manifest"),
        (HEADER.to_json()[:-40], "is no manifest"),
        (HEADER.to_json().replace(b'"format": 1', b'"format": 2'), "format 2, expected 1"),
        (HEADER.to_json().replace(b'"seed"', b'"sead"'), "sead"),
        (json.dumps({"format": 1, "cells": 3}).encode(), "is no manifest"),
        (with_fields(versions={"numpy": [2]}), "values of versions and custom, must be texts"),
        (with_fields(split=[]), "split, and the values"),
        (with_fields(cells={"fog": [[1]]}), "severities of cells must be numbers"),
    ],
)
def test_damaged_header(tmp_path, content, message):
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_header(tmp_path)


def test_differences_are_what_decides_bytes():
    other = dataclasses.replace(
        HEADER, seed=4, versions={"numpy": "1", "scipy": "1"}, images=9, protocol="coco-c",
        cells={"snow": (1,)}, custom={"mine": "1"},
    )  # fmt: skip
    assert HEADER.differences(other) == {
        "seed": (3, 4), "versions.numpy": ("2", "1"), "versions.scipy": (None, "1"),
    }  # fmt: skip


def test_custom_corruptions_of_two_versions_differ():
    one = dataclasses.replace(HEADER, custom={"mine": "1", "yours": "1"})
    two = dataclasses.replace(HEADER, custom={"mine": "2"})
    assert one.differences(two) == {"custom.mine": ("1", "2")}


def test_row_round_trip():
    row = Row("bönn/a.png", "fog", 3, "fog/3/val/bönn/a.png", 12, 48, 40, "ab")
    assert Row.from_line(row.to_line()) == row


@pytest.mark.parametrize(
    "line", ["", "{", "[]", "3", '{"id": "a"}', b"\xff", "[" * 100_000, "1" * 5000]
)
def test_a_torn_row_is_none(line):
    with pytest.raises(InputError, match="no row of a manifest"):
        Row.from_line(line)


@pytest.mark.parametrize(
    "change",
    [{"severity": "3"}, {"severity": [3]}, {"severity": float("nan")}, {"severity": 0},
     {"corruption": ["fog"]}, {"size": -1}, {"size": 2**63}, {"size": 1.5}, {"id": None},
     {"blake2b": 3}, {"width": "48"}],
)  # fmt: skip
def test_a_row_of_other_values_is_none(change):
    row = vars(Row("a.png", "fog", 3, "fog/3/a.png", 12, 48, 40, "ab"))
    with pytest.raises(InputError, match="no row of a manifest"):
        Row.from_line(json.dumps({**row, **change}))


def test_rows_that_are_no_text(tmp_path):
    (tmp_path / "manifest.jsonl").write_bytes(b"\xff\xfe\n")
    with pytest.raises(InputError, match=r"manifest\.jsonl', line 1: no row of a manifest"):
        list(read_rows(tmp_path / "manifest.jsonl"))
