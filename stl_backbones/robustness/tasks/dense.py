"""Tasks whose data set, pipeline and model a config of mmseg or mmdet states, or one like them.

**For every config, the clean cell equals what the library's own test scores, and a corrupted cell
equals what it scores on a copy of the data set corrupted the same way.** So the data set is taken
as the config builds it, with its own class, ``prepare_data``, label maps and pipeline.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
import warnings
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import (
    METRICS,
    MODELS,
    init_default_scope,
)
from mmengine.runner.amp import autocast

from stl_backbones.config.data_check import check_data
from stl_backbones.config.openmmlab import (
    contiguous_maps,
    scoring_model_config,
    strip_pretrained,
    with_tta,
)
from stl_backbones.config.reading import building, without_import_notes
from stl_backbones.config.variables import move_data_root
from stl_backbones.engine.distributed import Ranks
from stl_backbones.engine.loading import load_model_weights
from stl_backbones.engine.precision import predict_in
from stl_backbones.records import CLEAN, Provenance
from stl_backbones.robustness.dense_data import DenseData, DenseVersions
from stl_backbones.robustness.items import read_image
from stl_backbones.robustness.options import SweepOptions
from stl_backbones.robustness.provenance import (
    OPENMMLAB,
    corruption_fields,
    describe,
    fingerprint,
)
from stl_backbones.robustness.sources.base import (
    DenseModel,
    default_device,
    device_of,
    innermost,
)
from stl_backbones.robustness.tasks.base import Block, Samples, ScoredSet, Task
from stl_backbones.robustness.tasks.shift_data import (
    SHIFT_OPTIONS,
    as_set,
    check_shift_options,
    find_shift_data,
    shift_options,
)


class DenseTask(Task):
    """A task of a config's model on the config's test data.

    Attributes:
        scored: The class of its `ScoredSet`.
    """

    scored: type[DenseSet]
    options: Mapping[str, Any] = {"tta": False, **SHIFT_OPTIONS}

    def resolved(self, options: SweepOptions) -> SweepOptions:
        """The options, checked, with the task's defaults filled in."""
        check_shift_options(options, self.name)
        return super().resolved(options)

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
            model=build_model(config, source.checkpoint, ema=source.ema),
            config_sha256=_config_hash(config),
        )

    def open(self, subject: Any, options: SweepOptions, ranks: Ranks) -> Sequence[ScoredSet]:
        """Build and check the config's test data, and sets of other images."""
        found = ranks.on_each(lambda: list(find_shift_data(options, self.name)))
        made = [self._open(subject, options, ranks)]
        for data in found:
            own = dataclasses.replace(subject, config=data.config(subject.config))
            made.append(as_set(self._open(own, shift_options(options), ranks), data))
        return made

    def _open(self, subject: Any, options: SweepOptions, ranks: Ranks) -> ScoredSet:
        opened = ranks.on_each(
            lambda: self.scored(subject, DenseData.open(subject.config, options), options)
        )
        ranks.on_each(opened.versions.check_steps)
        opened.provenance = ranks.on_main(lambda: opened.describe(self.name))
        return opened


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
        self.device = device_of(self.model)
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
        self.versions = DenseVersions(data, options, device=self.device)
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
            notes=(*self.notes(), *(() if self.data.copy is None else self.data.copy.notes)),
            **corruption_fields(data.copy, options, data.keys),
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

    def score_block(self, block: Block, versions: Sequence[Any]) -> dict[str, Any]:
        """Predict the images, and join what is kept of each."""
        records = [
            self.record(image, sample)
            for image, sample in zip(block, self._predict(versions), strict=True)
        ]
        return {name: _join([record[name] for record in records]) for name in records[0]}

    def collect(self, block: Block, kept: Mapping[str, Any]) -> Samples:
        """Fetch what was left on the model's device."""
        del block
        return {
            name: value.cpu().numpy() if isinstance(value, torch.Tensor) else value
            for name, value in kept.items()
        }

    def seen(self, image: int, versions: Any, pixels: Any) -> Any:
        """The file's pixels, or what was made of them."""
        del image, versions
        return read_image(pixels) if isinstance(pixels, Path) else pixels

    @abstractmethod
    def record(self, image: int, sample: Any) -> dict[str, Any]:
        """What is kept of a predicted image: arrays with a row for it, or one a detection.

        What is still on the model's device may stay there, as tensors, for `collect`.
        """

    def precision(self) -> AbstractContextManager[Any]:
        """The numbers that the model computes in."""
        if self.options.amp is None and self.subject.is_half:
            return autocast()  # as mmengine's test loop
        return predict_in(self.model, self.options.amp)

    def predict_first(self) -> list[Any]:
        """Predict the first image, so that a config that cannot is refused before any work.

        Raises:
            InputError: If pipeline and model of the config do not go together.
        """
        with building("the prediction of the first image", fails="fails"):
            return list(self._predict([self.versions.make(0, CLEAN)]))

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


def build_model(config: Config, checkpoint: str | Path, *, ema: bool = True) -> torch.nn.Module:
    """Build the config's model with a checkpoint's weights, ready to predict.

    Args:
        config: The config.
        checkpoint: A file, or its address.
        ema: Prefer the averaged weights.

    Raises:
        MissingFileError: If the checkpoint is missing.
        InputError: If it does not fit, or the config does not build.
    """
    init_default_scope(config.get("default_scope", "mmengine"))
    with without_import_notes(), building("the model"):
        model = MODELS.build(scoring_model_config(config))
    load_model_weights(innermost(model), checkpoint, ema=ema)
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


def _join(rows: Sequence[Any]) -> Any:
    """Arrays, or tensors, one below the other."""
    return torch.cat(list(rows)) if isinstance(rows[0], torch.Tensor) else np.concatenate(rows)


def _size(version: Any) -> tuple[int, ...] | None:
    """Shape of a version's tensor; ``None`` where it has several, as for test-time augmentation."""
    inputs = version["inputs"]
    return tuple(inputs.shape) if isinstance(inputs, torch.Tensor) else None


__all__ = ["DenseSet", "DenseTask", "build_model"]
