"""The network between the hosts of a job: chosen, and its silence noticed."""

import errno
import os
import socket
import subprocess
import sys
import textwrap
import time
from unittest import mock

import pytest

from stl_backbones.cli.lost_processes import describe_lost_process
from stl_backbones.engine import network
from tests.hosts.namespaces import can_make_hosts, two_hosts

needs_hosts = pytest.mark.skipif(not can_make_hosts(), reason="needs root and the ip command")


@pytest.fixture(scope="module")
def hosts():
    with two_hosts() as both:
        yield both


def option(connection, name):
    return connection.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))


def test_every_connection_of_the_process_has_a_limit():
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as near,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
    ):
        far, _ = server.accept()
        with far:
            assert near.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0
            network.notice_silence()
            for end in (near, far):
                assert end.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
                probes = option(end, "TCP_KEEPCNT")
                silence = option(end, "TCP_KEEPIDLE") + probes * option(end, "TCP_KEEPINTVL")
                assert (silence, option(end, "TCP_USER_TIMEOUT")) == (60, 60_000)
            near.sendall(b"still usable")
            assert far.recv(12) == b"still usable"


@pytest.mark.parametrize("address", ["127.0.0.1", "localhost", "no-such-host.invalid"])
def test_within_one_host_gloo_chooses_by_itself(address):
    with mock.patch.dict(os.environ, clear=True):
        network.choose_interface(address)
        assert "GLOO_SOCKET_IFNAME" not in os.environ


@needs_hosts
@pytest.mark.parametrize(("given", "taken"), [(None, "cable"), ("lo", "lo")])
def test_the_interface_is_the_way_to_the_first_host(hosts, given, taken):
    code = (  # the file by itself: the package imports torch
        f"import os, runpy; runpy.run_path('{network.__file__}')['choose_interface']('10.77.0.1'); "
        "print(os.environ['GLOO_SOCKET_IFNAME'])"
    )
    environment = {**os.environ, **({"GLOO_SOCKET_IFNAME": given} if given else {})}
    for host in hosts:  # the first one's way to itself too
        words = ["ip", "netns", "exec", host.name, sys.executable, "-c", code]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.split() == [taken]


GROUP = """
    import sys
    import time
    from stl_backbones.cli.tool import make_parser, run_tool
    from stl_backbones.engine import distributed, network

    network.SILENCE = 5  # seconds
    def main(args):
        distributed.start_distributed("pytorch")
        ranks = distributed.Ranks()
        ranks.gather("here")
        print("joined", flush=True)
        if ranks.is_main:
            time.sleep(600)  # busy, or waiting for a disk
        ranks.gather("there")

    sys.exit(run_tool(make_parser("waits"), main, after_interrupt="all is kept"))
"""


@needs_hosts
def test_a_host_that_is_cut_off_is_noticed(hosts, tmp_path, repo_root):
    """The one waits in the group; nobody closes the connection."""
    script = tmp_path / "waits.py"
    script.write_text(textwrap.dedent(GROUP))
    jobs = [
        host.start(
            [sys.executable, script], cwd=tmp_path, output=tmp_path / f"{rank}.txt",
            environment={
                **os.environ, "PYTHONPATH": str(repo_root), "MASTER_ADDR": hosts[0].address,
                "MASTER_PORT": "29500", "RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": "0",
            },
        )
        for rank, host in enumerate(hosts)
    ]  # fmt: skip
    got = [tmp_path / "0.txt", tmp_path / "1.txt"]
    deadline = time.monotonic() + 100
    while not all("joined" in path.read_text() for path in got):
        assert time.monotonic() < deadline, [path.read_text() for path in got]
        time.sleep(0.05)
    hosts[0].cut_off()
    start = time.monotonic()
    assert jobs[1].wait(60) == 2
    assert time.monotonic() - start > 2  # no closed connection: silence
    hosts[0].kill()
    jobs[0].wait(10)
    (line,) = [line for line in got[1].read_text().splitlines() if "error" in line]
    assert "another process of this job does not answer" in line
    assert "all is kept" in line


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ETIMEDOUT, "does not answer"),
        (errno.EHOSTUNREACH, "does not answer"),  # the neighbour's address is not known any more
        (errno.ENETUNREACH, "does not answer"),
        (errno.ECONNRESET, "has ended"),
    ],
)
def test_a_process_that_ended_is_no_silent_host(number, said):
    text = f"[gloo/transport/tcp/pair.cc:538] Read error [10.0.0.1]:4: {os.strerror(number)}"
    with mock.patch("stl_backbones.cli.lost_processes.is_distributed", return_value=True):
        assert said in describe_lost_process(RuntimeError(text))


def test_a_wrong_interface_is_one_line(repo_root, tmp_path, run_tool):
    done = run_tool(
        "robustness.py", "--timm", "resnet10t", "--data-root", tmp_path, "--launcher", "pytorch",
        MASTER_ADDR="127.0.0.1", MASTER_PORT="0", RANK="0", WORLD_SIZE="1", LOCAL_RANK="0",
        GLOO_SOCKET_IFNAME="cable9",
    )  # fmt: skip
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if "error" in line.lower()]
    assert line.startswith("robustness.py: error: process 0 of 1 does not reach the others")
    assert "cable9" in line
