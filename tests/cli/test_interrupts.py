"""Ctrl-C and SIGTERM end a tool within seconds, in one line, whatever it is at."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest

from stl_backbones.cli.lost_processes import describe_lost_process

TOOL = """
import hashlib, logging, multiprocessing, os, signal, sys, time
from concurrent.futures import ThreadPoolExecutor
from stl_backbones import lost_workers
from stl_backbones.cli.tool import make_parser, run_tool
from stl_backbones.cli.interrupts import run_begins

def busy():
    run_begins()
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 100_000_000)  # a minute that no signal handler cuts

def sleeping():
    run_begins()
    early()

def early():
    print("ready", flush=True)
    time.sleep(60)

class Late:
    def __del__(self):
        early()  # where nothing can be raised

def finalizing():
    Late()
    time.sleep(60)

def cleaning():
    try:
        sleeping()
    finally:
        time.sleep(0.5)  # a second signal comes here
        print("cleaned", flush=True)

def translating():
    try:
        sleeping()
    except BaseException:
        raise RuntimeError("a library's own words")

def forking():
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    child.start()
    time.sleep(0.2)
    child.terminate()
    child.join()
    print("ready", child.exitcode, flush=True)
    time.sleep(2.5)

KILLED = "DataLoader worker (pid 1) is killed by signal: Killed."

def losing():
    raise RuntimeError(KILLED)

def lose():
    print("ready", flush=True)
    lost_workers.report_lost(RuntimeError(KILLED))  # as a signal's handler does

class LosingLate:
    def __del__(self):
        lose()

def losing_in_a_finalizer():
    LosingLate()
    time.sleep(60)

class LosingHandler(logging.Handler):
    def emit(self, record):
        try:
            lose()
        except Exception:
            self.handleError(record)

def losing_in_a_log():
    logging.getLogger("a").addHandler(LosingHandler())
    logging.getLogger("a").warning("a message")
    time.sleep(60)

def losing_beside_a_thread():
    with ThreadPoolExecutor(1) as pool:
        pool.submit(time.sleep, 60)  # it waits for the worker
        lose()

class LosingAgain(RuntimeError):
    def __str__(self):
        lose()
        return super().__str__()

def losing_while_the_error_is_said():
    raise LosingAgain(KILLED)

def losing_translated():
    try:
        lose()
    except BaseException:
        raise RuntimeError("a library's own words")

def losing_at_the_end():
    pass

def finishing():
    pass

parser = make_parser("A tool.")
parser.add_argument("what")
parser.add_argument("--resume", nargs="?")
main = lambda args: globals()[args.what]()
code = run_tool(parser, main, after_interrupt="all is kept", resume="--resume")
if sys.argv[1] == "losing_at_the_end":
    lose()
if sys.argv[1] == "finishing":
    print("ready", flush=True)
    time.sleep(0.5)  # the interpreter takes its time to end
raise SystemExit(code)
"""


@pytest.fixture
def start(tmp_path, repo_root):
    (tmp_path / "tool.py").write_text(TOOL)
    search = os.pathsep.join([str(repo_root), *filter(None, [os.environ.get("PYTHONPATH")])])
    path = f"{sys.prefix}/bin{os.pathsep}{os.environ['PATH']}"  # an activated environment

    def run(*words, number=signal.SIGINT, times=1):
        process = subprocess.Popen(
            [sys.executable, "tool.py", *words], cwd=tmp_path, text=True,
            env={**os.environ, "PYTHONPATH": search, "PATH": path},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        try:
            first = process.stdout.readline()
            begin = time.monotonic()
            for _ in range(times):
                process.send_signal(number)
                time.sleep(0.2)
            out, err = process.communicate(timeout=30)
        finally:
            process.kill()
        return process.returncode, time.monotonic() - begin, first + out, err

    return run


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["ctrl-c", "sigterm"]
)
@pytest.mark.parametrize("what", ["busy", "sleeping", "translating"])
def test_it_ends_within_seconds_in_one_line(start, what, number, code):
    status, seconds, _, got = start(what, number=number)
    line = f"tool.py: interrupted; all is kept; go on with: python tool.py {what} --resume\n"
    assert (status, got) == (code, line)
    assert seconds < 10  # 1 on an idle machine


def test_there_is_nothing_to_resume_before_the_run_begins(start):
    _, _, _, got = start("early")
    assert got == "tool.py: interrupted; all is kept; go on with: python tool.py early\n"


def test_it_is_one_line_where_nothing_can_be_raised(start):
    """In a finalizer, or a callback of a fork, Python prints what is raised, and goes on."""
    status, _, _, got = start("finalizing")
    assert (status, len(got.splitlines())) == (130, 1)


def test_a_second_one_does_not_end_the_clean_up(start):
    status, _, out, got = start("cleaning", times=2)
    assert (status, out) == (130, "ready\ncleaned\n")
    assert len(got.splitlines()) == 1


def test_a_terminated_child_is_not_the_tool(start):
    status, _, out, got = start("forking", times=0)
    assert (status, out, got) == (0, "ready -15\n", "")


def test_it_is_quiet_when_the_work_is_done(start):
    status, _, _, got = start("finishing")
    assert (status, got) == (-signal.SIGINT, "")


@pytest.mark.parametrize(
    "words", [("--resume", "old.pth"), ("--resume",), ("--resume=old.pth",), ()]
)
def test_the_command_goes_on_from_the_newest_checkpoint(start, words):
    _, _, _, got = start("sleeping", *words)
    assert got.endswith("go on with: python tool.py sleeping --resume\n")


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("DataLoader worker (pid 123) is killed by signal: Killed. ", "was killed (Killed); if"),
        ("DataLoader worker (pid(s) 123, 9) exited unexpectedly", "was killed; if memory"),
        ("[../third_party/gloo/transport/tcp/pair.cc:534] Connection closed by peer", None),
        ("a bug of ours", None),
    ],
)
def test_a_lost_worker_is_reported(message, said):
    got = describe_lost_process(RuntimeError(message))
    assert (said is None) == (got is None)
    assert said is None or said in got


def test_a_connection_is_lost_between_processes_or_elsewhere():
    ours, theirs = multiprocessing.Pipe()
    theirs.close()
    with pytest.raises(EOFError) as caught:
        ours.recv()
    assert "a process that loads data was killed" in describe_lost_process(caught.value)
    assert describe_lost_process(ConnectionResetError("by a server")) is None


def test_a_pool_says_itself_what_it_lost():
    assert (
        describe_lost_process(ChildProcessError("a process was killed")) == "a process was killed"
    )


@pytest.mark.parametrize("words", [(), ("--debug",)])
def test_a_lost_worker_is_one_line_and_a_traceback_on_demand(start, words):
    status, _, _, got = start("losing", *words, times=0)
    assert status == 2
    assert "was killed (Killed); if memory ran out" in got.splitlines()[-1]
    assert ("Traceback" in got) == bool(words)
    assert words or len(got.splitlines()) == 1


@pytest.mark.parametrize(
    "what",
    ["in_a_finalizer", "in_a_log", "beside_a_thread", "while_the_error_is_said", "translated"],
)
def test_a_lost_worker_is_one_line_whenever_it_is_noticed(start, what):
    status, seconds, _, got = start(f"losing_{what}", times=0)
    assert status == 2
    assert "was killed (Killed); if memory ran out" in got
    assert len(got.splitlines()) == 1
    assert seconds < 30  # 1 on an idle machine; nothing waits for the thread, or goes on


def test_a_worker_lost_when_the_work_is_done_does_not_matter(start):
    status, _, _, got = start("losing_at_the_end", times=0)
    assert (status, got) == (0, "")


CTRL_C_WHILE_IMPORTING = """
import os, signal, sys
class Finder:
    def find_spec(self, name, *_):
        if name == "stl_backbones.cli.commands.report":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
"""


@pytest.mark.parametrize("words", [["tools/report.py"], ["-m", "stl_backbones", "report"]])
def test_ctrl_c_before_a_command_runs_prints_nothing(repo_root, tmp_path, words):
    (tmp_path / "sitecustomize.py").write_text(CTRL_C_WHILE_IMPORTING)
    search = os.pathsep.join([str(tmp_path), str(repo_root)])
    ended = subprocess.run(
        [sys.executable, *words], cwd=repo_root, env={**os.environ, "PYTHONPATH": search},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, "", "")
