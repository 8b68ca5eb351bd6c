"""Where a mutant is tried: a copy of the checkout, in which pytest runs in a fork."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from faults.forkserver import ROOT, ForkServer, kill_group
from faults.mutants.changes import Change

PRELOADED = ("pytest", "hypothesis", "matplotlib.pyplot")  # beside the fork server's own
PATIENCE = 4  # times what tests take on unchanged code
_OPTIONS = (
    "-x", "-q", "-p", "no:cacheprovider", "-m", "not slow", "--durations=1", "--durations-min=0",
    "-o", "faulthandler_exit_on_timeout=true",
)  # fmt: skip


class Bench:
    """A copy of the checkout, fresh for each mutant, and the tests of one folder.

    Tools that tests start, workers and numba's compiled kernels are all of the copy. Its path stays
    the same, since numba keeps kernels by the path of their source.
    """

    def __init__(self, server: ForkServer, package: str, folder: Path) -> None:
        self._server, self._folder = server, folder
        self._copy, self._kept = folder / "checkout", folder / "kept"
        self._tests = sorted((ROOT / "tests" / package).rglob("test_*.py"))
        self._limits = (1800.0, 3600.0)  # seconds: of a test, and of all
        copy_checkout(self._copy)
        start = time.monotonic()
        code, output = self._run_tests(self._tests)
        if code != 0:
            raise RuntimeError(f"tests/{package} fail on unchanged code:\n{output[-3000:]}")
        slowest = re.search(r"^([\d.]+)s \w+ ", output, re.MULTILINE)
        # Patience with one test, which a loop without an end makes last, and with all of them.
        self._limits = tuple(
            PATIENCE * seconds + 60 for seconds in (float(slowest[1]), time.monotonic() - start)
        )
        shutil.copytree(self._copy, self._kept, symlinks=True)

    def try_change(self, change: Change, source: bytes) -> str:
        """The test that fails on a mutant, ``time limit``, or ``""`` if all tests pass."""
        shutil.rmtree(self._copy)
        shutil.copytree(self._kept, self._copy, symlinks=True)
        (self._copy / change.module).write_bytes(change.apply(source))
        code, output = self._run_tests(order_tests(self._tests, change.module))
        if code == 0:
            return ""
        if code is None or re.search(r"Timeout \(\d", output):
            return "time limit"
        found = re.search(r"^(?:FAILED|ERROR) (.*)$", output, re.MULTILINE)
        return found[1][:200] if found else f"exit code {code}"

    def _run_tests(self, tests: Sequence[Path]) -> tuple[int | None, str]:
        """Exit code, None where the time for all was over, and output."""
        of_one, of_all = self._limits
        limit = ("-o", f"faulthandler_timeout={of_one}")
        temporary = f"--basetemp={self._folder / 'temporary'}"
        files = [path.relative_to(ROOT) for path in tests]
        run = self._server.start(
            ["faults/run_pytest.py", *_OPTIONS, *limit, temporary, *files],
            folder=self._copy,
            output_in=self._folder,
            environment={
                "PYTHONPATH": str(self._copy),  # tools that tests start are of the copy, too
                "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # it warns of plugins imported before
            },
        )
        code = run.wait(of_all)
        kill_group(run.pid, signal.SIGKILL)
        output = run.output()
        run.forget_output()
        return code, output


def copy_checkout(to: Path) -> None:
    """Copy the files that git knows or would add."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True,
    ).stdout  # fmt: skip
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).exists():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)


def order_tests(tests: Iterable[Path], module: str) -> list[Path]:
    """The module's own tests, those that import it, those of its folder, the others."""
    path = Path(module)
    dotted = ".".join(path.with_suffix("").parts)

    def rank(test: Path) -> tuple[bool, bool, bool, str]:
        imports = re.search(rf"{re.escape(dotted)}\b", test.read_text(encoding="utf-8"))
        in_folder = test.parent.name == path.parent.name
        return test.stem != f"test_{path.stem}", not imports, not in_folder, str(test)

    return sorted(tests, key=rank)
