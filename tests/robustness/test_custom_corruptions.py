"""The example of docs/how-to/own_corruption.md, the very file, from pixels to a page."""

import dataclasses
import shutil
import sys

import numpy as np
import pytest

from stl_backbones.corruptions import corrupt, draw_seed, import_modules
from stl_backbones.records import Cell
from stl_backbones.report.write import make_report
from stl_backbones.results import CellStore
from stl_backbones.results.run_record import encode_run
from stl_backbones.robustness.options import SweepOptions
from stl_backbones.robustness.sources.config import ConfigSource
from stl_backbones.robustness.sweep import sweep

RAINY = (Cell("rain_streaks", 2), Cell("rain_streaks", 4))


@pytest.fixture(scope="module")
def example(repo_root):
    return repo_root / "docs/examples/rain_streaks.py"


@pytest.fixture
def rain(own_catalog, example):
    import_modules([str(example)])
    return sys.modules["rain_streaks"]


@pytest.fixture(scope="module")
def street(mini_data):
    import cv2

    path = min((mini_data / "cityscapes/leftImg8bit/val").rglob("*.png"))
    return np.ascontiguousarray(cv2.imread(str(path))[..., ::-1])


@pytest.fixture
def config(repo_root, tmp_path):
    """A user's own config, which says in `custom_imports` what it needs."""
    path = tmp_path / "mine.py"
    path.write_text(
        f"_base_ = ['{repo_root}/configs/seg/stl_fan_t_mini.py']\n"
        "custom_imports = dict(imports=['rain_streaks'])\n"
    )
    return path


@pytest.fixture
def run_sweep(config, mini_checkpoint, mini_options):
    def run(work_dir, **chosen):
        given = {"protocol": "rain", "severities": [2, 4], "workers": 0, "name": "mini", **chosen}
        return sweep(
            ConfigSource(config, mini_checkpoint, options=mini_options),
            work_dir=work_dir,
            options=SweepOptions(**given),
        )

    return run


def make_rain(module, image, severity, seed=0):
    return module.rain_streaks(image.copy(), severity, np.random.Generator(np.random.PCG64(seed)))


class TestRain:
    @pytest.mark.parametrize("shape", [(32, 32, 3), (64, 128, 3), (224, 224, 3), (33, 500, 3)])
    def test_sizes(self, rain, shape):
        image = np.full(shape, 90, np.uint8)
        rainy = make_rain(rain, image, 3)
        assert (rainy.shape, rainy.dtype) == (shape, np.uint8)

    def test_it_rains_harder(self, rain, street):
        changes = [
            np.abs(make_rain(rain, street, s) - street.astype(float)).mean() for s in range(1, 6)
        ]
        assert changes == sorted(changes)
        assert 2 < changes[0] < changes[-1] < 80

    def test_streaks_lie_along_the_rain(self, rain):
        """Falling drops change the picture more across than along their way."""
        rainy = make_rain(rain, np.full((256, 256, 3), 60, np.uint8), 4)[..., 1].astype(float)
        across, along = np.abs(np.diff(rainy, axis=1)).mean(), np.abs(np.diff(rainy, axis=0)).mean()
        assert across > 1.5 * along

    def test_the_draw_alone_decides(self, rain, street):
        one, same, other = (make_rain(rain, street, 3, seed) for seed in (1, 1, 2))
        assert (one == same).all()
        assert (one != other).any()


@pytest.mark.parametrize("mode", ["exact", "fast", "reference", "torch"])
def test_every_engine_runs_the_function(rain, street, mode):
    seed = draw_seed("a.png", "rain_streaks", 4, seed=7)
    found = corrupt(street, "rain_streaks", 4, key="a.png", mode=mode, seed=7)
    np.testing.assert_array_equal(found, make_rain(rain, street, 4, seed))


@pytest.mark.usefixtures("own_catalog")
class TestSweep:
    @pytest.fixture(autouse=True)
    def findable(self, example, monkeypatch):
        monkeypatch.syspath_prepend(example.parent)  # as PYTHONPATH=docs/examples does

    def test_from_config_to_report(self, run_sweep, tmp_path):
        folder = run_sweep(tmp_path / "sweep")
        store = CellStore(folder)
        assert {cell.name for cell in store.cells()} == {
            "clean", "rain_streaks-2", "rain_streaks-4", "snow-2", "snow-4", "fog-2", "fog-4",
        }  # fmt: skip
        got = store.provenance()
        assert (got.protocol, got.corruption_mode) == ("rain", "fast")
        assert got.custom_versions == {"rain_streaks": "1"}
        made = make_report([folder], out=tmp_path / "report", partial=True)
        heading = next(line for line in made.text.splitlines() if "Rain streaks" in line)
        assert heading.replace("|", " ").split() == ["Rain", "streaks", "Snow", "Fog"]
        assert "corruptions beside the 19 rain_streaks 1" in made.text
        for name in ("table.csv", "cells.csv", "table.tex", "index.html", "report.md"):
            assert "rain" in (made.folder / name).read_text()

    def test_workers_know_it(self, run_sweep, tmp_path):
        one, two = (
            run_sweep(tmp_path / str(workers), workers=workers, corruptions=["rain_streaks"])
            for workers in (0, 2)
        )
        for cell in RAINY:
            assert CellStore(one).path(cell).read_bytes() == CellStore(two).path(cell).read_bytes()

    def test_another_version_is_another_run(self, run_sweep, tmp_path):
        folder = run_sweep(tmp_path / "a", corruptions=["rain_streaks"])
        record = CellStore(folder).provenance()
        other = dataclasses.replace(record, custom_versions={"rain_streaks": "0"})
        (folder / "run.json").write_bytes(encode_run(other))
        with pytest.raises(ValueError, match=r"custom_versions: there .*'0'.*now .*'1'"):
            run_sweep(folder, corruptions=["rain_streaks"])

    def test_cells_of_another_protocol_join_the_folder(self, run_sweep, tmp_path):
        mode = {"mode": "exact", "severities": [2]}
        folder = run_sweep(tmp_path / "a", protocol="all", corruptions=["fog"], **mode)
        assert CellStore(folder).provenance().custom_versions == {}
        run_sweep(folder, corruptions=["fog", "rain_streaks"], **mode)
        assert CellStore(folder).provenance().custom_versions == {"rain_streaks": "1"}
        assert {cell.name for cell in CellStore(folder).cells()} == {
            "clean", "fog-2", "rain_streaks-2",
        }  # fmt: skip

    def test_a_generated_copy_scores_like_on_the_fly(
        self, run_sweep, run_tool, example, mini_data, tmp_path
    ):
        chosen = {"corruptions": ["rain_streaks", "fog"], "mode": "exact"}
        done = run_tool(
            "generate_corruptions.py", mini_data / "cityscapes", tmp_path / "copy",
            "--layout", "cityscapes", "--protocol", "rain", "--severities", 2, 4, "--workers", 1,
            "--corruptions", *chosen["corruptions"], "--custom-imports", example,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        made = CellStore(run_sweep(tmp_path / "x", corrupted_root=tmp_path / "copy", **chosen))
        live = CellStore(run_sweep(tmp_path / "y", **chosen))
        assert len(live.cells()) == 5
        for cell in live.cells():
            expected = live.read(cell).samples["confusion_matrix"]
            assert (made.read(cell).samples["confusion_matrix"] == expected).all(), cell
        one, other = made.provenance(), live.provenance()
        assert one.corruption_source.startswith("folder:copy (png")
        assert list(one.differences(other)) == ["corruption_source"]
        assert one.custom_versions == other.custom_versions == {"rain_streaks": "1"}

    def test_a_copy_that_says_nothing(self, run_sweep, tmp_path, mini_data):
        clean = mini_data / "cityscapes/leftImg8bit/val"
        for cell in RAINY:
            shutil.copytree(clean, tmp_path / "copy" / cell.corruption / str(cell.severity))
        for path in (tmp_path / "copy").rglob("*.png"):
            path.write_bytes(path.read_bytes() + b"\0")  # no copy byte for byte
        folder = run_sweep(
            tmp_path / "x", corrupted_root=tmp_path / "copy", corruptions=["rain_streaks"]
        )
        assert CellStore(folder).provenance().custom_versions == {"rain_streaks": "unknown"}


def test_without_the_module_the_error_says_what_to_do(own_catalog, run_sweep, config, tmp_path):
    with pytest.raises(ValueError, match="custom_imports: No module named 'rain_streaks'; put the"):
        run_sweep(tmp_path / "x")
    config.write_text(config.read_text().replace("custom_imports", "unused"))
    with pytest.raises(KeyError, match=r"unknown protocol 'rain'.* module with --custom-imports"):
        run_sweep(tmp_path / "x")


def test_the_tools(run_tool, repo_root, example, mini_checkpoint, mini_option_words, tmp_path):
    """Here the config knows nothing of rain: the command line does."""
    mine = ("--custom-imports", example)
    words = (
        repo_root / "configs/seg/stl_fan_t_mini.py", mini_checkpoint, "--protocol", "rain",
        "--corruptions", "rain_streaks", "--severities", "4", "--work-dir", tmp_path / "sweep",
    )  # fmt: skip
    done = run_tool("robustness.py", *words, *mine, "--cfg-options", *mini_option_words)
    assert done.returncode == 0, done.stderr
    assert "2 cell(s)" in done.stderr
    assert (tmp_path / "sweep/cells/rain_streaks-4.npz").is_file()
    done = run_tool("report.py", tmp_path / "sweep", "--partial", *mine)
    assert done.returncode == 0, done.stderr
    assert "Rain streaks" in done.stdout
    done = run_tool("report.py", tmp_path / "sweep", "--partial")
    assert done.returncode == 2
    assert "unknown protocol 'rain'" in done.stderr
    assert "import its module with --custom-imports" in done.stderr
