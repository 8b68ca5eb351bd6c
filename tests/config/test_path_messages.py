"""A folder where a file belongs, and the reverse, are called what they are, whatever reads them."""

import os

import pytest

from stl_backbones.config.reading import load_config
from stl_backbones.copies.layouts import find_sources, get_layout
from stl_backbones.corruptions.registration import import_modules
from stl_backbones.datasets.array_images import open_images
from stl_backbones.datasets.class_folders import ClassFolders, read_class_names
from stl_backbones.datasets.coco_annotations import read_annotations
from stl_backbones.engine.convert import convert_checkpoint
from stl_backbones.errors import InputError, MissingFileError
from stl_backbones.models import read_checkpoint
from stl_backbones.paths import check_file
from stl_backbones.pretraining.frozen import load_labeler

FILES = {
    "config": load_config,
    "checkpoint": read_checkpoint,
    "labeler": load_labeler,
    "annotation file": read_annotations,
    "--classes": read_class_names,
    "module file": lambda path: import_modules([f"{path}.py"]),
}
FOLDERS = {
    "image folder": ClassFolders,
    "source": lambda path: find_sources(path, get_layout("folder"), split=None, encoding=None),
    "--data-root": lambda path: open_images(path, option="--data-root"),
    "the converted file's folder": lambda path: convert_checkpoint(path, path / "x.pth"),
}


@pytest.mark.parametrize("what", FILES)
def test_a_folder_where_a_file_belongs(tmp_path, what):
    place = tmp_path / "place"
    (place if what != "module file" else tmp_path / "place.py").mkdir()
    with pytest.raises(InputError, match=f"^{what} '{place}(.py)?' is a folder; expected a file"):
        FILES[what](place)
    with pytest.raises(MissingFileError, match=f"^{what} '{tmp_path}/gone(.py)?' does not exist"):
        FILES[what](tmp_path / "gone")


@pytest.mark.parametrize("what", FOLDERS)
def test_a_file_where_a_folder_belongs(tmp_path, what):
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(InputError, match=f"^{what} '{path}' is a file; expected a folder"):
        FOLDERS[what](path)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match=r"checkpoint '.*pipe' is no regular file"):
        check_file(tmp_path / "pipe", "checkpoint")


def test_a_link_to_nothing_does_not_exist(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with pytest.raises(MissingFileError, match=r"config '.*link' does not exist"):
        check_file(tmp_path / "link", "config")
