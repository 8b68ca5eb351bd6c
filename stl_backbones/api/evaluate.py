"""One call from any model and any data to a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from stl_backbones.api.result import Result, load
from stl_backbones.api.words import in_python_words
from stl_backbones.errors import InputError, unknown_name
from stl_backbones.robustness.items import class_names
from stl_backbones.robustness.options import SweepOptions
from stl_backbones.robustness.predicted.find_data import find_data
from stl_backbones.robustness.predicted.find_model import open_model
from stl_backbones.robustness.predicted.given import Given
from stl_backbones.robustness.predicted.source import PredictedSource
from stl_backbones.robustness.progress import show_progress
from stl_backbones.robustness.sources import Source
from stl_backbones.robustness.sweep import sweep
from stl_backbones.run_log import logged_run

_SWEEP = frozenset(SweepOptions.__dataclass_fields__) - {
    "protocol", "corruptions", "severities", "levels", "limit", "name", "task_options",
}  # fmt: skip
# Of a classifier alone.
TASK_OPTIONS = (
    "sets", "imagenet_a", "imagenet_r", "resize_rule", "jpeg85", "allow_missing", "scoring",
)  # fmt: skip


def evaluate(
    model: Any,
    data: Any = None,
    *,
    work_dir: str | Path,
    protocol: str | None = None,
    corruptions: Sequence[str] | Literal["none"] | None = None,
    severities: Sequence[float] | None = None,
    levels: Mapping[str, Sequence[float]] | None = None,
    limit: int | None = None,
    classes: Sequence[str] | str | Path | None = None,
    label_ids: str | Sequence[int] | None = None,
    ids: Sequence[str] | None = None,
    progress: bool | Callable[[Any], None] = True,
    vis_backends: Sequence[str | Mapping[str, Any]] | None = None,
    **said: Any,
) -> Result:
    """Score any model on every cell of a protocol.

    What is finished is kept in ``work_dir``; the same call goes on where a stopped one ended.

    Args:
        model: An ``nn.Module`` in evaluation mode; an object with ``predict(images)``, or such a
            function, see `stl_backbones.Predictor`; or a source: ``'timm:NAME'``,
            ``'torchvision:NAME'``, ``'hf:FOLDER_OR_ID'``, ``'FILE.onnx'``, ``'FILE.py:FUNCTION'``,
            or a config file of mmseg or mmdet with ``checkpoint=FILE``.
        data: A folder of class folders, or of CIFAR's archive; a Cityscapes root; ``(images,
            labels)``, two folders, with ``classes``; ``(annotations.json, images)`` in COCO's
            format; or a sequence of ``(image, truth)`` with ``classes``, such as a torch
            ``Dataset``: the truth is a class index, a label map ``(H, W)``, or a dict with
            ``boxes`` ``(n, 4)`` and ``labels`` ``(n,)``. ``None`` for a config, which names its
            own.
        work_dir: The sweep's folder.
        protocol: Default: ``'imagenet-c'``, ``'stl-cityscapes-c'`` or ``'coco-c'``, by the task.
        corruptions: Only these, compounds such as ``'fog+gaussian_noise'`` too; ``()`` or
            ``'none'``: the clean images alone.
        severities: Only these, 1 to 5; fractions too.
        levels: Corruption -> levels in its unit, ``{"fog_depth": [50, 100]}``, in place of
            severities.
        limit: Only so many images.
        classes: Class names, in the order of the data's labels, where the data have no names;
            of class folders, in the order of the model's results. Or a file, one name a line.
        label_ids: Of label maps: the file's label of each class, or ``'cityscapes'``.
        ids: Of a sequence: the images' ids, of which the corruptions are drawn.
        progress: Whether progress is shown; or a function that gets each
            `stl_backbones.robustness.progress.SweepProgress`.
        vis_backends: Of mmengine, by name (``'TensorboardVisBackend'``) or as settings: they get
            the scores too; default: what a config names.
        **said: Of the model, see `stl_backbones.robustness.predicted.given.Given`: ``name``,
            ``version``, ``model_classes``, ``size``, ``mean``, ``std``, ``model_channel_order``,
            ``preprocess``, ``checkpoint``, ``decoder``, ``providers``, ... Of the sweep, see
            `stl_backbones.robustness.options.SweepOptions`: ``workers``, ``batch_size``, ``mode``,
            ``amp``, ``corrupted_root``, ... To stop early, docs/explanation/stopping.md: ``until``,
            a list such as ``["average >= 0.60"]``, ``alpha``, ``order_seed``; the result's
            ``outcome`` is the verdict. And what the task alone has, as on the command line:
            ``allow_missing``, ``resize_rule``, ``sets``, ...

    Returns:
        The result.

    Raises:
        InputError: If model, data and options do not fit together, or something must be said.
        UnknownNameError: If a name is unknown.
        MissingFileError: If a file or folder is missing.
        MissingPackageError: If a package is not installed.
    """
    _check_apart(work_dir, data)
    corruptions = _named(corruptions)
    with in_python_words(), logged_run("stl_backbones.evaluate"):
        source, asked = find_sweep(
            model, data, said, classes=classes, label_ids=label_ids, ids=ids,
            protocol=protocol or "", corruptions=corruptions, severities=severities,
            levels=levels or {}, limit=limit,
        )  # fmt: skip
        with show_progress(progress) as on_progress:
            outcomes: list[Any] = []
            folder = sweep(
                source, work_dir=work_dir, options=asked, on_progress=on_progress,
                on_outcome=outcomes.append, vis_backends=vis_backends,
            )  # fmt: skip
    result = load(folder)
    result.sweep = source, asked
    result.outcome = next(iter(outcomes), None)
    return result


def find_sweep(
    model: Any,
    data: Any,
    said: Mapping[str, Any],
    *,
    classes: Sequence[str] | str | Path | None = None,
    label_ids: str | Sequence[int] | None = None,
    ids: Sequence[str] | None = None,
    **options: Any,
) -> tuple[Source | PredictedSource, SweepOptions]:
    """The model with its data, and the options of the sweep that arguments of `evaluate` mean.

    Args:
        model: See `evaluate`, as the following.
        data: The data.
        said: What else is said of the model, the sweep and the task.
        classes: Class names.
        label_ids: Of label maps.
        ids: Of a sequence.
        **options: Fields of `SweepOptions`, which ``said`` goes before.

    Raises:
        InputError: If something must be said.
        UnknownNameError: If an argument is unknown.
    """
    given, own, task_options = _sorted_out(said)
    source, more = make_source(
        model, data, given, classes=class_names(classes), label_ids=label_ids, ids=ids
    )
    return source, SweepOptions(**{**options, **own}, task_options={**task_options, **more})


def _named(corruptions: Sequence[str] | None) -> Sequence[str] | None:
    """A list of names; ``'none'``, alone or in it, for no corruption."""
    if isinstance(corruptions, str) and corruptions != "none":
        raise InputError(f"corruptions must be a list of names, or 'none'; got '{corruptions}'")
    if corruptions is not None and "none" in (corruptions, *corruptions):
        if corruptions not in ("none", ["none"], ("none",)):
            raise InputError(f"corruptions 'none' stands alone, got {list(corruptions)}")
        return ()
    return corruptions


def _check_apart(work_dir: str | Path, data: Any) -> None:
    """Refuse results among the data, which would be part of them the next time."""
    if not isinstance(work_dir, str | Path):
        raise InputError(f"work_dir must be a folder for the results, got {work_dir!r}")
    place = Path(work_dir).resolve()
    if place.is_file():
        raise InputError(f"work_dir '{work_dir}' is a file; expected a folder for the results")
    for one in data if isinstance(data, tuple) else (data,):
        if isinstance(one, str | Path) and place.is_relative_to(Path(one).resolve()):
            raise InputError(f"work_dir '{work_dir}' lies in the data '{one}'; choose another")


def _sorted_out(said: Mapping[str, Any]) -> tuple[Given, dict[str, Any], dict[str, Any]]:
    """What is said of the model, of the sweep, and of the task."""
    fields = dict(said)
    names = class_names(fields.pop("model_classes", None))
    order = fields.pop("model_channel_order", None)  # `channel_order` is what corruptions see
    known = Given.__dataclass_fields__.keys()
    own = {name: fields.pop(name) for name in tuple(fields) if name in _SWEEP}
    of_model = {name: fields.pop(name) for name in tuple(fields) if name in known}
    given = Given(**of_model, classes=names, channel_order=order)
    unknown = [name for name in fields if name not in TASK_OPTIONS]
    if unknown:
        raise unknown_name("argument of evaluate", unknown[0], (*known, *_SWEEP, *TASK_OPTIONS))
    return given, own, fields


def make_source(
    model: Any,
    data: Any,
    given: Given,
    *,
    classes: tuple[str, ...] | None = None,
    label_ids: str | Sequence[int] | None = None,
    ids: Sequence[str] | None = None,
) -> tuple[Source | PredictedSource, dict[str, Any]]:
    """The model with its data as a sweep takes them, and the task's options that it needs.

    Args:
        model: See `evaluate`.
        data: See `evaluate`.
        given: What is said of the model.
        classes: See `evaluate`.
        label_ids: See `evaluate`.
        ids: See `evaluate`.

    Raises:
        InputError: If something must be said.
    """
    text = str(model) if isinstance(model, str | Path) else ""
    if text.startswith("timm:"):
        return _timm(text.removeprefix("timm:"), data, given), _view_options(given, classes)
    if text.startswith(("mmseg::", "mmdet::")) or text.endswith((".py", ".yaml", ".json")):
        return _config(text, data, given), _view_options(given, classes)
    if data is None:
        raise InputError("expected data to score the model on; see help(stl_backbones.evaluate)")

    def build(task: str, options: SweepOptions) -> Any:
        return open_model(model, given.of_task(task), options)

    def open_data(options: SweepOptions) -> Any:
        return find_data(data, options, classes=classes, label_ids=label_ids, ids=ids)

    return PredictedSource(build, open_data, classes), {}


def _timm(name: str, data: Any, given: Given) -> Source:
    from stl_backbones.robustness.sources.timm import TimmSource

    if not isinstance(data, str | Path):
        raise InputError(f"timm:{name} is scored on a folder of class folders, got {data!r}")
    return TimmSource(name, given.checkpoint, data_root=data, name=given.name)


def _config(path: str, data: Any, given: Given) -> Source:
    from stl_backbones.robustness.sources.config import ConfigSource

    if given.checkpoint is None:
        raise InputError(f"config '{path}' needs its weights: checkpoint=FILE")
    return ConfigSource(path, given.checkpoint, data_root=data, name=given.name)


def _view_options(given: Given, classes: tuple[str, ...] | None) -> dict[str, Any]:
    """What is said of a timm model, or a config's, as options of its task."""
    said = {
        "input_size": given.size, "crop_pct": given.crop_pct, "mean": given.mean, "std": given.std,
        "interpolation": given.interpolation, "classes": classes,
    }  # fmt: skip
    return {name: value for name, value in said.items() if value is not None}


__all__ = ["evaluate", "find_sweep", "make_source"]
