"""What every run through mmengine's runner needs: its processes, its folder, its checkpoint."""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.logging import MMLogger
from mmengine.registry import DATASETS
from mmengine.runner import Runner

from stl_backbones.config.settings import without_unused
from stl_backbones.config.walk import innermost_datasets, parts
from stl_backbones.engine.checkpointing import write_whole_files
from stl_backbones.engine.distributed import check_own_gpu, start_distributed
from stl_backbones.engine.safe_loaders import install_safe_loaders
from stl_backbones.errors import InputError
from stl_backbones.results.lock import locked

# What mmengine logs that a person at the terminal does not wait for: dumps by how they begin, notes
# on its own parts and on single parameters by what they contain.
_FOR_THE_FILE = (
    "System environment:", "Config:", "Hooks will be executed", "Distributed training is not used",
    "paramwise_",
)  # fmt: skip
_NOTES = (
    "since its requires_grad=False", '"FileClient" will be deprecated',
    '"HardDiskBackend" is the alias',
)  # fmt: skip


@contextmanager
def work_folder_held(config: Config, on_start: Callable[[], object] | None) -> Iterator[None]:
    """Hold the work folder: one run at a time.

    Args:
        config: Names the folder.
        on_start: Called on the main process once it is held: from then on the run can be resumed.

    Raises:
        HeldError: If another process runs in it.
    """
    with ExitStack() as stack:
        if is_main_process():
            stack.enter_context(locked(config.work_dir))
            if on_start is not None:
                on_start()
        yield


def prepare_run(
    config: Config,
    config_path: str | Path,
    *,
    work_dir: str | Path | None,
    launcher: str,
    uses: Sequence[str],
    skip_broken: bool = False,
) -> None:
    """Join the launcher's processes and make the config fit them and its work folder.

    Raises:
        ValueError: If the launcher did not start this process, the work folder is read-only, or
            processes that train share a GPU.
    """
    start_distributed(launcher)
    if "train" in uses:
        check_own_gpu()
    install_safe_loaders()
    write_whole_files()
    config.launcher = launcher
    config.work_dir = str(work_dir or config.get("work_dir") or default_work_dir(config_path))
    Path(config.work_dir).mkdir(parents=True, exist_ok=True)
    if not os.access(config.work_dir, os.W_OK):
        raise InputError(f"work folder '{config.work_dir}' is not writable")
    saving = config.get("default_hooks", {}).get("checkpoint")
    if saving and saving.type == "CheckpointHook":
        saving.type = "stl_backbones.SafeCheckpointHook"
    if launcher != "none" and not torch.cuda.is_available():
        config.model_wrapper_cfg = {"type": "stl_backbones.CPUDistributedDataParallel"}
        for part in parts(config.model):
            if part.get("type") == "SyncBN":
                part["type"] = "BN"  # SyncBN needs GPUs: each process norms its own share
    for loader in filter(None, (config.get(f"{split}_dataloader") for split in uses)):
        if not torch.cuda.is_available():
            loader.pin_memory = False  # torch warns about it without a GPU
        if skip_broken:
            _skip_broken(loader.dataset, config.get("default_scope"))


def build_runner(config: Config, uses: Sequence[str]) -> Runner:
    """Build mmengine's runner of the splits in use; an incomplete loop of another does not matter.

    The whole config is kept beside the run, so that other tools can take it from there.
    """
    used = deepcopy(config)
    for name in config.keys() - without_unused(config, uses).keys():
        used.pop(name)
    runner = _QuietRunner.from_cfg(used)
    runner.cfg.update({name: config[name] for name in config.keys() - used.keys()})
    runner.dump_config()
    runner.logger.info(f"environment, config and all messages: {runner._log_dir}")
    return runner


def _skip_broken(settings: Any, scope: str | None) -> None:
    """Have data sets leave out broken images, or refuse those that cannot."""
    for dataset in innermost_datasets(settings):
        with DATASETS.switch_scope_and_registry(scope) as registry:
            kind = dataset.type if isinstance(dataset.type, type) else registry.get(dataset.type)
        if kind is not None and "skip_broken" not in inspect.signature(kind).parameters:
            raise InputError(
                f"--skip-broken: {kind.__name__} cannot leave out images; those that can are "
                "CheckedCityscapesDataset and CheckedCocoDataset of stl_backbones"
            )
        dataset.skip_broken = True


def default_work_dir(config_path: str | Path) -> Path:
    """OpenMMLab's default: ``work_dirs/<config name>``."""
    return Path("work_dirs") / Path(config_path).stem


class _QuietRunner(Runner):
    """mmengine's runner, whose terminal shows progress and results; the log file has the rest."""

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """Build the logger of the run."""
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            if not isinstance(handler, logging.FileHandler):
                handler.addFilter(_is_for_terminal)
        return logger


def _is_for_terminal(record: logging.LogRecord) -> bool:
    message = record.getMessage().lstrip("\n-")
    return not message.startswith(_FOR_THE_FILE) and not any(w in message for w in _NOTES)


__all__ = [
    "build_runner",
    "default_work_dir",
    "prepare_run",
    "work_folder_held",
]
