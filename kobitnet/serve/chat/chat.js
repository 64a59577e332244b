"use strict";
(function () {
  function $(id) { return document.getElementById(id); }
  var ask = $("ask"), send = $("send"), log = $("log"), scroller = log.parentNode, empty = $("empty");
  var model = null;      // what /v1/models says
  var messages = [];     // the conversation so far, without the system message
  var going = null;      // AbortController of the answer under way
  var last = null;       // the article of the last answer
  var asked = null;      // the article of the last question, where questions are shown

  // ---- theme -------------------------------------------------------------------------------------
  var root = document.documentElement, dark = window.matchMedia("(prefers-color-scheme: dark)");
  function isDark() { return root.dataset.theme ? root.dataset.theme === "dark" : dark.matches; }
  function nameTheme() { $("theme").textContent = isDark() ? "밝게" : "어둡게"; }
  function recall(name, value) {
    try {
      if (value === undefined) { return sessionStorage.getItem(name); }
      sessionStorage.setItem(name, value);
    } catch (e) { /* a browser that stores nothing */ }
    return null;
  }
  if (recall("theme")) { root.dataset.theme = recall("theme"); }
  $("theme").addEventListener("click", function () {
    root.dataset.theme = isDark() ? "light" : "dark";
    recall("theme", root.dataset.theme);
    nameTheme();
  });
  dark.addEventListener("change", nameTheme);
  nameTheme();

  // ---- small things ------------------------------------------------------------------------------
  function element(name, kind, text) {
    var made = document.createElement(name);
    if (kind) { made.className = kind; }
    if (text) { made.textContent = text; }
    return made;
  }
  function button(text, act) {
    var made = element("button", "", text);
    made.type = "button";
    made.addEventListener("click", act);
    return made;
  }
  function say(text) { $("status").textContent = text; }
  function complain(text) {
    $("problem").textContent = text || "";
    $("problem").hidden = !text;
  }
  function atEnd() { return scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 60; }
  function toEnd() { scroller.scrollTop = scroller.scrollHeight; }
  function grow() {
    ask.style.height = "auto";
    ask.style.height = ask.scrollHeight + "px";
  }
  function settings(open) {
    $("settings").hidden = !open;
    $("toggle").setAttribute("aria-expanded", String(open));
  }
  function state() {
    document.body.classList.toggle("going", going !== null);
    send.textContent = going ? "멈춤" : "보내기";
    send.disabled = !going && (!model || !ask.value.trim());
    var again = log.querySelectorAll(".again");
    for (var i = 0; i < again.length; i++) { again[i].hidden = going !== null || again[i].closest("article") !== last; }
  }
  function number(id) {
    var field = $(id);
    return field.value === "" || !field.checkValidity() ? undefined : field.valueAsNumber;
  }
  function headers() {
    var made = { "Content-Type": "application/json" }, key = $("key").value.trim();
    if (key) { made.Authorization = "Bearer " + key; }
    return made;
  }
  async function problemOf(response) {
    if (response.status === 401) {
      settings(true);
      $("key").focus();
      return "이 서버에는 API 키가 있어야 합니다. 설정에 적어 주십시오.";
    }
    if (response.status === 429) {
      return "서버가 바쁩니다. " + (response.headers.get("Retry-After") || "몇") + "초 뒤에 다시 보내 주십시오.";
    }
    try { return (await response.json()).error.message; } catch (e) { return "서버가 " + response.status + " 로 답했습니다."; }
  }

  // ---- the model ---------------------------------------------------------------------------------
  async function meet() {
    try {
      var response = await fetch("/v1/models", { headers: headers() });
      if (!response.ok) {
        $("model").textContent = response.status === 401 ? "키가 필요합니다" : "모델 없음";
        complain(await problemOf(response));
        return;
      }
      model = (await response.json()).data[0];
      complain("");
      $("model").textContent = model.id;
      document.title = model.id + " · kobitnet 대화";
      var facts = model.kobitnet;
      $("max_tokens").max = facts.max_tokens;
      $("max_tokens").value = Math.min(512, facts.max_tokens);
      $("where").textContent = "문맥 " + facts.context.toLocaleString() + " 토큰 · 한 답에 최대 " + facts.max_tokens.toLocaleString() + " 토큰";
      if (!facts.chat) {
        $("hello").textContent = "글을 이어 씁니다.";
        ask.placeholder = "이어 쓸 글을 적으십시오";
        $("system_field").hidden = true;
      }
    } catch (e) {
      $("model").textContent = "모델 없음";
      complain("서버에 닿지 않습니다. kobitnet serve 가 돌고 있는지 보십시오.");
    }
    state();
  }
  $("key").addEventListener("change", meet);

  // ---- messages ----------------------------------------------------------------------------------
  function article(kind, who, text) {
    empty.hidden = true;
    var made = element("article", kind);
    made.appendChild(element("h2", kind === "user" ? "hidden" : "", who));
    made.appendChild(element("div", "text", text));
    log.appendChild(made);
    return made;
  }
  function finish(made, text, facts, ended) {
    var body = made.querySelector(".text"), acts = element("div", "acts");
    made.classList.remove("busy");
    if (!text) {
      body.classList.add("none");
      body.textContent = "(빈 답)";
    }
    acts.appendChild(element("span", "facts", facts));
    acts.appendChild(button("복사", function () {
      var pressed = this;
      navigator.clipboard.writeText(text).then(function () { pressed.textContent = "복사함"; }, function () { pressed.textContent = "복사 못 함"; });
    }));
    var again = button("다시", function () { if (!going) { redo(); } });
    again.className = "again";
    again.title = "답을 다시 만듭니다";
    acts.appendChild(again);
    made.appendChild(acts);
    say(ended);
  }
  function redo() {
    var lost = last;
    if (messages.length && messages[messages.length - 1].role === "assistant") { messages.pop(); }
    lost.remove();
    answer();
  }

  // ---- one answer --------------------------------------------------------------------------------
  async function* events(response) {
    var reader = response.body.pipeThrough(new TextDecoderStream()).getReader(), held = "";
    for (;;) {
      var read = await reader.read();
      if (read.done) { return; }
      held += read.value;
      var parts = held.split("\n\n");
      held = parts.pop();
      for (var i = 0; i < parts.length; i++) {
        var data = parts[i].replace(/^data: /, "");
        if (data === "[DONE]") { return; }
        yield JSON.parse(data);
      }
    }
  }
  function request() {
    var chat = model.kobitnet.chat, body = {
      model: model.id, stream: true, stream_options: { include_usage: true, continuous_usage_stats: true },
      max_tokens: number("max_tokens"), temperature: number("temperature"), top_p: number("top_p"),
      top_k: number("top_k"), seed: number("seed")
    };
    if (chat) {
      var system = $("system").value.trim();
      body.messages = (system ? [{ role: "system", content: system }] : []).concat(messages);
    } else {
      body.prompt = messages[messages.length - 1].content;
    }
    return fetch(chat ? "/v1/chat/completions" : "/v1/completions", {
      method: "POST", headers: headers(), body: JSON.stringify(body), signal: going.signal
    });
  }
  function factsOf(tokens, began, first, now, ended) {
    var parts = [tokens.toLocaleString() + " 토큰"];
    // Short answers arrive at once: the time between their pieces says nothing, the whole time does.
    var long = now - first > 500, count = long ? tokens - 1 : tokens, time = now - (long ? first : began);
    if (tokens && time > 0) { parts.push((count * 1000 / time).toFixed(1) + " 토큰/초"); }
    if (first) { parts.push("첫 글자 " + ((first - began) / 1000).toFixed(2) + "초"); }
    if (ended) { parts.push(ended); }
    return parts.join(" · ");
  }
  async function answer() {
    going = new AbortController();
    complain("");
    say("답을 만드는 중");
    var made = article("answer busy", model.kobitnet.chat ? model.id : "이어 쓴 글", "");
    last = made;
    state();
    toEnd();
    var body = made.querySelector(".text"), text = "", tokens = 0, began = performance.now(), first = 0, now = 0, ended = "";
    if (!model.kobitnet.chat) { body.appendChild(element("span", "given", messages[messages.length - 1].content)); }
    var place = document.createTextNode("");
    body.appendChild(place);
    try {
      var response = await request();
      if (!response.ok) { throw new Error(await problemOf(response)); }
      for await (var event of events(response)) {
        if (event.error) { throw new Error(event.error.message); }
        if (event.usage) { tokens = event.usage.completion_tokens; }
        var choice = event.choices[0];
        if (!choice) { continue; }
        if (choice.finish_reason === "length") { ended = "길이 한도에서 멈춤"; }
        var piece = choice.delta ? choice.delta.content : choice.text;
        if (piece) {
          var follow = atEnd();
          now = performance.now();
          first = first || now;
          text += piece;
          place.data = text;
          if (follow) { toEnd(); }
        }
      }
    } catch (error) {
      if (error.name === "AbortError") { ended = "멈춤"; }
      else { complain(error instanceof TypeError ? "서버와 연결이 끊겼습니다." : error.message); }
      if (!text && error.name !== "AbortError") {
        made.remove();
        var lost = messages.pop();  // the question goes back to where it was typed
        ask.value = ask.value || lost.content;
        if (asked) { asked.remove(); }
        asked = null;
        last = Array.prototype.pop.call(Array.from(log.querySelectorAll(".answer"))) || null;
        empty.hidden = last !== null;
        going = null;
        grow();
        say("답을 받지 못했습니다");
        state();
        return;
      }
    }
    var follow = atEnd();
    if (text) { messages.push({ role: "assistant", content: text }); }
    finish(made, text, factsOf(tokens, began, first, now, ended), ended === "멈춤" ? "멈췄습니다" : "답이 끝났습니다");
    if (follow) { toEnd(); }
    going = null;
    state();
    ask.focus();
  }

  // ---- what people do ----------------------------------------------------------------------------
  function submit() {
    var text = ask.value.trim();
    if (going || !model || !text) { return; }
    // An answer that was stopped before its first word leaves two questions in a row: the new one takes its place.
    if (messages.length && messages[messages.length - 1].role === "user") { messages.pop(); }
    messages.push({ role: "user", content: text });
    asked = model.kobitnet.chat ? article("user", "나", text) : null;
    ask.value = "";
    grow();
    answer();
  }
  $("form").addEventListener("submit", function (event) {
    event.preventDefault();
    if (going) { going.abort(); } else { submit(); }
  });
  ask.addEventListener("input", function () { grow(); state(); });
  ask.addEventListener("keydown", function (event) {
    // While a Hangul syllable is being composed, Enter belongs to the input method.
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing && event.keyCode !== 229) {
      event.preventDefault();
      submit();
    }
  });
  document.addEventListener("keydown", function (event) {
    if (event.key === "Escape" && going && !event.isComposing) { going.abort(); }
  });
  $("toggle").addEventListener("click", function () { settings($("settings").hidden); });
  $("fresh").addEventListener("click", function () {
    if (going) { going.abort(); }
    messages = [];
    last = null;
    var old = log.querySelectorAll("article");
    for (var i = 0; i < old.length; i++) { old[i].remove(); }
    empty.hidden = false;
    complain("");
    say("새 대화");
    state();
    ask.focus();
  });
  state();
  meet();
})();
