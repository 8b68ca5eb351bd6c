"""Checkpoints that survive a kill at any moment, and the run that goes on from them."""

from __future__ import annotations

import contextlib
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.logging import print_log
from mmengine.runner import EpochBasedTrainLoop, Runner
from mmengine.runner.base_loop import BaseLoop

from stl_backbones.registry import HOOKS
from stl_backbones.results.atomic import remove_partial_files, write_atomically

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

    Takes the same arguments.
    """

    file_backend: Any

    def before_train(self, runner: Runner) -> None:
        """Tidy the work folder, and validate what was not."""
        super().before_train(runner)
        if is_main_process():
            remove_partial_files(Path(runner.work_dir))
            self._remove_outdated(runner)
        if runner._resume and _is_validation_due(runner.train_loop, runner.val_loop):
            runner.logger.info("validating the checkpoint that the run goes on from")
            runner.val_loop.run()

    def _remove_outdated(self, runner: Runner) -> None:
        if not runner._resume or self.max_keep_ckpts <= 0 or not self.keep_ckpt_ids:
            return
        for path, step in _steps(Path(self.out_dir)):
            if step < min(self.keep_ckpt_ids):
                path.unlink()

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: Any) -> None:
        with self._removing_afterwards():
            super()._save_checkpoint_with_step(runner, step, meta)

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
    """The newest whole checkpoint of a work folder; ``None`` if it has none yet.

    mmengine's ``last_checkpoint`` holds an absolute path: in a copied folder it would resume the
    original. Only its file name counts here. A file that a power cut has left empty or cut off is
    passed over, and the one before it is taken.
    """
    folder = Path(work_dir)
    newest_first = _steps(folder)[::-1]
    candidates = [path for path, _ in newest_first]
    with contextlib.suppress(OSError, UnicodeDecodeError):
        name = Path((folder / "last_checkpoint").read_text(encoding="utf-8").strip()).name
        if name:
            step = dict(newest_first).get(folder / name, 0)
            older = [path for path, other in newest_first if other < step]
            candidates = [folder / name, *older]
    for path in candidates:
        if zipfile.is_zipfile(path):
            return path
        if path.is_file() and is_main_process():
            print_log(f"'{path}' is damaged, passed over", logger=None)
    return None


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


__all__ = ["AtomicLocalBackend", "SafeCheckpointHook", "find_resume", "write_whole_files"]
