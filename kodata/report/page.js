(function () {
  "use strict";
  var korean = new Intl.Collator("ko", { numeric: true });

  function key(cell) {
    var v = cell.getAttribute("data-v");
    return v === null ? null : Number(v);
  }

  function sort(table, column, header) {
    var numeric = header.classList.contains("ko-n");
    var now = header.getAttribute("aria-sort");
    var next = now ? (now === "ascending" ? "descending" : "ascending") : numeric ? "descending" : "ascending";
    var sign = next === "ascending" ? 1 : -1;
    var body = table.tBodies[0];
    var rows = Array.prototype.slice.call(body.rows);
    rows.sort(function (a, b) {
      var x = a.cells[column], y = b.cells[column];
      if (!numeric) return sign * korean.compare(x.textContent, y.textContent);
      var p = key(x), q = key(y);
      if (p === null || q === null) return (p === null) - (q === null);
      return sign * (p - q);
    });
    rows.forEach(function (row) { body.appendChild(row); });
    Array.prototype.forEach.call(table.tHead.rows[0].cells, function (h) { h.removeAttribute("aria-sort"); });
    header.setAttribute("aria-sort", next);
  }

  Array.prototype.forEach.call(document.querySelectorAll("table.ko-sortable"), function (table) {
    Array.prototype.forEach.call(table.tHead.rows[0].cells, function (header, column) {
      if (!header.textContent.trim()) return;
      var button = document.createElement("button");
      button.type = "button";
      button.textContent = header.textContent;
      button.title = "정렬 (sort)";
      button.addEventListener("click", function () { sort(table, column, header); });
      header.textContent = "";
      header.appendChild(button);
    });
  });

  var toc = document.querySelector(".ko-toc details");
  if (toc && window.matchMedia("(max-width: 1179px)").matches && toc.querySelectorAll("a").length > 10) toc.open = false;

  var root = document.documentElement;
  var toggle = document.querySelector(".ko-theme");
  var system = window.matchMedia("(prefers-color-scheme: dark)");
  function remembered() { try { return window.localStorage.getItem("ko-theme"); } catch (e) { return null; } }
  function dark() {
    var chosen = root.getAttribute("data-theme");
    return chosen ? chosen === "dark" : system.matches;
  }
  function show() {
    toggle.textContent = dark() ? "밝게 (light)" : "어둡게 (dark)";
  }
  var chosen = remembered();
  if (chosen === "dark" || chosen === "light") root.setAttribute("data-theme", chosen);
  if (toggle) {
    toggle.hidden = false;
    show();
    system.addEventListener("change", show);
    toggle.addEventListener("click", function () {
      var next = dark() ? "light" : "dark";
      root.setAttribute("data-theme", next);
      try { window.localStorage.setItem("ko-theme", next); } catch (e) { /* private mode: not remembered */ }
      show();
    });
  }
})();
