"""The evaluation's report and the comparison of two evaluations in a real browser: no console errors, sorted, small."""

import functools
import http.server
import json
import re
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from kobitnet.evaluate.verb import EvalConfig, evaluate
from kodata.report.verb import report

from .random_toy import random_run

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --enable-logging=stderr --virtual-time-budget=4000".split()

# Loads the page in a frame of the same origin (its own policy forbids foreign scripts), sorts every table by every column.
HARNESS = """<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">
<iframe id="f" src="page.html" width="WIDTH" height="800"></iframe><pre id="out"></pre>
<script>
document.getElementById("f").addEventListener("load", function () {
  var d = this.contentDocument, all = function (s) { return Array.from(d.querySelectorAll(s)); };
  var buttons = all("table.ko-sortable th button"), seen = { tables: all("table.ko-sortable").length, buttons: buttons.length };
  seen.sorted = buttons.filter(function (b) { b.click(); return b.parentNode.getAttribute("aria-sort"); }).length;
  seen.unnamed = all("svg").filter(function (s) {
    return !s.getAttribute("aria-label") && !s.getAttribute("aria-hidden") && !s.querySelector("title");
  }).length;
  seen.overflow = d.documentElement.scrollWidth - d.documentElement.clientWidth;
  document.getElementById("out").textContent = "SEEN" + JSON.stringify(seen) + "NEES";
});
</script>"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args) -> None:
        pass


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pages")
    run = random_run(folder / "run")
    for name, size in (("a", 12), ("b", 9)):
        tasks = folder / f"{name}-tasks"
        tasks.mkdir()
        rows = [f"{i}\t물은 {i}도이다.\t뜨거운가?\t{'TRUE' if i % 2 else 'FALSE'}" for i in range(size)]
        (tasks / "boolq_test.tsv").write_text("\n".join(["ID\tText\tQuestion\tAnswer", *rows]) + "\n")
        evaluate(
            run,
            tasks=["kobest"],
            tasks_dir=tasks,
            output=folder / name,
            config=EvalConfig(backend="engine", efficiency=name == "b"),
        )
    both = report([str(folder / "a"), str(folder / "b")], output=folder / "both.html")
    return [folder / "b" / "report.html", both.path]


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("which", [0, 1])
def test_the_pages_work_in_a_browser(pages, tmp_path, width, which):
    assert pages[which].stat().st_size < 1_000_000
    (tmp_path / "page.html").write_bytes(pages[which].read_bytes())
    (tmp_path / "harness.html").write_text(HARNESS.replace("WIDTH", str(width)), encoding="utf-8")
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=tmp_path)
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/harness.html"
        done = subprocess.run(
            [BROWSER, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", address],
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        server.shutdown()
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    found = re.search(r"SEEN(.*)NEES</pre>", done.stdout, re.S)
    assert found, done.stdout[-300:]
    seen = json.loads(found[1])
    assert seen["tables"] >= 3 and seen["sorted"] == seen["buttons"] > 10
    assert seen["unnamed"] == 0 and seen["overflow"] <= 0
