"""The test data of a config, as it builds them, and versions of their images."""

from __future__ import annotations

import contextlib
import inspect
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import torch
from mmengine.config import Config
from mmengine.dist import get_world_size
from mmengine.registry import DATA_SAMPLERS, DATASETS
from PIL import Image

from stl_backbones.config.data_check import innermost, naming_empty_data
from stl_backbones.config.reading import building, without_import_notes
from stl_backbones.corruptions import MIN_SIDE, apply_corruption
from stl_backbones.corruptions.seeds import check_key
from stl_backbones.datasets.image_list import read_image_list
from stl_backbones.datasets.integrity import (
    check_intact,
    decoded_size,
    find_lost_images,
    image_id,
)
from stl_backbones.errors import InputError
from stl_backbones.records import CLEAN, Cell, CorruptionSpec
from stl_backbones.robustness.corrupted_copy import (
    CorruptedCopy,
    copy_path,
    find_copy,
    refuse_clean_copy,
)
from stl_backbones.robustness.feeding import Put
from stl_backbones.robustness.loaded_image import LoadedImage, Pixels
from stl_backbones.robustness.narrow_labels import NarrowSample
from stl_backbones.robustness.options import SweepOptions
from stl_backbones.robustness.pipeline import ImageLoadedSignal, watch
from stl_backbones.robustness.provenance import data_name
from stl_backbones.robustness.versions import Versions


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
        self.innermost = list(innermost(dataset))
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
        self.copy: CorruptedCopy[Path] | None = None

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
        found = {
            str(path): reason
            for path, info in zip(paths, self.infos, strict=True)
            if (reason := _wrong_with(path, least) or _wrong_with_label(info))
        }
        whole = [index for index, path in enumerate(paths) if str(path) not in found]
        found, self.total = lost | found, self.total + len(lost)
        if found and (not options.skip_broken or not whole):
            hint = "" if options.skip_broken else "; --skip-broken goes on without"
            reason = next(iter(found.values()))
            raise InputError(f"{reason} ({len(found)} of {self.total} images are broken{hint})")
        self.broken |= found
        self.image_root = _one_root(self.roots, [paths[index] for index in whole])
        if options.image_list is not None:
            keys = [image_id(paths[index], self.image_root) for index in whole]
            listed = read_image_list(options.image_list)
            whole = [whole[at] for at in listed.select(keys, self.image_root)]
        whole = whole[: options.limit]
        self.indices = [self.indices[index] for index in whole]
        self.infos = [self.infos[index] for index in whole]
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
        """The data set's name: its folder's, and its class."""
        roots = (root for one in self.innermost for root in _image_roots([one])[-1:])
        names = dict.fromkeys(data_name(root) for root in roots)
        kind = type(self.innermost[0]).__name__.removeprefix("Checked")
        return f"{' and '.join(names)} ({kind})" if names else kind


class DenseVersions(Versions):
    """Items of a data set with the image replaced by its versions.

    Args:
        data: The images.
        options: How they are corrupted.
        device: Where mode ``'torch'`` corrupts them.
    """

    def __init__(self, data: DenseData, options: SweepOptions, *, device: torch.device) -> None:
        super().__init__()
        self.data, self.options, self.device = data, options, str(device)
        self.exchange, self.steps = watch(data.innermost)

    def load(self, index: int) -> Any:
        """Run the pipeline until the image is loaded."""
        loaded = LoadedImage()
        self.exchange.begin(self.data.infos[index]["img_path"], loaded, only_load=True)
        with contextlib.suppress(ImageLoadedSignal):
            self.data.dataset[self.data.indices[index]]
        return loaded

    def pixels(self, index: int) -> Pixels | None:
        """The clean image, as the first step that loads one hands it on."""
        states = self.loaded(index).states.values()
        return next((state.image for state in states), None)

    def pack(self, versions: list[Any]) -> list[NarrowSample]:
        """The items, with narrow label maps."""
        return [NarrowSample.of(version) for version in versions]

    def send(self, packed: list[NarrowSample], put: Put) -> list[Any]:
        """The items as the pipeline made them, image and labels where the model is."""
        return [narrow.sent(put) for narrow in packed]

    def check_steps(self) -> None:
        """Try the pipeline's steps on the first image.

        Raises:
            InputError: If one after the loader opens the image's file by itself.
        """
        path = Path(self.data.infos[0]["img_path"])
        pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if pixels is None:  # no picture of 8 bits; what cannot be corrupted is refused elsewhere
            return
        with tempfile.TemporaryDirectory() as folder:
            self.exchange.decoy = Path(folder) / path.name
            self.exchange.decoy.write_bytes(cv2.imencode(".png", 255 - pixels)[1].tobytes())
            try:
                self.make(0, CLEAN)
            finally:
                self.exchange.decoy = None

    def make(self, index: int, cell: Cell) -> Any:
        """The data set's item with the cell's version of the image."""
        path, key = self.data.infos[index]["img_path"], self.data.keys[index]
        version: dict[str, Any] = {}
        self.shown = Path(path)
        if not cell.is_clean and self.data.copy is not None:
            self.shown = version["file"] = copy_path(self.data.copy.folders[cell], key)
            refuse_clean_copy(version["file"], path)
        elif not cell.is_clean:
            spec = CorruptionSpec(cell.corruption, cell.severity, self.options.engine)
            version["corrupt"] = partial(self._corrupted, spec=spec, key=key)
        self.exchange.begin(path, self._loaded.setdefault(index, LoadedImage()), **version)
        sample = self.data.dataset[self.data.indices[index]]
        if version and not self.exchange.loads:
            names = ", ".join(dict.fromkeys(step.name for step in self.steps))
            raise InputError(
                f"'{path}' cannot be corrupted: no step of the test pipeline loads it into "
                f"results['img'] ({names})"
            )
        return sample

    def _corrupted(self, image: Any, *, spec: CorruptionSpec, key: str) -> Any:
        self.shown = apply_corruption(image, spec, key=key, device=self.device)
        return self.shown


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


def _wrong_with_label(info: Mapping[str, Any]) -> str:
    """What is wrong with an image's label map, where its file is named and there."""
    path = info.get("seg_map_path")
    if not isinstance(path, str) or not Path(path).is_file():
        return ""  # the data set's own steps know
    try:
        check_intact(path)
    except ValueError as error:
        return str(error)
    return ""


def _takes(settings: Mapping[str, Any], name: str) -> bool:
    kind = settings.get("type")
    built = kind if isinstance(kind, type) else DATASETS.get(str(kind))
    return built is not None and name in inspect.signature(built).parameters


__all__ = ["DenseData", "DenseVersions"]
