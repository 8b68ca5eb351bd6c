"""Wrong configs, and wrong changes of right ones, for the tools that take them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from faults.bad_input import BadInput
from faults.forkserver import ROOT
from faults.material import Material

GROUP = "configs"
SEGMENTATION = ROOT / "configs/seg/stl_fan_t_mini.py"
DETECTION = ROOT / "configs/det/stl_fan_t_cascade_mask_rcnn_mini.py"
LABELER = ROOT / "configs/cls/stl_fan_t_mini_labeler.py"
STUDENT = ROOT / "configs/cls/stl_fan_t_mini_student.py"
_BRIEF = ("--corruptions", "contrast", "--severities", "1")
_OLD_STYLE = """
model = dict(type='EncoderDecoder', backbone=dict(type='ResNetV1c'))
data = dict(samples_per_gpu=2, train=dict(type='CityscapesDataset', data_root='data/cityscapes'))
optimizer = dict(type='SGD', lr=0.01)
runner = dict(type='IterBasedRunner', max_iters=80000)
"""

# What is wrong -> text of the file, and what the line must say. {base} stands for the right config.
_UNREADABLE: dict[str, tuple[str, str]] = {
    "a base that is missing": ('_base_ = ["nosuch.py"]', "nosuch.py"),
    "a base of a library that is none": ('_base_ = "mmcls::resnet.py"', "mmcls"),
    "a base that mmseg has not": ('_base_ = "mmseg::nosuch.py"', "nosuch"),
    "a base that is itself": ('_base_ = ["{own}"]', "circle"),
    "a base that is a number": ("_base_ = 3", "_base_"),
    "two bases that state the same": ('_base_ = ["{base}", "{base}"]', "duplicate key"),
    "a syntax error": ("model = dict(", "'(' was never closed"),
    "an indentation error": ("a = 1\n  b = 2", "indent"),
    "a name that is not defined": ("model = dict(type=nosuch)", "name 'nosuch' is not defined"),
    "a division by zero": ("x = 1 / 0", "division by zero"),
    "an assertion": ("assert False, 'four GPUs'", "four GPUs"),
    "an error of its own": ("raise Exception('of its own')", "of its own"),
    "an import that fails": ("import nosuchmodule\nnosuchmodule.x()", "a module that is not there"),
    "an exit": ("import sys\nsys.exit(0)", "exit"),
    "endless recursion": ("def f():\n    return f()\nx = f()", "circle"),
    "no text": ("", "model"),
    "a null byte": ("model = 3\0", "null byte"),
    "no UTF-8": ("x = '\udcff'", "utf-8"),
    "a table where a list was": (
        '_base_ = ["{base}"]\ntrain_pipeline = dict(a=1)\n'
        "test_dataloader = dict(dataset=dict(pipeline=dict(a=1)))", "pipeline"),
    "a deletion of the model": ('_base_ = ["{base}"]\nmodel = dict(_delete_=True)', "model"),
    "no model": ('_base_ = ["{base}"]\nmodel = None', "with a model"),
    "a text for a model": ('_base_ = ["{base}"]\nmodel = "FAN"', "model"),
    "a list for a model": ('_base_ = ["{base}"]\nmodel = [1, 2]', "model"),
    "a number for custom_imports": ('_base_ = ["{base}"]\ncustom_imports = 3', "custom_imports"),
    "custom_imports of nothing known": (
        '_base_ = ["{base}"]\ncustom_imports = dict(imports=["nosuchmodule"])', "nosuchmodule"),
    "a text for the test data": ('_base_ = ["{base}"]\ntest_dataloader = "val"',
                                 "test_dataloader"),
    "a default scope that is none": ('_base_ = ["{base}"]\ndefault_scope = "mmnone"', "mmnone"),
    "a config of mmseg 0.x": (_OLD_STYLE, "OpenMMLab 1"),
}  # fmt: skip

# What is wrong -> lines that follow the right config's, and what the line must say.
_UNFIT: dict[str, tuple[str, str]] = {
    "an unknown model": ("model = dict(type='NoSuchModel')", "NoSuchModel"),
    "an unknown backbone": ("model = dict(backbone=dict(type='NoSuch'))", "NoSuch"),
    "an unknown head": ("model = dict(decode_head=dict(type='NoSuch'))", "NoSuch"),
    "a misspelt argument": ("model = dict(backbone=dict(drop_path_rat=0.1))", "drop_path_rat"),
    "a text for a number": ("model = dict(decode_head=dict(channels='many'))", "model"),
    "negative channels": ("model = dict(decode_head=dict(channels=-8))", "model"),
    "a number for a part": ("model = dict(decode_head=None)", "model"),
    "another number of classes": ("model = dict(decode_head=dict(num_classes=5))", "conv_seg"),
    "a type that is a list": ("model = dict(type=['a'])", "model"),
    "an unknown loss": ("model = dict(decode_head=dict(loss_decode=dict(type='No')))", "No"),
    "an unknown preprocessor": ("model = dict(data_preprocessor=dict(type='No'))", "No"),
    "no test data": ("test_dataloader = None", "test_dataloader"),
    "an unknown data set": ("test_dataloader = dict(dataset=dict(type='NoData'))", "NoData"),
    "a data set of another kind": (
        "test_dataloader = dict(dataset=dict(_delete_=True, type='mmdet.CocoDataset', "
        "ann_file='a.json', pipeline=[dict(type='LoadImageFromFile'), dict(type='Resize')]))",
        "a.json"),
    "a misspelt argument of the data": ("test_dataloader = dict(dataset=dict(rooot=1))", "rooot"),
    "other classes": (
        "test_dataloader = dict(dataset=dict(metainfo=dict(classes=('a', 'b'))))",
        "new classes ('a', 'b')"),
    "an unknown step": (
        "test_dataloader = dict(dataset=dict(pipeline=[dict(type='LoadImageFromFile'), "
        "dict(type='Resize'), dict(type='NoSuchStep')]))", "NoSuchStep"),
    "a step without type": (
        "test_dataloader = dict(dataset=dict(pipeline=[dict(type='LoadImageFromFile'), "
        "dict(type='Resize'), dict(a=1)]))", "must contain the key"),
    "no steps": ("test_dataloader = dict(dataset=dict(pipeline=[]))", "pipeline"),
    "no list of steps": ("test_dataloader = dict(dataset=dict(pipeline=None))", "packs no sample"),
    "a misspelt argument of a step": (
        "test_dataloader = dict(dataset=dict(pipeline=[dict(type='LoadImageFromFile', too=1), "
        "dict(type='Resize'), dict(type='PackSegInputs')]))", "too"),
    "a window smaller than its stride": (
        "model = dict(test_cfg=dict(mode='slide', crop_size=(64, 64), stride=(96, 96)))",
        "must not exceed the crop"),
    "a window without sizes": ("model = dict(test_cfg=dict(mode='slide'))", "lacks stride"),
    "an unknown mode": ("model = dict(test_cfg=dict(mode='tile'))", "tile"),
    "a mean of four channels": (
        "model = dict(data_preprocessor=dict(mean=[0, 0, 0, 0], std=[1, 1, 1, 1]))", "mean"),
}  # fmt: skip

_TRAINING: dict[str, tuple[str, str]] = {
    "no training data": ("train_dataloader = None", "train_dataloader"),
    "no optimizer": ("optim_wrapper = None", "optim_wrapper"),
    "an unknown optimizer": ("optim_wrapper = dict(optimizer=dict(type='NoSuch'))", "NoSuch"),
    "a misspelt rate": ("optim_wrapper = dict(optimizer=dict(learning_rate=1))", "learning_rate"),
    "a negative rate": ("optim_wrapper = dict(optimizer=dict(lr=-1.0))", "learning rate"),
    "a schedule that is none": (
        "param_scheduler = [dict(type='LinearLR'), dict(type='NoSuch', begin=1)]", "NoSuch"),
    "a schedule of the past": (
        "param_scheduler = [dict(type='LinearLR', begin=9), dict(type='LinearLR', begin=1)]",
        "begins at 9 and ends at 1"),
    "an unknown loop": ("train_cfg = dict(type='NoSuchLoop')", "NoSuchLoop"),
    "two lengths": ("train_cfg = dict(max_epochs=3)", "max_epochs"),
    "an unknown hook": ("custom_hooks = [dict(type='NoSuchHook')]", "NoSuchHook"),
    "a hook that takes nothing such": ("default_hooks = dict(checkpoint=dict(intervall=3))",
                                       "intervall"),
    "an unknown metric": ("val_evaluator = dict(type='NoSuchMetric')", "NoSuchMetric"),
    "an unknown visualizer": ("visualizer = dict(type='NoSuch')", "NoSuch"),
    "an unknown start method": ("env_cfg = dict(mp_cfg=dict(mp_start_method='no'))", "'no'"),
    "an unknown log level": ("log_level = 'LOUD'", "LOUD"),
    "a seed below zero": ("randomness = dict(seed=-1)", "seed"),
    "a text for a seed": ("randomness = dict(seed='one')", "one"),
    "weights that are missing": ("load_from = '/nosuch.pth'", "/nosuch.pth"),
    "a work folder below a file": ("work_dir = '/proc/version/x'", "/proc/version"),
    "mixed precision of CUDA": ("optim_wrapper = dict(type='AmpOptimWrapper')", "GPU"),
    "an initialisation that is missing": (
        "model = dict(backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='/nosuch.pth')))",
        "/nosuch.pth"),
    "an unknown initialisation": (
        "model = dict(backbone=dict(init_cfg=dict(type='NoSuchInit')))", "NoSuchInit"),
    "an unknown batch sampler": ("train_dataloader = dict(sampler=dict(type='NoSuch'))", "NoSuch"),
    "a misspelt argument of the loader": ("train_dataloader = dict(batchsize=3)", "batchsize"),
}  # fmt: skip

# Changes of a right config: words of --cfg-options, and what the line must say.
_CHANGES: dict[str, tuple[tuple[str, str], ...]] = {
    "train.py": (
        ("batch_size=0", "batch_size"), ("batch_size=-1", "batch_size"),
        ("batch_size=many", "batch_size"), ("num_workers=-1", "num_workers"),
        ("max_iters=0", "max_iters"), ("max_iters=-5", "max_iters"), ("max_iters=2.5", "max_iters"),
        ("val_interval=0", "val_interval"), ("crop_size=(0,0)", "crop"), ("crop_size=64", "crop"),
        ("img_scale=(0,0)", "scale"), ("img_scale=wide", "scale"), ("lr=-1", "learning rate"),
        ("lr=fast", "lr"), ("lr=nan", "lr"), ("warmup_iters=99", "begins at 99 and ends at 4"),
        ("pretrained=/nosuch.pth", "/nosuch.pth"), ("randomness.sed=3", "did you mean"),
        ("env_cfg.nosuch=3", "nosuch"), ("env_cfg.mp_cfg.nosuch=3", "nosuch"),
        ("default_hooks.nosuch=3", "hook"), ("optim_wrapper.paramwise_cfg.nosuch=3", "nosuch"),
        ("optim_wrapper.nosuch=3", "nosuch"), ("train_cfg.nosuch=3", "nosuch"),
        ("train_dataloader.nosuch=3", "nosuch"), ("model.backbone.nosuch=3", "nosuch"),
        ("model.nosuch.deep=3", "nosuch"), ("linked_options.lr=3", "linked_options"),
        ("optim_wrapper.type=AmpOptimWrapper", "GPU"), ("launcher=pytorch", "launcher"),
        ("param_scheduler.5.end=3", "must be 0..1"), ("model=3", "model"),
        ("crop_size=(64,64", "brackets"),
        ("crop_size=[64,64)", "crop_size"), ("val_cfg=None", "val"),
    ),
    "robustness.py": (
        ("img_scale=(0,0)", "scale"), ("img_scale=(-128,64)", "scale"),
        ("img_scale=3", "sides must be at least 32"),
        ("img_scale=None", "scale"), ("test_dataloader.dataset.nosuch=1", "nosuch"),
        ("model.test_cfg.nosuch=1", "nosuch"),
        ("model.decode_head.num_classes=0", "conv_seg"), ("data_root=", "data-root"),
        ("model.decode_head.in_channels=None", "model"), ("img_scale=(128,64),x", "scale"),
    ),
    "pretrain.py": (
        ("model.arch=huge", "huge"), ("num_classes=3", "classes"),
        ("accumulate=0", "accumulative_counts"), ("epochs=1", "begins at 1 and ends at 1"),
        ("epochs=-1", "max_epochs"),
        ("warmup_epochs=9", "begins at 9"), ("drop_path_rate=2", "drop_path_rate"),
        ("batch_size=0", "batch_size"), ("batch_size=100000", "100000"), ("lr=nan", "lr"),
        ("seed=-1", "seed"), ("init=/nosuch.pth", "/nosuch.pth"),
        ("model.data_preprocessor.mixup_alpha=-1", "mixup"),
        ("model.data_preprocessor.erase_prob=2", "erase"),
        ("train_dataloader.dataset.pipeline.0.size=0", "size"),
        ("optim_wrapper.type=AmpOptimWrapper", "GPU"),
    ),
}  # fmt: skip


def cases(material: Material, folder: Path) -> Iterator[BadInput]:
    """All of them."""
    folder.mkdir(parents=True, exist_ok=True)
    yield from _files(material, folder)
    yield from _texts(material, folder)
    yield from _changes(material, folder)
    yield from _other_tasks(material, folder)


def _robustness(
    material: Material, config: Path, work_dir: Path, *, options: bool = True
) -> list[str]:
    """The command line that scores the segmenter by a config."""
    words = ["tools/robustness.py", str(config), str(material.weights("segmenter"))]
    words += ["--work-dir", str(work_dir), *_BRIEF]
    return [*words, "--cfg-options", *material.segmentation_options()] if options else words


def _train(material: Material, config: Path, work_dir: Path) -> list[str]:
    options = [*material.segmentation_options(), "max_iters=4", "warmup_iters=1", "val_interval=4"]
    return ["tools/train.py", str(config), "--work-dir", str(work_dir), "--cfg-options", *options]


def _pretrain(material: Material, work_dir: Path) -> list[str]:
    options = material.pretraining_options("labeler")
    return ["tools/pretrain.py", str(LABELER), "--work-dir", str(work_dir), "--cfg-options",
            *options]  # fmt: skip


def _files(material: Material, folder: Path) -> Iterator[BadInput]:
    """What is no config at all, and configs in other formats."""
    files: dict[str, tuple[str, bytes, str]] = {
        "bytes": ("bytes.py", bytes(range(256)), "bytes.py"),
        "a text file": ("config.txt", b"model = 3\n", ".py"),
        "no ending": ("config", b"model = 3\n", ".py"),
        "broken JSON": ("broken.json", b'{"model": ', "broken.json"),
        "broken YAML": ("broken.yaml", b"a: [1, 2\nb: }", "broken.yaml"),
        "a list in JSON": ("list.json", b"[1, 2]", "list.json"),
        "a name with a dot": ("two.dots.py", b"model = None\n", "model"),
    }
    for name, (file, content, says) in files.items():
        path, run = folder / file, folder / f"run_{file}"
        path.write_bytes(content)
        words = _robustness(material, path, run, options=False)
        yield BadInput(GROUP, f"robustness.py, {name}", words, (says,), untouched=(run,))
    weights = str(material.weights("segmenter"))
    for number, name in enumerate(("train.py", "test.py", "pretrain.py", "robustness.py")):
        words = [f"tools/{name}", str(folder), "--work-dir", str(folder / f"folder_{number}")]
        words += [weights] if name in ("test.py", "robustness.py") else []
        untouched = (folder / f"folder_{number}",)
        yield BadInput(GROUP, f"{name}, a folder", words, ("a folder",), untouched=untouched)
    for ending, text in (("json", '{{"_base_": "{}"}}'), ("yaml", '_base_: "{}"\n')):
        path, run = folder / f"right.{ending}", folder / f"right_{ending}"
        path.write_text(text.format(SEGMENTATION))

        def is_scored(run: Path = run) -> None:
            assert (run / "cells/contrast-1.npz").is_file(), "no cell"

        yield BadInput(
            GROUP, f"robustness.py, a config in {ending} is scored",
            _robustness(material, path, run), code=0, check=is_scored,
        )  # fmt: skip


def _texts(material: Material, folder: Path) -> Iterator[BadInput]:
    kinds = {"read": _UNREADABLE, "built": _UNFIT, "trained": _TRAINING}
    for kind, table in kinds.items():
        for number, (name, (text, says)) in enumerate(table.items()):
            config, run = folder / f"{kind}_{number}.py", folder / f"run_{kind}_{number}"
            filled = text.replace("{base}", str(SEGMENTATION)).replace("{own}", config.name)
            if kind != "read":
                filled = f'_base_ = ["{SEGMENTATION}"]\n{filled}\n'
            config.write_text(filled, encoding="utf-8", errors="surrogateescape")
            if kind == "trained":
                words, left = _train(material, config, run), (run / "last_checkpoint",)
                if "work_dir" in text:
                    words = [word for word in words if word not in ("--work-dir", str(run))]
            else:
                options = kind == "built"
                words, left = _robustness(material, config, run, options=options), (run,)
            tool = Path(words[0]).name
            yield BadInput(GROUP, f"{tool}, {name}", words, (says,), untouched=left)
    first, second = folder / "first.py", folder / "second.py"
    first.write_text('_base_ = ["second.py"]\n')
    second.write_text('_base_ = ["first.py"]\n')
    yield BadInput(
        GROUP, "train.py, two that are each other's base",
        ["tools/train.py", str(first), "--work-dir", str(folder / "circle")], ("circle",),
        untouched=(folder / "circle",),
    )  # fmt: skip


def _changes(material: Material, folder: Path) -> Iterator[BadInput]:
    for tool, changes in _CHANGES.items():
        for number, (change, says) in enumerate(changes):
            run = folder / f"{tool}_{number}"
            words = {
                "train.py": lambda run=run: _train(material, SEGMENTATION, run),
                "robustness.py": lambda run=run: _robustness(material, SEGMENTATION, run),
                "pretrain.py": lambda run=run: _pretrain(material, run),
            }[tool]()
            name = change.partition("=")[0]
            words = [word for word in words if not word.startswith(f"{name}=")]
            scored = tool == "robustness.py"
            left = (run / "cells/clean.npz",) if scored else (run / "last_checkpoint",)
            yield BadInput(GROUP, f"{tool}, {change}", [*words, change], (says,), untouched=left)


def _other_tasks(material: Material, folder: Path) -> Iterator[BadInput]:
    """Right configs, given to a tool of another task or with another's words."""
    weights = {kind: str(material.weights(kind)) for kind in ("segmenter", "detector", "labeler")}
    run = str(folder / "other")
    detection = ["--cfg-options", *material.detection_options()]
    table: dict[str, tuple[list[object], str]] = {
        "robustness.py, a base file": (
            ["robustness.py", ROOT / "configs/_base_/default_runtime.py", weights["segmenter"]],
            "a config with a model"),
        "robustness.py, a detector asked for no kind": (
            ["robustness.py", DETECTION, weights["detector"], *detection,
             "test_evaluator.metric=recall"], "recall"),
        "robustness.py, a detector of other classes": (
            ["robustness.py", DETECTION, weights["detector"], *detection, "classes=('a','b')"],
            "of another shape"),
        "robustness.py, a detector's annotations are missing": (
            ["robustness.py", DETECTION, weights["detector"], *detection, "val_ann=nosuch.json"],
            "nosuch.json"),
        "robustness.py, a detector of no scale": (
            ["robustness.py", DETECTION, weights["detector"], *detection, "img_scale=(0,0)"],
            "scale"),
        "robustness.py, a detector's masks are not augmented": (
            ["robustness.py", DETECTION, weights["detector"], *detection, "--tta"], "masks"),
        "robustness.py, a classifier of three classes": (
            ["robustness.py", LABELER, weights["labeler"], "--cfg-options",
             *material.pretraining_options("labeler"), "num_classes=3"], "num_classes"),
        "robustness.py, a classifier's pipeline of training": (
            ["robustness.py", LABELER, weights["labeler"], "--cfg-options",
             f"data_root={material.data / 'imagenet'}",
             "test_dataloader.dataset.pipeline=[dict(type='PackViews')]"], "list of dict"),
        "robustness.py, --scoring of a segmenter": (
            ["robustness.py", *material.segmenter(), "--scoring", "cls"],
            "not an option of segmentation"),
        "export_onnx.py, a config that is missing": (
            ["export_onnx.py", "nosuch.py", weights["segmenter"], folder / "x.onnx",
             "--size", 64, 64], "'nosuch.py' does not exist"),
        "export_onnx.py, an unknown option": (
            ["export_onnx.py", SEGMENTATION, weights["segmenter"], folder / "x.onnx",
             "--size", 64, 64, "--cfg-options", "crop_siz=3"], "did you mean"),
        "pretrain.py, a student whose labeler is missing": (
            ["pretrain.py", STUDENT, "--cfg-options", *material.pretraining_options("student"),
             "labeler=/nosuch.pth"], "/nosuch.pth"),
        "pretrain.py, a student of other classes": (
            ["pretrain.py", STUDENT, "--cfg-options", *material.pretraining_options("student"),
             "num_classes=3"], "classes"),
    }  # fmt: skip
    takes_work_dir = ("train.py", "test.py", "pretrain.py", "robustness.py")
    for name, (given, says) in table.items():
        tool, *words = map(str, given)
        place = ["--work-dir", f"{run}_{len(name)}_{tool}"] if tool in takes_work_dir else []
        left = [Path(place[1]) / "last_checkpoint", Path(place[1]) / "run.json"] if place else []
        left.append(folder / "x.onnx")
        yield BadInput(GROUP, name, [f"tools/{tool}", *place, *words], (says,), untouched=left)
