"""What a sweep is asked for, and the images that it scores."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DATASETS

from stl_backbones.config.openmmlab import innermost_dataset
from stl_backbones.config.reading import building, without_import_notes
from stl_backbones.copies import ManifestHeader, read_header
from stl_backbones.corruptions import MIN_SIDE, get_protocol
from stl_backbones.corruptions.seeds import check_key
from stl_backbones.datasets.integrity import (
    decoded_size,
    drop_broken_pairs,
    find_lost_images,
    image_id,
)
from stl_backbones.errors import InputError
from stl_backbones.records import Cell, CorruptionEngine
from stl_backbones.robustness.pipelines import prepare_pipeline
from stl_backbones.robustness.versions import ImageVariants, find_corrupted_folders

DEFAULT_PROTOCOLS = {
    "segmentation": "stl-cityscapes-c",
    "detection": "coco-c",
    "classification": "imagenet-c",
}
_IMAGE_PREFIX = {"segmentation": "img_path", "detection": "img"}  # what the libraries call it


@dataclass(frozen=True)
class SweepOptions:
    """What to sweep, beside model and data.

    Attributes:
        protocol: The protocol's name; empty for the task's own, see `DEFAULT_PROTOCOLS`.
        corruptions: Only these of the protocol's corruptions.
        severities: Only these severities.
        limit: Only the first images of the data set.
        corrupted_root: Read corrupted images from here instead of making them.
        mode: The corruption engine; ``None`` takes the protocol's default: ``'exact'`` where
            numbers by it are published, ``'fast'`` elsewhere.
        compat: The package whose numbers ``mode='exact'`` repeats.
        channel_order: What the corruption sees, ``'rgb'`` or ``'bgr'``.
        seed: Another seed, another draw of the benchmark.
        skip_broken: Leave out broken images instead of refusing the data set.
        name: The model's name in tables; default: the config's name.
        workers: Processes that load and corrupt ahead of the model.
        batch_size: Images of a batch, at most, and of what a killed run loses. Only images of one
            size share a batch.
        amp: Compute in bfloat16; of a detector, backbone and neck.
        tta: Predict with test-time augmentation, as OpenMMLab's ``tools/test.py --tta``.
    """

    protocol: str = ""
    corruptions: Sequence[str] | None = None
    severities: Sequence[int] | None = None
    limit: int | None = None
    corrupted_root: str | Path | None = None
    mode: str | None = None
    compat: str = "imaug-1.1.5"
    channel_order: str = "rgb"
    seed: int = 0
    skip_broken: bool = False
    name: str | None = None
    workers: int = 1
    batch_size: int | None = None
    amp: bool = False
    tta: bool = False

    def settled(self, task: str) -> SweepOptions:
        """The same options, checked, with the defaults of task and protocol filled in.

        Args:
            task: ``'segmentation'``, ``'detection'`` or ``'classification'``.

        Raises:
            ValueError: If an option is out of range or unknown.
            KeyError: If the protocol is unknown.
        """
        protocol = self.protocol or DEFAULT_PROTOCOLS[task]
        mode = self.mode or get_protocol(protocol).default_mode
        CorruptionEngine(mode, self.compat, self.channel_order)  # refuses what is unknown
        batch_size = 1 if self.batch_size is None else self.batch_size
        for name, value, least in (
            ("limit", self.limit, 1), ("batch size", batch_size, 1), ("workers", self.workers, 0),
        ):  # fmt: skip
            if value is not None and value < least:
                raise InputError(f"{name} must be at least {least}, got {value}")
        return dataclasses.replace(self, protocol=protocol, mode=mode, batch_size=batch_size)

    @property
    def engine(self) -> CorruptionEngine:
        """How images are corrupted, once the options are settled."""
        return CorruptionEngine(str(self.mode), self.compat, self.channel_order, self.seed)

    def cells(self) -> tuple[Cell, ...]:
        """The cells to measure, clean first.

        Raises:
            ValueError: If none remains.
            KeyError: If the protocol or a corruption is unknown.
        """
        return get_protocol(self.protocol).cells(
            corruptions=self.corruptions, severities=self.severities
        )


@dataclass(frozen=True)
class SweepData:
    """The images of a sweep, checked.

    Attributes:
        dataset: The built data set; its pipeline is empty.
        loading: The pipeline up to the step that loads the image.
        rest: The pipeline after it.
        indices: The images that are scored.
        keys: Their ids.
        image_root: The clean image folder.
        skipped: Ids of broken images left out.
        total: Images before a limit and before leaving out.
        corrupted: Folder per cell of a corrupted copy.
        manifest: What the copy says of itself; ``None`` if nothing.
    """

    dataset: Any
    loading: Compose
    rest: Compose
    indices: tuple[int, ...]
    keys: tuple[str, ...]
    image_root: str | None
    skipped: tuple[str, ...]
    total: int
    corrupted: Mapping[Cell, Path] | None
    manifest: ManifestHeader | None

    @classmethod
    def open(
        cls,
        config: Config,
        cells: Sequence[Cell],
        options: SweepOptions,
        *,
        task: str,
    ) -> SweepData:
        """Build and check the config's test data.

        Args:
            config: Its ``test_dataloader`` names them.
            cells: The cells that are scored.
            options: Settled options.
            task: ``'segmentation'`` or ``'detection'``.

        Raises:
            FileNotFoundError: If something named is missing.
            ValueError: If there is no data set, it is none of the task, or it is broken.
        """
        settings = innermost_dataset(config).to_dict()
        loading, rest = prepare_pipeline(settings["pipeline"], task=task)
        if task == "detection":
            settings = as_checked_coco(settings)
        if "skip_broken" in settings or "Checked" in str(settings.get("type")):
            settings["skip_broken"] = options.skip_broken
        with without_import_notes(), building("the data set"):
            dataset = DATASETS.build({**settings, "pipeline": [], "test_mode": True})
            steps = Compose(loading), Compose(rest)
        if task == "detection" and not hasattr(dataset, "cat_ids"):
            raise InputError(
                f"expected a data set in COCO's format, got {type(dataset).__name__}; "
                "give the config a test_dataloader.dataset of type CocoDataset"
            )
        items = [dataset.get_data_info(index) for index in range(len(dataset))]
        root = dataset.data_prefix.get(_IMAGE_PREFIX[task])
        if task == "segmentation" and dataset.ann_file:
            _check_listed(items, dataset.data_prefix, dataset.ann_file)
        broken = dict(getattr(dataset, "skipped", {}))
        total = len(items) + len(broken)
        whole = list(range(len(items)))
        if task == "segmentation":
            lost = {} if broken else find_lost_images(dataset)
            whole, found = drop_broken_pairs(items, skip_broken=options.skip_broken, lost=lost)
            broken |= found
            total += len(lost)
        if options.corrupted_root is None and any(not cell.is_clean for cell in cells):
            whole, found = _drop_small(items, whole, skip_broken=options.skip_broken)
            broken |= found
        indices = tuple(whole[: options.limit])
        keys = tuple(image_id(items[index]["img_path"], root) for index in indices)
        for key in keys:
            check_key(key)
        corrupted, manifest = None, None
        if options.corrupted_root is not None:
            cells = [cell for cell in cells if not cell.is_clean]
            corrupted = find_corrupted_folders(options.corrupted_root, cells, keys, image_root=root)
            manifest = read_manifest(options.corrupted_root, corrupted)
        skipped = tuple(image_id(path, root) for path in broken)
        return cls(dataset, *steps, indices, keys, root, skipped, total, corrupted, manifest)

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names."""
        return tuple(self.dataset.metainfo["classes"])

    def files(self, task: str) -> Iterator[tuple[str, Path]]:
        """Images and truth that are scored, named independently of where they lie."""
        for info, key in zip(self.infos, self.keys, strict=True):
            yield key, Path(info["img_path"])
            if task == "segmentation":
                yield f"{key} label", Path(info["seg_map_path"])
        if task == "detection":
            yield "annotations", Path(self.dataset.ann_file)

    @property
    def infos(self) -> list[dict[str, Any]]:
        """What the data set says of each image that is scored."""
        return [self.dataset.get_data_info(index) for index in self.indices]

    def variants(self, engine: CorruptionEngine) -> ImageVariants:
        """The versions of the images.

        Args:
            engine: See `SweepOptions.engine`.
        """
        return ImageVariants(
            self.dataset,
            loading=self.loading,
            rest=self.rest,
            indices=self.indices,
            image_root=self.image_root,
            engine=engine,
            corrupted=self.corrupted,
        )


def _check_listed(
    items: Sequence[Mapping[str, Any]], folders: Mapping[str, str | None], source: str
) -> None:
    """Refuse a list of images that leads out of the folders of images and labels.

    Raises:
        ValueError: If it does.
    """
    for item in items:
        for kind, folder in folders.items():
            path = Path(item.get(kind) or "")
            if folder and path.name and (not path.is_relative_to(folder) or ".." in path.parts):
                raise InputError(
                    f"'{source}' lists '{path}', which leads out of the folder '{folder}'"
                )


def _drop_small(
    items: Sequence[Mapping[str, Any]], whole: Sequence[int], *, skip_broken: bool
) -> tuple[list[int], dict[str, str]]:
    """The images that are large enough to be corrupted, and what is wrong with the others."""
    large, small = [], {}
    for index in whole:
        path = items[index]["img_path"]
        width, height = decoded_size(path)
        if min(width, height) >= MIN_SIDE:
            large.append(index)
        else:
            small[path] = (
                f"'{path}' is {width}x{height}; expected sides of at least {MIN_SIDE} pixels to "
                "corrupt"
            )
    if small and (not skip_broken or not large):
        hint = "" if skip_broken else "; --skip-broken goes on without"
        raise InputError(
            f"{next(iter(small.values()))} ({len(small)} of {len(items)} images are broken{hint})"
        )
    return large, small


def as_checked_coco(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of mmdet's plain COCO data set, for the one that checks what it reads."""
    if str(settings.get("type")).rpartition(".")[2] != "CocoDataset":
        return settings
    return {**settings, "type": "stl_backbones.CheckedCocoDataset"}


def read_manifest(root: str | Path, cells: Iterable[Cell]) -> ManifestHeader | None:
    """What a corrupted copy says of itself; ``None`` if nothing.

    Args:
        root: The copy.
        cells: Those that are read from it.

    Raises:
        ValueError: If the manifest is damaged, or does not list a cell: then it says nothing of
            how that was made.
    """
    try:
        manifest = read_header(Path(root))
    except FileNotFoundError:  # made by another tool
        return None
    for cell in cells:
        if cell.severity not in manifest.cells.get(cell.corruption, ()):
            raise InputError(
                f"the manifest of '{root}' does not list cell '{cell.name}', whose folder is "
                "there: was it made by another tool? Give it a folder of its own"
            )
    return manifest
