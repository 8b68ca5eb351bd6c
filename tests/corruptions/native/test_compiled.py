"""Compiled kernels are kept on disk, and never used for a source they were not made from."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stl_backbones.corruptions.native import compiled, streams

USE = """
from stl_backbones.corruptions.native.streams import legacy_doubles
print(legacy_doubles(0, 1)[0])
"""


def run(cache, **more):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache), **more}
    return subprocess.run(
        [sys.executable, "-c", USE], env=environment, capture_output=True, text=True, check=True,
        timeout=120,
    )  # fmt: skip


def test_first_use_says_so_and_the_second_is_silent(tmp_path):
    first, second = run(tmp_path), run(tmp_path)
    assert "compiling the corruption kernels for this machine, once" in first.stderr
    assert str(tmp_path) in first.stderr
    assert second.stderr == ""
    assert first.stdout == second.stdout
    (folder,) = tmp_path.iterdir()
    assert folder.name == f"kernels-{compiled.stamp(compiled.SOURCES)}"
    assert list(folder.rglob("*.nbi"))


def test_kernels_of_another_source_are_not_kept(tmp_path):
    old = tmp_path / "kernels-0123456789abcdef"
    old.mkdir()
    (old / "stale.nbi").touch()
    run(tmp_path)
    assert [folder.name for folder in tmp_path.iterdir()] == [compiled.cache_folder().name]


def test_stamp_changes_with_any_file(tmp_path):
    (tmp_path / "a.py").write_text("x = 1\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.py").write_text("y = 1\n")
    before = compiled.stamp([tmp_path])
    assert compiled.stamp([tmp_path]) == before
    (tmp_path / "sub" / "b.py").write_text("y = 2\n")
    changed = compiled.stamp([tmp_path])
    (tmp_path / "sub" / "b.py").rename(tmp_path / "b.py")
    assert len({before, changed, compiled.stamp([tmp_path])}) == 3


def test_every_kernel_is_in_the_stamped_folder():
    assert str(compiled.cache_folder()) in streams.next_words.stats.cache_path


def test_every_module_with_kernels_is_stamped():
    package = Path(compiled.__file__).parents[2]
    modules = [path for path in package.rglob("*.py") if "@kernel" in path.read_text()]
    assert len(modules) > 20
    for module in modules:
        assert any(module.is_relative_to(source) for source in compiled.SOURCES), module


@pytest.fixture
def users_folder(tmp_path, monkeypatch):
    """The folder that the user set, asked for anew; the suite's own comes back afterwards."""
    monkeypatch.setattr(compiled._config, "CACHE_DIR", str(tmp_path / "kernels"))
    compiled.cache_folder.cache_clear()
    yield tmp_path / "kernels"
    compiled.cache_folder.cache_clear()


def test_an_unwritable_cache_is_one_line(users_folder):
    users_folder.touch()
    with pytest.raises(PermissionError, match="set NUMBA_CACHE_DIR to one that can"):
        compiled.cache_folder()


def test_the_users_setting_is_heeded_and_left_as_it_was(users_folder, caplog):
    with caplog.at_level(logging.CRITICAL):
        compiled.kernel(lambda: 0)
    assert Path(compiled._config.CACHE_DIR) == users_folder
    assert compiled.cache_folder().parent == users_folder
