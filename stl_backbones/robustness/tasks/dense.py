"""Tasks whose data set, pipeline and model a config of mmseg or mmdet states, or one like them.

**For every config, the clean cell equals what the library's own test scores, and a corrupted cell
equals what it scores on a copy of the data set corrupted the same way.** So the data set is taken
as the config builds it, with its own class, ``prepare_data``, label maps and pipeline.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import io
import json
import warnings
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.dist import get_world_size
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import (
    DATA_SAMPLERS,
    DATASETS,
    METRICS,
    MODELS,
    init_default_scope,
)
from mmengine.runner.amp import autocast
from PIL import Image

from stl_backbones.config.data_check import check_data, naming_empty_data
from stl_backbones.config.data_check import innermost as innermost_data
from stl_backbones.config.openmmlab import (
    contiguous_maps,
    scoring_model_config,
    strip_pretrained,
    with_tta,
)
from stl_backbones.config.reading import building, without_import_notes
from stl_backbones.config.variables import move_data_root
from stl_backbones.corruptions import MIN_SIDE, apply_corruption
from stl_backbones.corruptions.seeds import check_key
from stl_backbones.datasets.integrity import (
    check_intact,
    decoded_size,
    find_lost_images,
    image_id,
)
from stl_backbones.engine.distributed import Ranks
from stl_backbones.engine.loading import load_model_weights
from stl_backbones.engine.precision import predict_in
from stl_backbones.errors import InputError
from stl_backbones.models.hashing import file_sha256
from stl_backbones.records import Cell, CorruptionSpec, Provenance
from stl_backbones.robustness.corrupted_copy import (
    CorruptedCopy,
    copy_path,
    find_copy,
    refuse_clean_copy,
)
from stl_backbones.robustness.options import SweepOptions
from stl_backbones.robustness.pipeline import ImageLoadedSignal, watch
from stl_backbones.robustness.provenance import (
    OPENMMLAB,
    corruption_fields,
    describe,
    fingerprint,
)
from stl_backbones.robustness.sources.base import DenseModel, default_device, innermost
from stl_backbones.robustness.tasks.base import Samples, ScoredSet, Task
from stl_backbones.robustness.versions import Versions


class DenseTask(Task):
    """A task of a config's model on the config's test data.

    Attributes:
        scored: The class of its `ScoredSet`.
    """

    scored: type[DenseSet]
    options: Mapping[str, Any] = {"tta": False}

    def from_config(self, source: Any, options: SweepOptions) -> DenseModel:
        """Build the config's model with the checkpoint's weights, ready to predict."""
        config = source.config
        if source.data_root is not None:
            move_data_root(config, source.data_root, uses=("test",))
        if options.task_options.get("tta"):
            config = with_tta(config)
        return DenseModel(
            name=source.name,
            config=config,
            model=build_model(config, source.checkpoint),
            config_sha256=_config_hash(config),
            checkpoint_sha256=file_sha256(source.checkpoint),
        )

    def open(self, subject: Any, options: SweepOptions, ranks: Ranks) -> Sequence[ScoredSet]:
        """Build and check the config's test data."""
        opened = ranks.on_each(
            lambda: self.scored(subject, DenseData.open(subject.config, options), options)
        )
        opened.provenance = ranks.on_main(lambda: opened.describe(self.name))
        return [opened]


class DenseData:
    """The images of a config's test data set.

    Attributes:
        dataset: The built data set, as the config states it.
        innermost: The data sets inside of what wraps it.
        indices: The images that are scored, as indices of ``dataset``.
        infos: What the data set says of each.
        all_infos: What it says of every image.
        keys: Their ids.
        image_root: The clean image folder.
        skipped: Ids of broken images left out.
        total: Images before a limit and before leaving out.
        copy: The corrupted copy that is read.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        self.innermost = list(innermost_data(dataset))
        if not hasattr(dataset, "get_data_info"):
            raise InputError(
                f"the test data set {type(dataset).__name__} says nothing of its images: expected "
                "a data set of mmengine's, with get_data_info and a pipeline"
            )
        self.all_infos = [dataset.get_data_info(index) for index in range(len(dataset))]
        self.infos = self.all_infos
        self.indices = list(range(len(dataset)))
        self.roots = _image_roots(self.innermost)
        self.broken = dict(getattr(self.innermost[0], "skipped", {}))
        self.total = len(self.indices) + len(self.broken)
        self.copy: CorruptedCopy | None = None

    @classmethod
    def open(cls, config: Config, options: SweepOptions) -> DenseData:
        """Build and check the config's test data.

        Raises:
            MissingFileError: If something named is missing.
            InputError: If there is no data set, or it is broken.
        """
        settings = dict((config.get("test_dataloader") or {}).get("dataset") or {})
        if not settings:
            raise InputError("the config has no test_dataloader, so nothing to score")
        with without_import_notes(), building("the test data set"), naming_empty_data():
            if options.skip_broken and _takes(settings, "skip_broken"):
                settings["skip_broken"] = True
            data = cls(DATASETS.build(settings))
        _check_sampler(config.test_dataloader.get("sampler"), data.dataset)
        data._check(options)
        return data

    def _check(self, options: SweepOptions) -> None:
        cells = options.cells()
        corrupted = [cell for cell in cells if not cell.is_clean]
        paths = [self._path(info) for info in self.infos]
        least = MIN_SIDE if corrupted and options.corrupted_root is None else 1
        for dataset in self.innermost:
            _check_listed(self.infos, dataset)
        lost = {} if self.broken else _find_lost(self.innermost)
        found = {str(path): reason for path in paths if (reason := _wrong_with(path, least))}
        whole = [index for index, path in enumerate(paths) if str(path) not in found]
        found, self.total = lost | found, self.total + len(lost)
        if found and (not options.skip_broken or not whole):
            hint = "" if options.skip_broken else "; --skip-broken goes on without"
            reason = next(iter(found.values()))
            raise InputError(f"{reason} ({len(found)} of {self.total} images are broken{hint})")
        self.broken |= found
        whole = whole[: options.limit]
        self.indices = [self.indices[index] for index in whole]
        self.infos = [self.infos[index] for index in whole]
        self.image_root = _one_root(self.roots, [paths[index] for index in whole])
        self.keys = tuple(image_id(paths[index], self.image_root) for index in whole)
        for key in self.keys:
            check_key(key)
        if len(set(self.keys)) < len(self.keys):
            twice = next(key for key in self.keys if self.keys.count(key) > 1)
            raise InputError(f"the test data set holds '{twice}' twice; expected each image once")
        if options.corrupted_root is not None:
            self.copy = find_copy(
                options.corrupted_root, corrupted, self.keys, image_root=self.image_root
            )

    def _path(self, info: Mapping[str, Any]) -> Path:
        path = info.get("img_path")
        if not isinstance(path, str):
            raise InputError(
                f"the test data set {type(self.innermost[0]).__name__} names no image file: "
                f"expected 'img_path' in its items, got {', '.join(map(str, info))}"
            )
        return Path(path)

    @property
    def skipped(self) -> tuple[str, ...]:
        """Ids of broken images left out."""
        return tuple(image_id(path, self.image_root) for path in self.broken)

    @property
    def title(self) -> str:
        """The data set's name: its class."""
        return type(self.innermost[0]).__name__.removeprefix("Checked")


class DenseVersions(Versions):
    """Items of a data set with the image replaced by its versions.

    Args:
        data: The images.
        options: How they are corrupted.
    """

    def __init__(self, data: DenseData, options: SweepOptions) -> None:
        super().__init__()
        self.data, self.options = data, options
        self.exchange, self.steps = watch(data.innermost)

    def load(self, index: int) -> Any:
        """Run the pipeline until the image is loaded."""
        states: dict[int, Any] = {}
        self.exchange.begin(self.data.infos[index]["img_path"], states, only_load=True)
        with contextlib.suppress(ImageLoadedSignal):
            self.data.dataset[self.data.indices[index]]
        return states

    def make(self, index: int, cell: Cell) -> Any:
        """The data set's item with the cell's version of the image."""
        path, key = self.data.infos[index]["img_path"], self.data.keys[index]
        version: dict[str, Any] = {}
        if not cell.is_clean and self.data.copy is not None:
            version["file"] = copy_path(self.data.copy.folders[cell], key)
            refuse_clean_copy(version["file"], path)
        elif not cell.is_clean:
            spec = CorruptionSpec(cell.corruption, cell.severity, self.options.engine)
            version["corrupt"] = partial(apply_corruption, spec=spec, key=key)
        self.exchange.begin(path, self._loaded.setdefault(index, {}), **version)
        sample = self.data.dataset[self.data.indices[index]]
        if version and not self.exchange.loads:
            names = ", ".join(dict.fromkeys(step.name for step in self.steps))
            raise InputError(
                f"'{path}' cannot be corrupted: no step of the test pipeline loads it into "
                f"results['img'] ({names})"
            )
        return sample


class DenseSet(ScoredSet):
    """A config's model on the config's test data.

    Args:
        subject: The model.
        data: Its images.
        options: Resolved options.
    """

    versions: DenseVersions

    def __init__(self, subject: DenseModel, data: DenseData, options: SweepOptions) -> None:
        self.subject, self.data, self.options = subject, data, options
        self.model, self.cells, self.keys = subject.model, options.cells(), data.keys
        self.title, self.is_on_the_fly = data.title, data.copy is None
        stated: Any = subject.config.get("test_evaluator") or []
        self.stated_evaluators = list(stated) if isinstance(stated, list | tuple) else [stated]
        with (
            contextlib.redirect_stdout(io.StringIO()),
            warnings.catch_warnings(),
            building("the test evaluator"),
        ):
            # mmdet says so of its other metric, and means its own optional extra.
            warnings.filterwarnings("ignore", message="faster_coco_eval is not installed")
            self.evaluators = [METRICS.build(settings) for settings in self.stated_evaluators]
        self.check_model()
        self.versions = DenseVersions(data, options)
        self.classes = self.find_classes()
        self.check()

    def describe(self, task: str) -> Provenance:
        """What is measured, and how."""
        data, subject, options = self.data, self.subject, self.options
        return describe(
            options,
            libraries=OPENMMLAB,
            task=task,
            model=options.name or subject.name,
            dataset=data.title,
            dataset_fingerprint=fingerprint(list(self.files())),
            num_images=len(data.keys),
            num_images_total=data.total,
            skipped=data.skipped,
            classes=self.classes,
            config_sha256=subject.config_sha256,
            checkpoint_sha256=subject.checkpoint_sha256,
            inference=", ".join([*self.inference(), *subject.extras(options)]),
            parameters=subject.parameters,
            encoder_parameters=subject.encoder_parameters,
            notes=tuple(self.notes()),
            **corruption_fields(None if data.copy is None else data.copy.manifest, options),
        )

    def find_classes(self) -> tuple[str, ...]:
        """The class names."""
        return tuple((self.data.dataset.metainfo or {}).get("classes") or ())

    def check_model(self) -> None:
        """Refuse a model that does not fit the data, before the pipeline is touched.

        Raises:
            InputError: If it does not.
        """

    def check_classes(self) -> None:
        """Refuse a model of other classes than the data's; for `check_model`."""
        check_data(self.model, self.data.dataset, split="test", metrics=self.evaluators)

    def check(self) -> None:
        """Refuse what the pipeline makes of the data; it is ready to be run.

        Raises:
            InputError: If it does not fit.
        """

    def notes(self) -> Iterator[str]:
        """Sentences that every table must print."""
        yield from ()

    def inference(self) -> Iterator[str]:
        """How the model predicts, in words."""
        yield "whole"

    def files(self) -> Iterator[tuple[str, Path]]:
        """Images and truth that are scored, named independently of where they lie."""
        for info, key in zip(self.data.infos, self.keys, strict=True):
            yield key, Path(info["img_path"])
            label = info.get("seg_map_path")
            if label is not None and Path(label).is_file():
                yield f"{key} label", Path(label)

    def score_block(self, block: range, versions: Sequence[Any]) -> Samples:
        """Predict the images, and join what is kept of each."""
        records = [
            self.record(image, sample)
            for image, sample in zip(block, self._predict(versions), strict=True)
        ]
        return {name: np.concatenate([record[name] for record in records]) for name in records[0]}

    @abstractmethod
    def record(self, image: int, sample: Any) -> Samples:
        """What is kept of a predicted image: arrays with a row for it, or one a detection."""

    def precision(self) -> AbstractContextManager[Any]:
        """The numbers that the model computes in."""
        if self.options.amp is None and self.subject.is_half:
            return autocast()  # as mmengine's test loop
        return predict_in(self.model, self.options.amp)

    def _predict(self, versions: Sequence[Any]) -> Iterator[Any]:
        """Predict images of one size together."""
        start = 0
        while start < len(versions):
            size = _size(versions[start])
            stop = start + 1
            while stop < len(versions) and size is not None and _size(versions[stop]) == size:
                stop += 1
            yield from self._predict_batch(versions[start:stop])
            start = stop

    def _predict_batch(self, versions: Sequence[Any]) -> Sequence[Any]:
        with torch.inference_mode(), self.precision(), warnings.catch_warnings():
            # mmdet's mask head, on its own code
            warnings.filterwarnings("ignore", message="To copy construct from a tensor")
            return self.model.test_step(pseudo_collate(versions))


def build_model(config: Config, checkpoint: str | Path) -> torch.nn.Module:
    """Build the config's model with a checkpoint's weights, ready to predict.

    Raises:
        MissingFileError: If the checkpoint is missing.
        InputError: If it does not fit, or the config does not build.
    """
    init_default_scope(config.get("default_scope", "mmengine"))
    with without_import_notes(), building("the model"):
        model = MODELS.build(scoring_model_config(config))
    load_model_weights(innermost(model), checkpoint)
    contiguous_maps(model)
    return revert_sync_batchnorm(model).to(default_device()).eval()


def _config_hash(config: Config) -> str:
    """Hash of what decides predictions: model and test pipeline, not where files lie."""
    dataset = (config.get("test_dataloader") or {}).get("dataset") or {}
    resolved: dict[str, Any] = {
        "model": strip_pretrained(config.model.to_dict()),
        "pipeline": _pipelines(dataset),
    }
    text = json.dumps(resolved, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _pipelines(dataset: Mapping[str, Any]) -> Any:
    """The pipeline of a data set's settings, or those of the data sets inside."""
    if "dataset" in dataset:
        return _pipelines(dataset["dataset"])
    if "datasets" in dataset:
        return [_pipelines(part) for part in dataset["datasets"]]
    return dataset.get("pipeline")


def _image_roots(datasets: Sequence[Any]) -> list[Path]:
    """Folders that images may lie in, as the data sets name them."""
    roots = []
    for dataset in datasets:
        prefixes = getattr(dataset, "data_prefix", None) or {}
        roots += [
            Path(folder) for folder in prefixes.values() if isinstance(folder, str) and folder
        ]
        if getattr(dataset, "data_root", None):
            roots.append(Path(dataset.data_root))
    return roots


def _one_root(roots: Sequence[Path], paths: Sequence[Path]) -> Path | None:
    """The deepest of the folders that holds all images."""
    fitting = [root for root in roots if all(path.is_relative_to(root) for path in paths)]
    return max(fitting, key=lambda root: len(root.parts), default=None)


def _check_sampler(settings: Any, dataset: Any) -> None:
    """Refuse a sampler of the config's that leaves images out, or takes some twice."""
    if not isinstance(settings, Mapping) or get_world_size() > 1:  # each process has a share then
        return
    with building("the test sampler"):
        sampler = DATA_SAMPLERS.build(dict(settings), default_args={"dataset": dataset, "seed": 0})
    given = sorted(sampler)
    if given != list(range(len(dataset))):
        raise InputError(
            f"test_dataloader.sampler {type(sampler).__name__} gives {len(set(given))} of the "
            f"{len(dataset)} images; expected each once, so take DefaultSampler and --limit"
        )


def _check_listed(infos: Sequence[Mapping[str, Any]], dataset: Any) -> None:
    """Refuse a list of images that leads out of the folders of images and labels."""
    source = getattr(dataset, "ann_file", "")
    prefixes = getattr(dataset, "data_prefix", None) or {}
    for info in infos if source else ():
        for kind, folder in prefixes.items():
            path = Path(info.get(kind) or "")
            if folder and path.name and (not path.is_relative_to(folder) or ".." in path.parts):
                raise InputError(
                    f"'{source}' lists '{path}', which leads out of the folder '{folder}'"
                )


def _find_lost(datasets: Sequence[Any]) -> dict[str, str]:
    """Label maps without an image, by the image's path."""
    lost: dict[str, str] = {}
    for dataset in datasets:
        if getattr(dataset, "data_prefix", None):
            lost |= find_lost_images(dataset)
    return lost


def _wrong_with(path: Path, least: int) -> str:
    """What is wrong with an image file; empty if nothing, or if it is no picture at all."""
    try:
        check_intact(path)
        if path.suffix.lower() not in Image.registered_extensions():
            return ""  # the data set's own loader knows
        width, height = decoded_size(path)
    except (ValueError, OSError) as error:
        return str(error)
    if min(width, height) < least:
        return f"'{path}' is {width}x{height}; expected sides of at least {least} pixels to corrupt"
    return ""


def _takes(settings: Mapping[str, Any], name: str) -> bool:
    kind = settings.get("type")
    built = kind if isinstance(kind, type) else DATASETS.get(str(kind))
    return built is not None and name in inspect.signature(built).parameters


def _size(version: Any) -> tuple[int, ...] | None:
    """Shape of a version's tensor; ``None`` where it has several, as for test-time augmentation."""
    inputs = version["inputs"]
    return tuple(inputs.shape) if isinstance(inputs, torch.Tensor) else None


__all__ = ["DenseData", "DenseSet", "DenseTask", "DenseVersions"]
