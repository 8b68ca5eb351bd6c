"""A cell and the file of its detections belong together by the file's hash."""

import dataclasses
import hashlib

import numpy as np
import pytest

from stl_backbones.results.detections import (
    DETECTIONS_DIGEST,
    detections_path,
    has_its_detections,
)

WRITTEN = b"[]"


@pytest.fixture
def detected(make_result):
    digest = np.frombuffer(hashlib.sha256(WRITTEN).digest(), np.uint8)
    return dataclasses.replace(make_result(), samples={DETECTIONS_DIGEST: digest})


def test_path(tmp_path, detected):
    assert detections_path(tmp_path, detected.cell) == tmp_path / "detections/fog-3.json.gz"


@pytest.mark.parametrize(("content", "expected"), [(WRITTEN, True), (b"[ ]", False), (None, False)])
def test_the_file_must_be_the_one_written(tmp_path, detected, content, expected):
    path = detections_path(tmp_path, detected.cell)
    path.parent.mkdir()
    if content is not None:
        path.write_bytes(content)
    assert has_its_detections(detected, tmp_path) is expected


def test_a_cell_without_hash_has_no_detections(tmp_path, make_result):
    result = make_result()
    path = detections_path(tmp_path, result.cell)
    path.parent.mkdir()
    path.write_bytes(WRITTEN)
    assert not has_its_detections(result, tmp_path)
