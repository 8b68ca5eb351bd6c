"""Checkpoints that survive a kill at any moment, and the run that goes on from them."""

from __future__ import annotations

import contextlib
import math
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_reduce, is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from mmengine.runner import EpochBasedTrainLoop, Runner
from mmengine.runner.base_loop import BaseLoop

from stl_backbones.engine.data_parallel import bare_model
from stl_backbones.engine.distributed import Ranks
from stl_backbones.registry import HOOKS
from stl_backbones.results.atomic import remove_partial_files, write_atomically

PROCESSES = "processes"  # the key in a checkpoint's meta
GRADIENTS = "accumulated_gradients"  # the key of those in a checkpoint
_NAME = re.compile(r"(?:epoch|iter)_(\d+)\.pth")


class AtomicLocalBackend(LocalBackend):
    """mmengine's writer of local files, whose files appear whole or not at all."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes."""
        path = Path(filepath)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, bytes(obj))

    def put_text(self, obj: str, filepath: str | Path, encoding: str = "utf-8") -> None:
        """Write text."""
        self.put(obj.encode(encoding), filepath)


def write_whole_files() -> None:
    """Have mmengine write checkpoints by `AtomicLocalBackend`."""
    register_backend("local", AtomicLocalBackend, force=True, prefixes="")


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """mmengine's hook, but for what a kill at the wrong moment costs there.

    - An outdated checkpoint is removed after the new one is on disk, not before.
    - Of a checkpoint that was written just before a validation, the resumed run makes up for that
      validation first; else its metrics, and with them the best checkpoint, would be missing.
    - What the killed run had not removed yet is removed.
    - A best checkpoint that a power cut has left cut off is removed, and the best of what follows
      is kept; else nothing would ever take its place.
    - Gradients that are accumulated for a step to come are in the checkpoint: the mean over the
      processes, since the step takes that mean.

    A checkpoint says of how many processes its run was.

    Takes the same arguments.
    """

    file_backend: Any
    _gradients: dict[str, torch.Tensor] | None = None

    def before_train(self, runner: Runner) -> None:
        """Tidy the work folder, and validate what was not."""
        super().before_train(runner)
        if is_main_process():
            remove_partial_files(Path(runner.work_dir))
            self._remove_outdated(runner)
        if runner._resume:
            self._forget_damaged_best(runner)
        if runner._resume and _is_validation_due(runner.train_loop, runner.val_loop):
            runner.logger.info("validating the checkpoint that the run goes on from")
            runner.val_loop.run()

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Note the number of processes, and accumulated gradients."""
        checkpoint["meta"][PROCESSES] = runner.world_size
        if self._gradients:
            checkpoint[GRADIENTS] = self._gradients

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Go on accumulating where the run was stopped."""
        gradients = checkpoint.get(GRADIENTS, {}) if runner._resume else {}
        for name, parameter in bare_model(runner).named_parameters():
            if name in gradients:
                parameter.grad = gradients[name].to(parameter.device, parameter.dtype)

    def _remove_outdated(self, runner: Runner) -> None:
        if not runner._resume or self.max_keep_ckpts <= 0 or not self.keep_ckpt_ids:
            return
        for path, step in _steps(Path(self.out_dir)):
            if step < min(self.keep_ckpt_ids):
                path.unlink()

    def _forget_damaged_best(self, runner: Runner) -> None:
        known = runner.message_hub.runtime_info
        keys = [key for key in known if key.startswith("best_ckpt") and known[key]]
        paths = {key: Path(known[key]) for key in keys}
        damaged = Ranks().on_main(
            lambda: [key for key in keys if paths[key].is_file() and not _is_whole(paths[key])]
        )
        for key in damaged:
            del known[key]
            known.pop(key.replace("best_ckpt", "best_score"), None)
            if key == "best_ckpt":
                self.best_ckpt_path = None
            else:
                self.best_ckpt_path_dict[key.removeprefix("best_ckpt_")] = None
            if is_main_process():
                paths[key].unlink()
            _say(
                f"the best checkpoint '{paths[key]}' is damaged, removed; the best of the "
                "validations to come is kept"
            )

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: Any) -> None:
        self._gradients = _accumulated_gradients(runner)
        try:
            with self._removing_afterwards():
                super()._save_checkpoint_with_step(runner, step, meta)
        finally:
            self._gradients = None

    def _save_best_checkpoint(self, runner: Runner, metrics: Any) -> None:
        with self._removing_afterwards():
            super()._save_best_checkpoint(runner, metrics)

    @contextlib.contextmanager
    def _removing_afterwards(self) -> Iterator[None]:
        backend = self.file_backend
        removals: dict[str, Callable[[], None]] = {}
        self.file_backend = _Postponing(backend, removals)
        try:
            yield
        finally:
            self.file_backend = backend
        newest = {str(self.last_ckpt), *map(str, self._best_paths())}
        for path, remove in removals.items():
            if path not in newest:
                remove()

    def _best_paths(self) -> list[Any]:
        paths = getattr(self, "best_ckpt_path_dict", {})
        return [getattr(self, "best_ckpt_path", None), *paths.values()]


def _accumulated_gradients(runner: Runner) -> dict[str, torch.Tensor]:
    """Gradients of batches that no step has used yet, on the CPU; collective."""
    wrapper = runner.optim_wrapper
    if not isinstance(wrapper, OptimWrapper) or wrapper.should_update():
        return {}
    found = {}
    for name, parameter in bare_model(runner).named_parameters():
        if parameter.grad is not None:
            mean = parameter.grad.detach().clone()
            all_reduce(mean, op="mean")
            found[name] = mean.cpu()
    return found


class _Postponing:
    """A file backend that notes what is to be removed."""

    def __init__(self, backend: Any, removals: dict[str, Callable[[], None]]) -> None:
        self._backend, self._removals = backend, removals

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def remove(self, path: str) -> None:
        self._removals[str(path)] = lambda: self._backend.remove(path)

    def rmtree(self, path: str) -> None:
        self._removals[str(path)] = lambda: self._backend.rmtree(path)


def find_resume(work_dir: str | Path) -> Path | None:
    """The newest whole checkpoint of a work folder; ``None`` if it has none.

    mmengine's ``last_checkpoint`` holds an absolute path: in a copied folder it would resume the
    original. Only its file name counts here. If that file is gone, or a power cut has left it empty
    or cut off, the newest whole one before it is taken, else the newest, and this is said.
    """
    folder = Path(work_dir)
    candidates = [path for path, _ in _steps(folder)[::-1]]
    with contextlib.suppress(OSError, UnicodeDecodeError):
        name = Path((folder / "last_checkpoint").read_text(encoding="utf-8").strip()).name
        if name:
            match = _NAME.fullmatch(name)
            last = int(match[1]) if match else math.inf
            later = {path for path, step in _steps(folder) if step > last}
            others = sorted(candidates, key=later.__contains__)  # else as they are
            candidates = list(dict.fromkeys([folder / name, *others]))
    for number, path in enumerate(candidates):
        if _is_whole(path):
            if number:
                _say(f"going on from '{path}'")
            return path
        if path.is_file() or number == 0:
            wrong = "is damaged" if path.is_file() else "of last_checkpoint is gone"
            _say(f"'{path}' {wrong}, passed over")
    return None


def kept_checkpoints(work_dir: str | Path) -> list[Path]:
    """The checkpoints of a work folder, damaged ones and best ones included."""
    return [path for path in Path(work_dir).glob("*.pth") if path.is_file()]


def _is_whole(path: Path) -> bool:
    """Whether a file is a zip archive, as torch writes, whose parts are as their checksums say."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    # RuntimeError: a turned bit asks for a password, or for a compression that zipfile lacks.
    except (OSError, EOFError, zipfile.BadZipFile, ValueError, RuntimeError, zlib.error):
        return False


def _say(text: str) -> None:
    if is_main_process():
        print_log(text, logger=None)


def _steps(folder: Path) -> list[tuple[Path, int]]:
    """The checkpoints of single steps, oldest first."""
    found = [(path, _NAME.fullmatch(path.name)) for path in folder.glob("*.pth")]
    return sorted(((p, int(match[1])) for p, match in found if match), key=lambda pair: pair[1])


def _is_validation_due(loop: Any, val_loop: Any) -> bool:
    """Whether mmengine's loops validate where this one stands."""
    if not isinstance(val_loop, BaseLoop):
        return False
    if isinstance(loop, EpochBasedTrainLoop):
        done, last = loop.epoch, loop.max_epochs
        if loop.iter != done * len(loop.dataloader):
            return False
    else:
        done, last = loop.iter, loop.max_iters
    due = done % loop.val_interval == 0 or done == last
    return done > 0 and done >= loop.val_begin and due


__all__ = [
    "PROCESSES",
    "AtomicLocalBackend",
    "SafeCheckpointHook",
    "find_resume",
    "kept_checkpoints",
    "write_whole_files",
]
