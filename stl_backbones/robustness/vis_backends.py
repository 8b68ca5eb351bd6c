"""The scores of a sweep in TensorBoard, Weights & Biases, MLflow: through mmengine's visualizer."""

from __future__ import annotations

import copy
import math
import re
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import VISBACKENDS, VISUALIZERS
from mmengine.visualization import Visualizer

from stl_backbones.errors import InputError, MissingPackageError, first_sentence, unknown_name

_SCALARS = ("clean", "corrupted", "images_per_second", "seconds_left", "memory_mib",
            "gpu_memory_mib")  # fmt: skip
_NAME = re.compile(r"[^\w\-./ ]")  # what MLflow takes


class VisSink:
    """Hands a run's events to a visualizer of mmengine.

    A finished cell is a number of ``<metric>/<corruption>`` at the step of its severity, the clean
    images' of ``<metric>/<data set>`` at step 0; steps are whole, so a fraction of a severity is in
    the name, ``<metric>/<corruption>-1.5``. Progress is a number at the step of its images.

    Args:
        visualizer: Whose backends write.
    """

    def __init__(self, visualizer: Visualizer) -> None:
        self.visualizer = visualizer

    def __call__(self, event: str, fields: Mapping[str, Any]) -> None:
        """Hand one on."""
        if event == "cell" and fields["score"] is not None:
            name = fields["corruption"] if fields["severity"] else fields["dataset"]
            step = int(fields["severity"])
            name = name if step == fields["severity"] else f"{name}-{fields['severity']:g}"
            self._add({f"{fields['metric']}/{name}": fields["score"]}, step)
        elif event == "progress":
            known = {f"progress/{name}": fields[name] for name in _SCALARS if name in fields}
            self._add(known, fields["done"])
        elif event == "end":
            self.visualizer.close()

    def _add(self, scalars: Mapping[str, float], step: int) -> None:
        for name, value in scalars.items():
            if math.isfinite(value):
                self.visualizer.add_scalar(_NAME.sub("_", name), float(value), step)


def open_sink(
    backends: Sequence[str | Mapping[str, Any]] | None, folder: Path, *, config: Config | None
) -> VisSink | None:
    """What writes the numbers of a sweep, as mmengine's runner would write a training's.

    Args:
        backends: Names, such as ``'TensorboardVisBackend'``, or settings; default: the config's.
        folder: The sweep's, which gets ``vis_data``.
        config: The model's; its ``visualizer`` counts, or else its ``vis_backends``.

    Returns:
        ``None`` where nothing is asked for.

    Raises:
        InputError: If the settings do not fit.
        UnknownNameError: If a backend is unknown.
        MissingPackageError: If a backend's package is not installed.
    """
    given = copy.deepcopy(dict((config or {}).get("visualizer") or {}))
    if backends is not None:
        given = {"vis_backends": backends}
    wanted = given.get("vis_backends") or (config or {}).get("vis_backends")
    if not wanted:
        return None
    asked = [_settings(one) for one in ([wanted] if isinstance(wanted, Mapping) else wanted)]
    settings = {"type": "Visualizer", **given, "vis_backends": asked, "save_dir": str(folder),
                "name": f"sweep-{uuid.uuid4().hex}"}  # fmt: skip
    scope = (config or {}).get("default_scope") or "mmengine"
    with VISUALIZERS.switch_scope_and_registry(scope) as registry:
        for one in asked:
            kind = one.get("type")
            if isinstance(kind, str) and (not kind or VISBACKENDS.get(kind) is None):
                raise unknown_name("vis backend", kind, VISBACKENDS.module_dict)
        try:
            visualizer: Visualizer = registry.build(settings)
            for name in visualizer._vis_backends:
                visualizer.get_backend(name).experiment  # noqa: B018  imports its package
            about = Config() if config is None else copy.deepcopy(config)
            about.work_dir = str(folder)  # from which MLflow's takes files in the end
            visualizer.add_config(about)
        except ImportError as error:
            raise MissingPackageError(f"vis_backends: {first_sentence(error)}") from error
        except Exception as error:  # whatever a backend raises of its settings or its server
            raise InputError(f"vis_backends cannot be opened: {first_sentence(error)}") from error
    return VisSink(visualizer)


def _settings(backend: Any) -> dict[str, Any]:
    if not isinstance(backend, str | Mapping):
        raise InputError(f"vis_backends must be names or settings, got {backend!r}")
    return {"type": backend} if isinstance(backend, str) else dict(backend)


__all__ = ["VisSink", "open_sink"]
