"""Every command of README and docs is read by its own parser; what can run on mini data runs."""

import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from faults.bad_commands import find_parser, options_of
from faults.forkserver import ForkServer
from faults.material import prepare_material
from faults.sweeps import write_sweep
from stl_backbones.cli.started import COMMANDS
from stl_backbones.corruptions import get_protocol
from tests.documentation.commands import ALL, PAGES, ROOT, blocks

WITH_COMMANDS = sorted({command.page for command in ALL})
TIMEOUT = 300
SMALL = ("--workers", "0", "--limit", "2", "--mode", "fast")

# What is read and not run, and why: a part of the command -> the reason.
NOT_RUN = {
    "--preset ": "fetches weights",
    "mmseg::": "held by tests/robustness/test_external_models.py",
    "mmdet::": "held by tests/robustness/test_external_models.py",
    "hf:": "held by tests/robustness/predicted/test_transformers.py",
    "--decoder": "held by tests/robustness/predicted/test_onnx_decoders.py",
    "$OWN": "labels of one's own: tests/training/test_own_data.py",
    "depth_": "tests/equivalence/test_depth_example.py",
    "sweep_depth": "tests/equivalence/test_depth_example.py",
    "released.pth.tar": "a released file",
    "--help": "tests/tools/test_command_line.py",
    "--until": "tests/robustness/test_stopping.py; verdicts on the whole protocol",
    "--require 'mpc": "tests/report/test_detection_tables.py; a detector's whole protocol",
    "--shard": "one share of four: tests/copies/test_run.py",
    "--tta": "tests/equivalence/test_segmentation.py",
    "--quantise": "tests/onnx_export/test_smaller.py",
    "r50": "files of the line before",
    "swin_t_cascade": "fetches weights: tests/configs/test_detection_rows.py",
    "timm_classifier": "tests/training/test_timm_training.py",
    "sweeps/float": "sweeps of the lines before",
    "work_dirs/convnext-t": "the sweep of a preset",
    "sweeps/convnext-t": "the sweep of a preset",
    "sweeps/segformer-b0": "the sweep of a preset",
    "--imagenet-a": "held by tests/robustness/test_classification_sweep.py",
    "--depth": "distances are not here: tests/corruptions/driving/test_depth.py",
    "--sets": "held by tests of sets of other images; their archives are not here",
    "--published": "the sweep of the line before, of a network that is fetched",
    "--image-list": "RobustBench's list, and a network that is fetched",
    "--real-labels": "ReaL's file is not here: tests/report/test_shifts.py",
    "bundle": "tests/report/test_bundles.py; whole sweeps",
    "CIFAR-10-C": "its files are not here: tests/robustness/test_array_copy.py",
    "imagenet-3dcc": "its files are not here: tests/robustness/test_names_on_disk.py",
    "lite0": "a real network and its images",
    "weather.csv": "tests/report/test_slices.py; a file that names a reader's images",
    "work_dirs/fan_b --by class:person": "a class that untrained weights lose nothing of",
}


def reason_not_to_run(command):
    if command.launched:
        return "several processes: tests/hosts, tests/training/test_two_processes.py"
    return next((why for part, why in NOT_RUN.items() if part in command.text), None)


@pytest.mark.parametrize("page", WITH_COMMANDS)
def test_commands_are_read_by_their_parsers(page):
    for command in [one for one in ALL if one.page == page]:
        if command.tool is None:
            check_other(command)
            continue
        words, _, behind = " ".join(command.words[2:]).partition(" -- ")
        own = list(command.words[2:])
        own = own[: own.index("--")] if "--" in own else own
        if own != ["--help"]:
            find_parser(command.tool).parse_intermixed_args(own)
        if behind:
            find_parser("robustness.py").parse_intermixed_args(behind.split())
        for name in re.findall(r"stl_backbones::(\S+)", " ".join(command.words)):
            assert (ROOT / f"configs/{name}.py").is_file(), command
        for path in re.findall(r"docs/\S+\.py", words):
            assert (ROOT / path).is_file(), command


def check_other(command):
    """A command of another program: what it names is there."""
    program, *words = command.words
    if program == "make":
        assert re.search(rf"^{words[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), command
    elif program == "pip":
        extras = re.findall(r"\.\[([\w,-]+)\]", command.text)
        assert all(f'"{extra}": ' in (ROOT / "setup.py").read_text() for extra in extras), command
    elif program in ("bash", "python"):
        module = words[0] == "-m"
        path = ROOT / (f"{words[1].replace('.', '/')}/__main__.py" if module else words[0])
        text = path.read_text()
        assert all(word in text for word in words[1:] if word.startswith("--")), command
    elif program == "sbatch":
        given = {*re.findall(r"([A-Z]+)=", words[0])} - {"WORK"}
        text = (ROOT / words[1]).read_text()
        assert given
        assert all(f"${{{name}:?" in text for name in given), command
    else:
        assert command.text in (
            "source .venv/bin/activate", 'eval "$(stl completion bash)"', "stl --help",
        ), command  # fmt: skip


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_in_the_text_have_the_options(path):
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)
    for name, words in re.findall(r"`stl ([a-z][a-z-]+)([^`]*)`", text):
        assert name in {*COMMANDS, "completion", "warm-up"}, (path, name)
        for option in re.findall(r"--[a-z][\w-]+", words.partition(" -- ")[0]):
            assert option in options_of(f"{COMMANDS[name]}.py"), (path, name, option)


def test_reasons_are_used():
    assert [part for part in NOT_RUN if not any(part in command.text for command in ALL)] == []


@pytest.fixture(scope="module")
def server():
    with ForkServer() as started:
        yield started


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """Data as `/data/...`, networks of each task with drawn weights, a photo."""
    made = prepare_material(tmp_path_factory.mktemp("reader"))
    data = made.root / "reader"
    shutil.copytree(made.classes, data / "imagenet/val")
    shutil.copytree(made.classes, data / "imagenet/train")
    (data / "cityscapes").symlink_to(made.data / "cityscapes")
    (data / "coco").symlink_to(made.data / "coco")
    noise = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    Image.fromarray(noise).save(made.root / "photo.jpg")
    return made


@pytest.fixture(scope="module")
def run(server):
    """Run a tool in a folder, as ``python tools/NAME.py`` would; fails with what it printed."""

    def start(tool, words, folder, codes=(0,)):
        running = server.start([ROOT / "tools" / tool, *words], folder=folder)
        code = running.wait(TIMEOUT)
        assert code in codes, (tool, words, running.output()[-3000:])

    return start


@pytest.fixture(scope="module")
def finished(material, run):
    """Whole sweeps `1`, `2`, `3` of no network, for reports; `seen`, of a mini network."""
    cells = get_protocol("stl-cityscapes-c").cells()[1:]
    for name in "123":
        write_sweep(material.root / name, cells=cells, model=name, classes=("road", "person"))
    words = [*material.segmenter(), "--work-dir", material.root / "seen", *SMALL,
             "--corruptions", "fog", "snow", "--severities", "3", "5"]  # fmt: skip
    run("robustness.py", words, material.root)
    return material.root


class Reader:
    """A reader's words -> words that fit mini data.

    Args:
        material: The data and weights.
        finished: The folder of finished sweeps.
        folder: Where the reader is.
    """

    def __init__(self, material, finished, folder):
        self.material, self.finished, self.folder = material, finished, folder
        (folder / "docs").symlink_to(ROOT / "docs")
        (folder / "photo.jpg").symlink_to(material.root / "photo.jpg")
        (folder / "photos").symlink_to(material.classes)
        (folder / "my_models.py").write_text(
            "def build():\n    return lambda images: [list(map(float, range(10)))] * len(images)\n"
        )

    def words(self, command):
        words = [self._place(word) for word in command.words[2:]]
        return getattr(self, command.tool.removesuffix(".py"))(words)

    def _place(self, word):
        if word.startswith("/data/"):
            wanted = self.material.root / "reader" / word.removeprefix("/data/")
            return str(wanted if wanted.exists() else self.folder / word.removeprefix("/data/"))
        return word

    def report(self, words):
        """Whole sweeps, where the page before has made none, or not all cells."""
        options = next((at for at, word in enumerate(words) if word[0] == "-"), len(words))
        for at in range(options):
            if "--paper" in words or not (self.folder / words[at] / "run.json").is_file():
                words[at] = str(self.finished / str(at + 1))
        return words if "--resamples" in words else [*words, "--resamples", "20"]

    def show_failures(self, words):
        if not (self.folder / words[0] / "run.json").is_file():
            words[0] = str(self.finished / "seen")
        if "--" in words:
            words = [*words[: words.index("--") + 1], *self.material.segmenter(), *SMALL]
        return words

    def robustness(self, words):
        words = self._model(words)
        own = {word for word in words if word.startswith("--")}
        if "--list-presets" in own:
            return words
        words += ["--workers", "0", *([] if "--limit" in own else ["--limit", "2"])]
        if not own & {"--corruptions", "--clean-only", "--protocol"}:
            words += ["--corruptions", "fog"]
        return words if own & {"--severities", "--clean-only"} else [*words, "--severities", "1"]

    def generate_corruptions(self, words):
        if "--verify" in words:
            return words
        more = [] if "--corruptions" in words else ["--corruptions", "fog"]
        return [*words, *more, "--severities", "1", "--limit", "2", "--workers", "1"]

    def show_corruptions(self, words):
        return words

    def make_mini_data(self, words):
        return [*words, "--train", "2", "--val", "1", "--size", "128x64"]

    def export_onnx(self, words):
        size = words.index("--size")
        words = [*words[: size + 1], "64", "64", *words[size + 3 :]]
        if "::" in words[0]:
            return [self._config(words[0])[0], str(self._config(words[0])[1]), *words[2:]]
        words[0] = words[0].replace("base_16", "tiny_8")
        return [words[0], *words[2:]]  # drawn weights

    def train(self, words):
        return self._run(words, "max_iters=2", "warmup_iters=1", "val_interval=2")

    def test(self, words):
        return self._run([words[0], *words[2:]], checkpoint=True)

    def pretrain(self, words):
        kind = "student" if "student" in words[0] else "labeler"
        words = [*words[: words.index("--cfg-options")]] if "--cfg-options" in words else words
        config = ROOT / f"configs/cls/stl_fan_t_mini_{kind}.py"
        return [str(config), *words[1:], "--cfg-options",
                *self.material.pretraining_options(kind)]  # fmt: skip

    def visualize_token_labels(self, words):
        return [str(self.material.weights("labeler")), *words[1:], "--label", "0"]

    def _run(self, words, *options, checkpoint=False):
        config, weights, chosen = self._config(words[0])
        if "det/" in words[0]:
            options = () if checkpoint else ("max_epochs=1", "val_interval=1")
        words = words[: words.index("--cfg-options")] if "--cfg-options" in words else words
        return [config, *([str(weights)] if checkpoint else []), *words[1:], "--cfg-options",
                *chosen, *options]  # fmt: skip

    def _model(self, words):
        """Config and weights of the mini model of the same task."""
        if words[0] == "--timm":
            words[1] = "resnet10t"
            return [*words, "--checkpoint", str(self.material.weights("classifier")),
                    "--input-size", "64", "--allow-missing"]  # fmt: skip
        if words[0].startswith("-"):
            return words
        if "::cls/" in words[0]:
            config = ROOT / "configs/cls/stl_fan_t_mini_labeler.py"
            return [str(config), str(self.material.weights("labeler")), *words[2:],
                    "--allow-missing", "--cfg-options", "num_workers=0"]  # fmt: skip
        config, weights, chosen = self._config(words[0])
        return [config, str(weights), *words[2:], "--cfg-options", *chosen]

    def _config(self, name):
        material = self.material
        kind = "detector" if "det/" in name else "segmenter"
        config, weights, _, *options = getattr(material, kind)()
        return config, weights, options


RUNNABLE = [
    page
    for page in WITH_COMMANDS
    if any(one.tool and not reason_not_to_run(one) for one in ALL if one.page == page)
]
QUICK = ("README.md",)


@pytest.mark.parametrize(
    "page", [pytest.param(p, marks=() if p in QUICK else pytest.mark.slow) for p in RUNNABLE]
)
def test_commands_run_on_mini_data(page, material, finished, run, tmp_path):
    reader = Reader(material, finished, tmp_path)
    for command in [one for one in ALL if one.page == page and one.tool]:
        if reason_not_to_run(command) is None:
            gates = "--require" in command.text
            run(command.tool, reader.words(command), tmp_path, codes=(0, 1) if gates else (0,))


@pytest.mark.parametrize("diff", blocks(ROOT / "docs/contributing/adding.md", "diff"))
def test_diffs_still_apply(diff):
    git = ["git", "apply", "--check", "-C1", "-"]
    done = subprocess.run(git, input=diff, cwd=ROOT, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
