"""The page in a real browser, where one is installed: no console errors, sorting and the light/dark button work."""

import functools
import http.server
import json
import re
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from kodata.report import blocks as b
from kodata.report import html

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--virtual-time-budget=4000",
    "--window-size=1280,900",
]

# Loads the page in a frame of the same origin, uses it as a reader would and writes down what happened.
HARNESS = """<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">
<iframe id="f" src="report.html" width="WIDTH" height="800"></iframe><pre id="out"></pre>
<script>
document.getElementById("f").addEventListener("load", function () {
  var d = this.contentDocument, w = this.contentWindow, table = d.querySelector("table.ko-sortable");
  function column(i) { return Array.from(table.tBodies[0].rows, function (r) { return r.cells[i].textContent; }); }
  var buttons = table.querySelectorAll("th button"), seen = { before: column(0) };
  buttons[1].focus(); seen.focused = d.activeElement === buttons[1];
  buttons[1].click(); seen.down = column(1); seen.sortDown = buttons[1].parentNode.getAttribute("aria-sort");
  buttons[1].click(); seen.up = column(1); seen.sortUp = buttons[1].parentNode.getAttribute("aria-sort");
  buttons[0].click(); seen.words = column(0); seen.sorted = table.querySelectorAll("[aria-sort]").length;
  buttons[2].click(); seen.sizes = column(2);
  var paper = w.getComputedStyle(d.body).backgroundColor, theme = d.querySelector(".ko-theme");
  seen.themeShown = !theme.hidden; theme.click();
  seen.themeChanges = w.getComputedStyle(d.body).backgroundColor !== paper;
  seen.overflow = d.documentElement.scrollWidth - d.documentElement.clientWidth;
  seen.drawn = Array.from(d.querySelectorAll("svg[role=img]"), function (s) { return s.getBoundingClientRect().width > 100; });
  seen.tocOpen = d.querySelector(".ko-toc details").open;
  document.getElementById("out").textContent = "SEEN" + JSON.stringify(seen) + "NEES";
});
</script>"""


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_works_in_a_browser(tmp_path: Path, width: int) -> None:
    rows = [
        ["나무", 5, "900 KB"],
        ["가지", 1_234, "2 MB"],
        ["다람쥐", None, "1.5 GB"],
        ["<script>alert(1)</script>", -3, "10 B"],
    ]
    page = [
        b.flow(
            "길",
            [
                {"tool": t, "name": "v" * 30, "main": "1,234 문서", "facts": {"가" * 40: "나" * 60}}
                for t in ("kodata", "kotok", "kobitnet")
            ],
        ),
        b.table("표", ["이름", "수", "크기"], rows),
        b.table("넓은 표", [f"열 {i} 아주 긴 이름" for i in range(20)], [["가" * 30] * 20, [1] * 20]),
        b.lines(
            "선",
            {f"계열 {i}": [(x, x**i) for x in range(1, 50)] for i in range(4)},
            "걸음",
            "손실",
            False,
            True,
        ),
        b.histogram("분포", [1, 10, 100, 1_000], [5, 7, 2], 30, "글자"),
        b.samples("보기", [{"label": "김", "text": "가" * 3_000}, {"label": "넓음", "text": "W" * 900}]),
        b.tokens("토큰", [[("대한", 0), ("민국" * 200, 1)]]),
        b.facts("설정", {"명령": "x" * 500, **{f"k{i}": i for i in range(12)}}),
        *(b.text(f"글 {i}", "가") for i in range(4)),
    ]
    (tmp_path / "report.html").write_text(html.render("보고서", page), encoding="utf-8")
    (tmp_path / "harness.html").write_text(HARNESS.replace("WIDTH", str(width)), encoding="utf-8")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args) -> None:
            pass

    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=tmp_path)
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/harness.html"
        command = [BROWSER, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", address]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        server.shutdown()
    errors = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert errors == []
    found = re.search(r"SEEN(.*)NEES</pre>", done.stdout, re.S)
    assert found, done.stdout[-500:] + done.stderr[-500:]
    seen = json.loads(found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
    assert seen["before"] == [row[0] for row in rows] and seen["focused"]
    assert seen["down"] == ["1,234", "5", "−3", "–"] and seen["sortDown"] == "descending"
    assert seen["up"] == ["−3", "5", "1,234", "–"] and seen["sortUp"] == "ascending"
    assert [w for w in seen["words"] if w[0] != "<"] == ["가지", "나무", "다람쥐"] and seen["sorted"] == 1
    assert seen["sizes"] == ["1.5 GB", "2 MB", "900 KB", "10 B"]
    assert seen["themeShown"] and seen["themeChanges"]
    assert seen["overflow"] <= 0, "the page scrolls sideways"
    assert seen["drawn"] == [True, True]
    assert seen["tocOpen"] == (width > 1000)
