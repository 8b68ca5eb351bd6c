"""By which network the hosts of a job talk, and how soon one that is cut off is noticed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import stat
import struct
from pathlib import Path

# Seconds after which a silent host counts as lost. The kernel of a living one answers, however busy
# its processes are; a switch that starts anew, or a moved route, takes less.
SILENCE = 60
_PROBES = 4
_SIOCGIFADDR = 0x8915  # linux/sockios.h
_LOOPBACK = "127."


def choose_interface(first_host: str) -> None:
    """Have gloo use the interface by which the first host is reached, unless one is set.

    By itself gloo takes the one that the own host's name stands for, which is the loopback where
    ``/etc/hosts`` says so, as Debian's does: no other host reaches a process there.

    Args:
        first_host: Name or address of the host of rank 0.
    """
    if "GLOO_SOCKET_IFNAME" not in os.environ:
        name = _interface_to(first_host)
        if name is not None:
            os.environ["GLOO_SOCKET_IFNAME"] = name


def _interface_to(host: str) -> str | None:
    """The interface of the way to a host; ``None`` for this host alone, or if it is unknown."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked, contextlib.suppress(OSError):
        asked.connect((host, 9))  # sends nothing
        own = asked.getsockname()[0]
        for _, name in socket.if_nameindex() if not own.startswith(_LOOPBACK) else ():
            with contextlib.suppress(OSError):  # it has no address
                request = struct.pack("256s", name.encode()[:15])
                found = fcntl.ioctl(asked.fileno(), _SIOCGIFADDR, request)
                if socket.inet_ntoa(found[20:24]) == own:
                    return name
    return None


def notice_silence() -> None:
    """Have the kernel end this process's connections to a host that is silent for `SILENCE`.

    gloo sets no such limit: where a cable is pulled or a host loses power nobody closes the
    connection, and a process would wait for as long as its group waits. A process that ends, on a
    host that runs, is noticed at once without this.
    """
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(entry.stat().st_mode):
                with socket.socket(fileno=os.dup(int(entry.name))) as connection:
                    _limit(connection)


def _limit(connection: socket.socket) -> None:
    if connection.family not in (socket.AF_INET, socket.AF_INET6):
        return
    if connection.type == socket.SOCK_STREAM:
        pause = SILENCE // (_PROBES + 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in (
            (socket.TCP_KEEPIDLE, pause),
            (socket.TCP_KEEPINTVL, pause),
            (socket.TCP_KEEPCNT, _PROBES),
            (socket.TCP_USER_TIMEOUT, 1000 * SILENCE),  # of what was sent and not answered
        ):
            connection.setsockopt(socket.IPPROTO_TCP, option, value)


__all__ = ["SILENCE", "choose_interface", "notice_silence"]
