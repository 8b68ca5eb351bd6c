"""Pictures of failures: an index that is read only as it was written."""

import dataclasses
import json

import pytest

from stl_backbones.errors import InputError, MissingFileError
from stl_backbones.results.failure_index import (
    FailurePicture,
    clear_pictures,
    read_pictures,
    write_index,
    write_picture,
)

CONTENT = {"a.png": b"one", "b.png": b"two"}


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "failures"
    path.mkdir()
    return path


@pytest.fixture
def pictures(folder, make_provenance):
    found = [
        FailurePicture(name, write_picture(folder, name, content), "fog-3", f"{name}.jpg", "Wrong")
        for name, content in CONTENT.items()
    ]
    write_index(folder, found, make_provenance())
    return found


def edit_index(folder, **fields):
    path = folder / "index.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_pictures_are_read_as_written(folder, pictures, make_provenance):
    read = read_pictures(folder.parent, make_provenance())
    assert read == tuple(zip(pictures, CONTENT.values(), strict=True))


def test_without_an_index_there_are_none(folder, make_provenance):
    write_picture(folder, "a.png", b"one")
    assert read_pictures(folder.parent, make_provenance()) == ()


@pytest.mark.parametrize("field", ["checkpoint_sha256", "config_sha256", "dataset_fingerprint"])
def test_pictures_of_another_sweep_are_refused(folder, pictures, make_provenance, field):
    other = dataclasses.replace(make_provenance(), **{field: "00"})
    with pytest.raises(InputError, match="pictures of another model or other data"):
        read_pictures(folder.parent, other)


def test_an_altered_picture_is_refused(folder, pictures, make_provenance):
    (folder / "b.png").write_bytes(b"other")
    with pytest.raises(InputError, match=r"b\.png' was altered"):
        read_pictures(folder.parent, make_provenance())


def test_a_missing_picture_is_named(folder, pictures, make_provenance):
    (folder / "b.png").unlink()
    with pytest.raises(MissingFileError, match=r"b\.png' is missing"):
        read_pictures(folder.parent, make_provenance())


@pytest.mark.parametrize("name", ["../a.png", ".", "x/a.png"])
def test_a_picture_outside_of_the_folder_is_refused(folder, pictures, make_provenance, name):
    edit_index(folder, pictures=[dataclasses.asdict(pictures[0]) | {"file": name}])
    with pytest.raises(InputError, match=r"index\.json' is no index .* outside of its folder"):
        read_pictures(folder.parent, make_provenance())


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("cell", "fog-3abab", "'fog-3abab' is no cell's name"),
        ("file", "..", r"its pictures are no \.png or \.jpg files"),
        ("file", "a.gif", r"its pictures are no \.png or \.jpg files"),
    ],
)
def test_what_no_page_can_show_is_refused(folder, pictures, make_provenance, field, value, message):
    edit_index(folder, pictures=[dataclasses.asdict(pictures[0]) | {field: value}])
    with pytest.raises(InputError, match=message):
        read_pictures(folder.parent, make_provenance())


def deep():
    """Lists within lists, nearly as many as Python reads."""
    return json.loads("[" * 800 + "]" * 800)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"format": 2}, "is of format 2, expected 1"),
        ({"pictures": [{}]}, "is no index of pictures"),
        ({"sweep": None}, "is no index of pictures"),
        ({"pictures": [{"cell": deep()}]}, "is no index of pictures"),
    ],
)
def test_another_index_is_refused(folder, pictures, make_provenance, fields, message):
    edit_index(folder, **fields)
    with pytest.raises(InputError, match=message):
        read_pictures(folder.parent, make_provenance())


def test_cleared_are_the_index_and_what_it_lists(folder, pictures):
    (folder / "own.png").touch()
    clear_pictures(folder)
    assert [path.name for path in folder.iterdir()] == ["own.png"]


def test_a_damaged_index_is_cleared_alone(folder, pictures):
    (folder / "index.json").write_text("{")
    clear_pictures(folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted(CONTENT)


def test_nothing_is_cleared_where_nothing_is(folder):
    clear_pictures(folder)
    assert list(folder.iterdir()) == []
