"""The fuzzing finds what is put there for it, and goes on after a crash."""

import os
from pathlib import Path
from random import Random

import pytest

from faults.fuzz import child, image_mutators, mutators
from faults.fuzz.loop import fuzz
from faults.fuzz.reader import Reader
from stl_backbones.errors import InputError


def read(path: Path) -> None:
    kind = path.read_bytes()
    if kind == b"crash":
        os.abort()
    if kind == b"hang":
        while True:
            pass
    if kind == b"memory":
        bytearray(1 << 40)
    if kind == b"bug":
        raise KeyError(kind)
    if kind == b"refused":
        raise InputError("not this")
    if kind == b"absent":
        Path("/does/not/exist").read_bytes()


@pytest.mark.parametrize(
    ("content", "kind"),
    [(b"crash", "killed by SIGABRT"), (b"hang", "over 5 s"), (b"memory", "over 2 GB"),
     (b"bug", "KeyError"), (b"refused", None), (b"absent", None), (b"fine", None)],
)  # fmt: skip
def test_what_no_file_may_cause_is_found(tmp_path, monkeypatch, content, kind):
    if kind == "over 5 s":  # the others may take longer than this on a busy machine
        monkeypatch.setattr(child, "SLOW", 0.1)
    reader = Reader("r", "a/b", lambda folder: [b"0"], read, [lambda *given: content])
    tally = fuzz(reader, tmp_path / "fuzz", seconds=0.1, seed=1)
    found = {(fault.kind, fault.content) for fault in tally.faults.values()}
    assert found == (set() if kind is None else {(kind, content)})
    assert (tally.refused > 0) == (content in (b"refused", b"absent"))


def test_a_reader_that_reads_none_of_its_own_files(tmp_path):
    reader = Reader("r", "a", lambda folder: [b"refused"], read, mutators.BYTES)
    with pytest.raises(RuntimeError, match="'r' reads none of its own files"):
        fuzz(reader, tmp_path / "fuzz", seconds=0.1, seed=1)


@pytest.mark.parametrize(
    "changes", [mutators.BYTES, mutators.TEXT, mutators.JSON, mutators.JSON_LINES, mutators.PICKLE,
                mutators.NPY, mutators.SAFETENSORS, image_mutators.PNG, image_mutators.JPEG]
)  # fmt: skip
def test_any_bytes_can_be_changed(changes):
    rng = Random(0)
    contents = [b"", b"\0", b"{}", b"[1]", bytes(range(256)), b"PK\x05\x06" + bytes(18)]
    for content in contents:
        for change in changes * 20:
            assert isinstance(change(content, rng, contents), bytes)
