"""Two network namespaces as two hosts, joined by a cable; nothing of the machine's own network."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_numbers = itertools.count()
ADDRESSES = ("10.77.0.1", "10.77.0.2")


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


def can_make_hosts() -> bool:
    """Whether this user may make network namespaces."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    name = f"stl-try-{os.getpid()}"
    try:
        ip("netns", "add", name)
        ip("netns", "del", name)
    except subprocess.CalledProcessError:
        return False
    return True


@dataclass(frozen=True)
class Host:
    """One of the two.

    Args:
        name: Of its namespace.
        address: Where the other one reaches it.
        started: The processes that were started there.
    """

    name: str
    address: str
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(
        self, words: Sequence[object], *, cwd: Path, output: Path, environment: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        """Start a process there, in a session of its own."""
        with output.open("wb") as file:
            process = subprocess.Popen(
                ["ip", "netns", "exec", self.name, *map(str, words)],
                cwd=cwd, env=dict(environment), stdout=file, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
        self.started.append(process)
        return process

    def pids(self) -> list[int]:
        """All processes that run there."""
        found = subprocess.run(
            ["ip", "netns", "pids", self.name], capture_output=True, text=True, check=False
        )
        return [int(word) for word in found.stdout.split()]

    def kill(self) -> None:
        """Kill all that runs there, as a host that is switched off."""
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in self.started:
            process.wait(10)

    def cut_off(self) -> None:
        """Pull the cable: whatever was sent is lost, and nobody is got."""
        ip("-n", self.name, "link", "set", "cable", "down")

    def plug_in(self) -> None:
        """Put the cable back."""
        ip("-n", self.name, "link", "set", "cable", "up")


@contextlib.contextmanager
def two_hosts() -> Iterator[tuple[Host, Host]]:
    """Make the hosts; what still runs there at the end is killed, and they are gone."""
    number = next(_numbers)
    hosts = [
        Host(f"stl-{os.getpid()}-{number}-{n}", address) for n, address in enumerate(ADDRESSES)
    ]
    try:
        for host in hosts:
            ip("netns", "add", host.name)
            ip("-n", host.name, "link", "set", "lo", "up")
        ip("-n", hosts[0].name, "link", "add", "cable", "type", "veth", "peer", "name", "cable",
           "netns", hosts[1].name)  # fmt: skip
        for host in hosts:
            ip("-n", host.name, "address", "add", f"{host.address}/24", "dev", "cable")
            host.plug_in()
        yield hosts[0], hosts[1]
    finally:
        for host in hosts:
            host.kill()
            subprocess.run(["ip", "netns", "del", host.name], capture_output=True, check=False)
