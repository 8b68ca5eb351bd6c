"""Reports of hostile names: shown in every format, run in none."""

from __future__ import annotations

import csv
import html
import io
import re
import shutil
import subprocess
from base64 import b64encode
from hashlib import sha256

import markupsafe
import numpy as np
import pytest

from stl_backbones.corruptions.protocols import get_protocol
from stl_backbones.records import CellResult, Provenance
from stl_backbones.report.render import csv_files, latex, markdown
from stl_backbones.report.write import make_report
from stl_backbones.results import CellStore

SCRIPT = "<script>document.title='pwned'</script>"
IMAGE = "\"'><img src=x onerror=\"document.title='pwned'\">"
STYLE = "</style></title><svg onload=\"document.title='pwned'\">"
LINK = "<a href=\"javascript:document.title='pwned'\">&amp; Zoë 猫</a>"
NAMES = (SCRIPT, IMAGE, STYLE, LINK)


def write_sweep(folder, **fields):
    """A whole sweep of two images; every text in it is the caller's."""
    provenance = Provenance(
        **{
            "task": "segmentation", "model": SCRIPT, "protocol": "stl-cityscapes-c",
            "dataset": f"{IMAGE}{STYLE}", "dataset_fingerprint": SCRIPT, "num_images": 2,
            "num_images_total": 4, "skipped": NAMES[:2], "classes": (SCRIPT, IMAGE),
            "config_sha256": IMAGE, "checkpoint_sha256": STYLE, "inference": LINK,
            "corruption_source": SCRIPT, "corruption_mode": "exact", "corruption_package": IMAGE,
            "channel_order": "rgb", "seed": 0, "device": STYLE, "notes": NAMES,
            "versions": {SCRIPT: IMAGE, STYLE: LINK}, "custom_versions": {IMAGE: SCRIPT},
            **fields,
        }
    )  # fmt: skip
    counts = np.array([[[8, 2], [2, 8]]] * 2, dtype=np.int64)
    store = CellStore(folder)
    with store.writing(provenance):
        for cell in get_protocol("stl-cityscapes-c").cells():
            store.write(CellResult(cell, provenance, NAMES[:2], {"confusion_matrix": counts}))
    return folder


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The files of a report on two such sweeps, by name; the page's path is ``path``."""
    root = tmp_path_factory.mktemp("hostile")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stl_backbones.results.atomic.os.fsync", lambda _: None)
        folders = [
            write_sweep(root / "<script>document.title='pwned'<"),
            write_sweep(root / "b", model=f"{LINK}=1+1"),
        ]
    made = make_report(folders, out=root / "report", paper=True, resamples=2, compare=True)
    texts = {path.name: path.read_text(encoding="utf-8") for path in made.folder.iterdir()}
    return {**texts, "path": made.page}


def test_the_page_holds_no_markup_of_the_names(report):
    page = report["index.html"]
    tags = {name.lower() for name in re.findall(r"<\s*([a-zA-Z]+)", page)}
    assert tags.isdisjoint({"img", "iframe", "object", "embed", "link", "form"})
    assert re.search(r"<a [^>]*href=\"(?!#)", page) is None
    assert not re.search(r"<[^>]*\son\w+\s*=", re.sub(r'"[^"<>]*"', '""', page))
    assert page.count("</style>") == page.count("<script") == page.count("</script>") == 1
    for name in (SCRIPT, IMAGE, STYLE, LINK):
        assert markupsafe.escape(name) in page


def test_the_page_may_run_its_script_and_fetch_pictures_alone(report):
    page = report["index.html"]
    (policy,) = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', page)

    def allowed(tag):
        (text,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, flags=re.DOTALL)
        assert not re.search(r"url\(|@import|innerHTML|insertAdjacent|eval|fetch|import\(", text)
        return b64encode(sha256(text.encode()).digest()).decode()

    assert html.unescape(policy).split("; ") == [
        "default-src 'none'", f"script-src 'sha256-{allowed('script')}'",
        f"style-src 'sha256-{allowed('style')}'", "img-src 'self' data:", "base-uri 'none'",
        "form-action 'none'",
    ]  # fmt: skip
    assert page.index("Content-Security-Policy") < page.index("<title>") < page.index("<style>")
    tags = re.sub(r'"[^"]*"', '""', " ".join(re.findall(r"<[^>]*>", page.split("<script>")[0])))
    assert not re.search(r"\s(style|src|srcset|data|action)=", tags)


def find_browser():
    return (
        shutil.which("chromium")
        or shutil.which("chromium-browser")
        or shutil.which("google-chrome")
    )


@pytest.mark.skipif(find_browser() is None, reason="needs Chromium")
@pytest.mark.parametrize("policy", [True, False])
def test_a_browser_shows_the_names_and_runs_none(report, tmp_path, policy):
    """Also without the policy: it is a second line of defence."""
    page = report["index.html"]
    if not policy:
        page = re.sub(r"<meta http-equiv[^>]*>\n", "", page)
    path = tmp_path / "index.html"
    path.write_text(page, encoding="utf-8")
    dom = open_in_browser(path)
    assert "pwned" not in dom.split("<title>")[1].split("</title>")[0].replace(
        html.escape(IMAGE, quote=False), ""
    ).replace(html.escape(STYLE, quote=False), "")
    shown = html.unescape(re.sub(r"<[^>]*>", "", dom.split("<body>")[1]))
    for name in (SCRIPT, IMAGE, STYLE, LINK):
        assert name in shown


def open_in_browser(path):
    done = subprocess.run(
        [find_browser(), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={path}.d",
         "--dump-dom", path.as_uri()],
        capture_output=True, timeout=100, check=True,
    )  # fmt: skip
    return done.stdout.decode()


@pytest.mark.skipif(find_browser() is None, reason="needs Chromium")
def test_the_browser_would_have_run_them(tmp_path):
    path = tmp_path / "index.html"
    path.write_text(f"<title>t</title>{SCRIPT}", encoding="utf-8")
    assert "<title>pwned</title>" in open_in_browser(path)


def test_markdown_shows_the_names_as_text(report):
    text = report["report.md"]
    assert not re.search(r"(?<!\\)<", text)
    assert not re.search(r"(?<!\\)\]\(", text)
    assert r"\<script\>document.title='pwned'\</script\>" in text
    assert markdown.escape("[a](b) <b> &lt; $x$ `c` |") == (r"\[a\](b) \<b\> \&lt; \$x\$ \`c\` \|")


def test_latex_runs_no_command_of_the_names():
    assert latex.escape(r"\input{/etc/passwd}\write18{ls}") == (
        r"\textbackslash{}input\{/etc/passwd\}\textbackslash{}write18\{ls\}"
    )


def test_latex_rows_do_not_lend_their_start_to_the_line_break(tmp_path):
    folder = write_sweep(tmp_path / "sweep", model="[9cm] x")
    make_report([folder], out=tmp_path / "report", resamples=0)
    text = (tmp_path / "report/table.tex").read_text(encoding="utf-8")
    assert "\n{}[9cm] x & " in text
    assert not re.search(r"\\\\\n[\[*]", text)


@pytest.mark.parametrize("text", ["=1+1", "@SUM(A1)", "+cmd|' /C calc'!A0", "-2+3", " =1", "\t=1"])
def test_csv_texts_are_no_formulas(text):
    assert csv_files._inert(text) == f"'{text}"


@pytest.mark.parametrize("value", ["-0.5", "+3", "nan", "", "-", "FAN-B", "1e-3", 7, None, "·"])
def test_csv_numbers_and_names_stay(value):
    assert csv_files._inert(value) == value


def test_csv_files_read_back(tmp_path):
    folder = write_sweep(tmp_path / "sweep", model="=cmd()", notes=("@x",))
    make_report([folder], out=tmp_path / "report", resamples=0)
    for path in (tmp_path / "report").glob("*.csv"):
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
        assert {row["model"] for row in rows} == {"'=cmd()"}
        assert not [v for row in rows for v in row.values() if v.startswith(("=", "@", "+"))]
