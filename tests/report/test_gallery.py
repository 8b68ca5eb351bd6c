"""A report's pictures: beside the page or in it, whole or refused."""

import base64
from pathlib import Path
from unittest import mock

import pytest

from stl_backbones.errors import InputError, MissingFileError
from stl_backbones.report import make_report
from stl_backbones.report.gallery import PICTURES, read_gallery, write_pictures
from stl_backbones.results import CellStore
from stl_backbones.results.failure_index import (
    FAILURES,
    INDEX,
    FailurePicture,
    clear_pictures,
    write_index,
    write_picture,
)

CONTENT = b"\x89PNG\r\n"


@pytest.fixture
def sweep(make_store):
    """A sweep's folder with one picture."""
    folder = make_store()
    place = folder / FAILURES
    place.mkdir()
    digest = write_picture(place, "1.png", CONTENT)
    picture = FailurePicture("1.png", digest, "fog-5", "a/b.png", "road to car 9.0 %")
    write_index(place, [picture], CellStore(folder).provenance())
    return folder


def gallery_of(findings_of, folder, **options):
    return read_gallery(findings_of([folder]).runs, **options)


def test_pictures_are_beside_the_page_or_in_it(sweep, findings_of, tmp_path):
    gallery, files = gallery_of(findings_of, sweep)
    (picture,) = gallery.pictures
    assert (picture.cell, picture.image, picture.caption) == (
        "fog-5", "a/b.png", "road to car 9.0 %",
    )  # fmt: skip
    assert files == {picture.file: CONTENT}
    make_report([sweep], out=tmp_path / "out", partial=True, resamples=0)
    assert (tmp_path / "out" / picture.file).read_bytes() == CONTENT
    gallery, files = gallery_of(findings_of, sweep, embed=True)
    kind, _, data = gallery.pictures[0].file.partition(",")
    assert (kind, base64.b64decode(data), files) == ("data:image/png;base64", CONTENT, {})
    make_report([sweep], out=tmp_path / "out", partial=True, resamples=0, embed_pictures=True)
    assert list((tmp_path / "out" / PICTURES).iterdir()) == []  # of the report before


def test_a_name_that_is_no_utf_8_is_shown(sweep, tmp_path):
    edit(sweep / FAILURES, "road to", r"caf\udce9 to")
    make_report([sweep], out=tmp_path / "out", partial=True, resamples=0)
    assert r"caf\udce9 to car" in (tmp_path / "out/index.html").read_text(encoding="utf-8")


def test_an_unfinished_folder_has_no_pictures(sweep, findings_of):
    (sweep / FAILURES / INDEX).unlink()
    assert gallery_of(findings_of, sweep)[0].pictures == ()


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (lambda place: (place / "1.png").unlink(), MissingFileError, "1.png' is missing"),
        (lambda place: (place / "1.png").write_bytes(b"x"), InputError, "altered after it was"),
        (lambda place: edit(place, '"1.png"', '"../1.png"'), InputError, "outside of its folder"),
        (lambda place: edit(place, "fingerprint", "other"), InputError, "of another model or"),
        (lambda place: edit(place, "{", "["), InputError, "is no index of pictures"),
    ],
)
def test_pictures_that_are_not_the_sweeps_are_refused(sweep, findings_of, change, error, says):
    change(sweep / FAILURES)
    with pytest.raises(error, match=says):
        gallery_of(findings_of, sweep)


def edit(place: Path, old: str, new: str) -> None:
    path = place / INDEX
    path.write_text(path.read_text().replace(old, new))


def test_pictures_that_are_made_anew_leave_nothing_of_the_old_ones(sweep):
    clear_pictures(sweep / FAILURES)
    assert list((sweep / FAILURES).iterdir()) == []


def test_an_old_picture_that_another_report_removes_first_is_no_error(tmp_path):
    place = tmp_path / PICTURES
    place.mkdir()
    with mock.patch.object(Path, "glob", return_value=[place / "gone.png"]):
        write_pictures(tmp_path, {f"{PICTURES}/new.png": b"new"})
    assert [path.name for path in place.iterdir()] == ["new.png"]
