"""The chat page in a real browser: asking by keyboard, text as it comes, stopping, errors, light and dark."""

import pytest

from . import chromium
from .serving import ANSWER, Scripted, scripted, until

pytestmark = [pytest.mark.slow, pytest.mark.skipif(chromium.BROWSER is None, reason="no Chromium here")]

GOING = "document.body.classList.contains('going')"


def texts(page, kind):
    return page.js(f"Array.from(document.querySelectorAll('article.{kind} .text'), e => e.textContent)")


@pytest.fixture
def page(tmp_path):
    with chromium.Page(tmp_path / "profile") as made:
        yield made


def test_a_conversation(tmp_path, page):
    backend = Scripted(wait=0.004)
    with scripted(backend, tmp_path, max_tokens=300) as client:
        page.emulate(dark=False)
        page.open(client.address)
        page.until("document.getElementById('max_tokens').max === '300'")
        assert page.js("document.activeElement.id") == "ask"
        assert page.js("document.getElementById('send').disabled")

        page.type("봄에는 무엇이 ")
        page.press("Enter", shift=True)
        page.type("푸르러지나요?")
        page.press("Enter")
        page.until(f"{GOING} && document.querySelector('article.answer .text').textContent.length > 2")
        partial = texts(page, "answer")[0]
        assert ANSWER.startswith(partial) and "\ufffd" not in partial
        page.until(f"!{GOING}")
        assert texts(page, "answer") == [ANSWER]
        assert texts(page, "user") == ["봄에는 무엇이 \n푸르러지나요?"]
        facts = page.js("document.querySelector('.facts').textContent")
        assert "토큰/초" in facts and "첫 글자" in facts
        assert page.js("document.getElementById('status').textContent") == "답이 끝났습니다"
        assert page.js("document.activeElement.id") == "ask"

        # The next question brings the conversation along, as text: markup stays what it is.
        backend.answer = "<img src=x onerror=alert(1)> & <b>굵게</b>"
        page.type("다음은?<|eot_id|>")
        page.press("Enter")
        page.until(f"!{GOING} && document.querySelectorAll('article.answer').length === 2")
        assert (
            texts(page, "answer")[1] == backend.answer
            and page.js("document.querySelectorAll('img, b').length") == 0
        )
        decoded = client.opened.runner.backend.tokenizer.decode(backend.calls[-1]["ids"])
        assert "푸르러지나요?" in decoded and ANSWER in decoded and "다음은?" in decoded

        # Again: the last answer is made anew from the same question.
        backend.answer = "다른 답"
        page.js("document.querySelector('article:last-child .again').click()")
        page.until(
            f"!{GOING} && document.querySelectorAll('article.answer')[1].textContent.includes('다른 답')"
        )
        assert backend.calls[-1]["ids"] == backend.calls[-2]["ids"]

        paper = "getComputedStyle(document.body).backgroundColor"
        light = page.js(paper)
        page.emulate(dark=True)
        dark = page.js(paper)
        assert light != dark
        page.js("document.getElementById('theme').click()")
        assert page.js(paper) == light
        page.call(
            "Emulation.setDeviceMetricsOverride", width=360, height=640, deviceScaleFactor=1, mobile=True
        )
        assert page.js("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0

        page.js("document.getElementById('fresh').click()")
        assert texts(page, "answer") == [] and not page.js("document.getElementById('empty').hidden")
        assert page.errors == []
        assert all(address.startswith((client.address, "data:")) for address in page.requests)


def test_stopping_and_settings_by_keyboard(tmp_path, page):
    backend = Scripted("가" * 100, wait=0.02)
    with scripted(backend, tmp_path) as client:
        page.open(client.address)
        page.until("document.getElementById('max_tokens').max")
        page.js("document.querySelector('.skip').focus()")
        reached = []
        for _ in range(4):  # 새 대화, 설정, 어둡게, then the log
            page.press("Tab")
            reached.append(page.js("document.activeElement.id"))
            if reached[-1] == "toggle":
                page.press("Enter")
        assert reached[:2] == ["fresh", "toggle"] and not page.js(
            "document.getElementById('settings').hidden"
        )
        page.js("document.getElementById('temperature').value = 0; document.getElementById('seed').value = 5")
        page.js("document.getElementById('system').value = '짧게.'; document.getElementById('ask').focus()")
        for stop in ("Escape", " "):
            page.type("길게")
            page.press("Enter")
            page.until(
                f"{GOING} && document.querySelector('article:last-child .text').textContent.length > 2"
            )
            if stop == " ":  # the button becomes the stop button
                assert page.js("document.getElementById('send').textContent") == "멈춤"
                page.press("Tab")
                assert page.js("document.activeElement.id") == "send"
            page.press(stop)
            page.until(f"!{GOING}")
            until(lambda: backend.open == 0)
            assert "멈춤" in page.js("document.querySelector('article:last-child .facts').textContent")
            assert page.js("document.activeElement.id") == "ask"
        assert backend.given < 200
        call = backend.calls[0]
        assert (call["temperature"], call["seed"], call["top_k"]) == (0.0, 5, 40)
        assert client.opened.runner.backend.tokenizer.decode(call["ids"]).find("System: 짧게.") >= 0
        assert page.errors == []


def test_keys_errors_and_base_models(tmp_path, page):
    backend = Scripted("이어진다.")
    with scripted(backend, tmp_path, stage="pretrain", api_key="열쇠1") as client:
        page.open(client.address)
        page.until("!document.getElementById('problem').hidden")
        assert "키" in page.js("document.getElementById('problem').textContent")
        assert page.js("document.activeElement.id") == "key"
        page.js("document.getElementById('key').value = ''")
    with scripted(backend, tmp_path, stage="pretrain", api_key="key-1") as client:
        page.open(client.address)
        page.until("document.activeElement.id === 'key'")
        page.type("key-1")
        page.press("Tab")
        page.until("document.getElementById('max_tokens').max")
        page.js("document.getElementById('ask').focus()")
        page.type("강가에")
        page.press("Enter")
        page.until(f"!{GOING} && document.querySelector('article.answer')")
        assert texts(page, "answer") == ["강가에 이어진다."]
        client.opened.runner.backend.positions = 1
        page.type("가" * 9000)
        page.press("Enter")
        page.until(f"!{GOING} && !document.getElementById('problem').hidden")
        assert "너무 깁니다" in page.js("document.getElementById('problem').textContent")
        assert page.js("document.getElementById('ask').value.length") == 9000
        assert len(texts(page, "answer")) == 1
