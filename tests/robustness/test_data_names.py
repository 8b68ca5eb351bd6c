"""A data set is called by its own name, not by its reader's."""

import shutil

import pytest

from stl_backbones.datasets.mini.generate import MARKER
from stl_backbones.records import CLEAN
from stl_backbones.report.write import make_report
from stl_backbones.results import CellStore
from stl_backbones.robustness.options import SweepOptions
from stl_backbones.robustness.provenance import GENERATED, data_name
from stl_backbones.robustness.sources.config import ConfigSource
from stl_backbones.robustness.sweep import sweep


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("data/camvid", "camvid"), ("data/kitchen/val", "kitchen"), ("data/set/test/", "set"),
        ("mini/cityscapes", "mini/cityscapes"), ("mini/imagenet/val", "mini/imagenet"),
    ],
)  # fmt: skip
def test_the_folders_name_is_the_data_sets(tmp_path, folder, name):
    """Generated scenes in the layout of Cityscapes are not called Cityscapes."""
    (tmp_path / folder).mkdir(parents=True)
    if folder.startswith("mini"):
        (tmp_path / "mini" / GENERATED).touch()
    assert data_name(tmp_path / folder) == name
    assert GENERATED == MARKER


def test_another_folder_is_the_same_data_and_the_report_has_its_name(
    mini_data, mini_options, mini_checkpoint, repo_root, tmp_path
):
    """A sweep goes on where its data were moved to; what reads them stands in the facts."""
    moved = shutil.copytree(mini_data / "cityscapes", tmp_path / "camvid")
    config = repo_root / "configs/seg/stl_fan_t_mini.py"

    def score(root):
        source = ConfigSource(config, mini_checkpoint, options={**mini_options, "data_root": root})
        return sweep(source, work_dir=tmp_path / "sweep",
                     options=SweepOptions(corruptions=(), workers=0))  # fmt: skip

    folder = score(str(moved))
    cell = CellStore(folder).path(CLEAN)
    before = cell.stat().st_mtime_ns
    made = make_report([folder], partial=True, resamples=0)
    assert made.text.startswith("Robustness on camvid\nmIoU, protocol stl-cityscapes-c")
    assert "data set camvid (CityscapesDataset)" in made.text
    assert score(str(mini_data / "cityscapes")) == folder
    assert cell.stat().st_mtime_ns == before
    assert [cell.name for cell in CellStore(folder).cells()] == ["clean"]
