"""Every way in which a copy can differ from its manifest."""

import pytest

from stl_backbones.copies import Finding, count_kinds, verify

NAME = "brightness/1/val/bonn/b_1_leftImg8bit.png"


@pytest.fixture
def copy(finished):
    return finished


def test_an_untouched_copy_is_clean(copy):
    got = []
    assert verify(copy, workers=2, on_progress=lambda *numbers: got.append(numbers)) == []
    assert got == [(12, 12)]


def test_a_flipped_bit(copy):
    content = bytearray((copy / NAME).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / NAME).write_bytes(content)
    assert verify(copy) == [Finding("altered", NAME)]


def test_a_shorter_file(copy):
    (copy / NAME).write_bytes((copy / NAME).read_bytes()[:-1])
    assert verify(copy) == [Finding("altered", NAME)]


def test_a_removed_file(copy):
    (copy / NAME).unlink()
    assert verify(copy) == [Finding("missing", NAME)]


@pytest.mark.parametrize("name", ["brightness/1/val/bonn/extra.png", "notes.txt", "fog/1/x.png"])
def test_an_added_file(copy, name):
    (copy / name).parent.mkdir(parents=True, exist_ok=True)
    (copy / name).write_text("new")
    assert verify(copy) == [Finding("unexpected", name)]


def test_swapped_files_are_altered(copy):
    one, two = copy / NAME, copy / NAME.replace("b_1", "b_2")
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    assert [found.kind for found in verify(copy)] == ["altered", "altered"]


def test_everything_at_once_is_counted(copy):
    (copy / NAME).unlink()
    (copy / NAME.replace("b_1", "b_2")).write_bytes(b"")
    (copy / "extra").write_text("")
    assert count_kinds(verify(copy)) == {"missing": 1, "altered": 1, "unexpected": 1}


def test_an_altered_manifest_is_no_measure(copy):
    rows = copy / "manifest.jsonl"
    rows.write_text(rows.read_text().replace('"size":', '"size": '))
    with pytest.raises(ValueError, match="was altered"):
        verify(copy)


def test_an_unfinished_copy_cannot_be_verified(copy):
    (copy / "manifest.json").unlink()
    with pytest.raises(FileNotFoundError, match="holds no finished corrupted copy"):
        verify(copy)


def test_clutter_is_no_unexpected_file(copy):
    for name in (".DS_Store", "brightness/__MACOSX/x.png", "brightness/1/Thumbs.db"):
        (copy / name).parent.mkdir(exist_ok=True)
        (copy / name).touch()
    assert verify(copy) == []
