"""kodata synth over an endpoint: order, money, failures, provenance, and what `kodata dpo` makes of the answers."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from kodata.chat import read_chats
from kodata.chat.dpo import DpoConfig, dpo
from kodata.run.errors import UsageError, UserError
from kodata.synth import client as client_module
from kodata.synth import taxonomy
from kodata.synth.client import Ask, Client, EndpointConfig
from kodata.synth.sift import Pool, answer_problem, bare_question, korean_share, list_items, question_problem
from kodata.synth.verb import SynthConfig, synth

from .endpoint import Endpoint


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(client_module, "MAX_WAIT", 0.02)
    monkeypatch.delenv("KODATA_API_KEY", raising=False)


def settings(endpoint, **more):
    return EndpointConfig(endpoint=endpoint.url, model="made", **more)


def asks(count):
    return [Ask((("user", f"질문 {i}번입니다"),), i) for i in range(count)]


# ---- the client ----------------------------------------------------------------------------------


def test_answers_come_in_order_and_are_paid_for_once(tmp_path):
    with Endpoint(wait=0.005) as endpoint:
        with Client(settings(endpoint, concurrency=8), tmp_path) as client:
            first = list(client.answers([*asks(40), *asks(5)]))
            assert client.asked == 40
        assert 2 <= endpoint.most <= 8
        assert first[40:] == first[:5] and len({a.hash for a in first}) == 40
        with Client(settings(endpoint, concurrency=1), tmp_path) as client:
            assert list(client.answers(asks(41)))[:40] == first[:40]
            assert (client.asked, client.reused) == (1, 40)
        assert len(endpoint.bodies) == 41
        with Client(settings(endpoint, temperature=0.1), tmp_path) as client:
            list(client.answers(asks(1)))
        assert len(endpoint.bodies) == 42  # other settings are another request


def test_failures_that_pass_are_tried_again(tmp_path):
    passing = [
        (429, {"error": {"message": "slow down"}}, {"Retry-After": "99999"}), (500, b"x", {}), (503, b"", {}), (200, b"not json", {}),
        (200, {"choices": []}, {}), (200, {"choices": [{"message": {"content": None}}]}, {}), (200, b"[" * 100_000, {}),
    ]  # fmt: skip
    with Endpoint(lambda body, before: passing[before] if before < len(passing) else None) as endpoint:
        with Client(settings(endpoint, retries=len(passing)), tmp_path) as client:
            answers = list(client.answers(asks(3)))
    assert all(a.text and not a.problem for a in answers)
    assert set(endpoint.seen.values()) == {len(passing) + 1}


def test_an_endpoint_that_never_answers_stops_the_run(tmp_path):
    with Endpoint(lambda *_: (500, b"broken", {})) as endpoint:
        with (
            pytest.raises(UserError, match="500 broken") as caught,
            Client(settings(endpoint, retries=2), tmp_path) as client,
        ):
            list(client.answers(asks(1)))
        assert "같은 명령" in caught.value.help and len(endpoint.bodies) == 3
    with (
        pytest.raises(UserError, match="연결 실패"),
        Client(settings(endpoint, retries=0), tmp_path) as client,
    ):
        list(client.answers(asks(1)))  # nobody listens there any more


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_is_not_repeated(tmp_path, status):
    with Endpoint(lambda *_: (status, {"error": {"message": "wrong key"}}, {})) as endpoint:
        with (
            pytest.raises(UserError, match=f"{status} wrong key"),
            Client(settings(endpoint, concurrency=1), tmp_path) as client,
        ):
            list(client.answers(asks(3)))
    assert len(endpoint.bodies) <= 2


def test_one_bad_request_does_not_stop_the_others(tmp_path):
    def fail(body, before):
        return (
            (400, {"error": {"message": "너무 깁니다"}}, {})
            if "2번" in body["messages"][0]["content"]
            else None
        )

    with Endpoint(fail) as endpoint, Client(settings(endpoint), tmp_path) as client:
        answers = list(client.answers(asks(4)))
    assert [bool(a.problem) for a in answers] == [False, False, True, False]
    assert "너무 깁니다" in answers[2].problem


def test_slow_huge_and_redirecting_endpoints(tmp_path, monkeypatch):
    with Endpoint(wait=0.6) as endpoint:
        with (
            pytest.raises(UserError, match="Timeout"),
            Client(settings(endpoint, timeout=0.2, retries=0), tmp_path) as client,
        ):
            list(client.answers(asks(1)))
    monkeypatch.setattr(client_module, "MAX_RESPONSE", 1000)
    with Endpoint(lambda *_: (200, b" " * 5000, {})) as endpoint:
        with (
            pytest.raises(UserError, match="too large"),
            Client(settings(endpoint, retries=0), tmp_path) as client,
        ):
            list(client.answers(asks(1)))
    with (
        Endpoint() as other,
        Endpoint(lambda *_: (307, b"", {"Location": f"{other.url}/chat/completions"})) as endpoint,
    ):
        with Client(settings(endpoint, retries=0), tmp_path) as client:
            assert "307" in next(client.answers(asks(1))).problem
        assert other.bodies == []


def test_an_answer_without_text_is_an_empty_answer(tmp_path):
    silent = (200, {"choices": [{"message": {"content": None}, "finish_reason": "content_filter"}]}, {})
    with Endpoint(lambda body, before: silent if body["seed"] == 1 else None) as endpoint:
        with Client(settings(endpoint, retries=0), tmp_path) as client:
            answers = list(client.answers(asks(3)))
    assert [bool(a.text) for a in answers] == [True, False, True]
    assert answer_problem("물은?", answers[1]) == "empty_answer"


def test_any_seed_and_any_text_can_be_sent(tmp_path):
    odd = [Ask((("user", "질문"),), 10**20), Ask((("user", "반쪽 \ud800 글자"),), 0)]
    with Endpoint() as endpoint, Client(settings(endpoint, retries=0), tmp_path) as client:
        assert all(a.text for a in client.answers(odd))
    assert endpoint.bodies[0]["seed"] < 2**63


def test_the_rate_is_kept(tmp_path):
    with Endpoint() as endpoint, Client(settings(endpoint, rate=3000), tmp_path) as client:
        began = time.monotonic()
        list(client.answers(asks(11)))
        assert time.monotonic() - began >= 10 * 60 / 3000


def test_the_key_is_sent_and_never_written(tmp_path, monkeypatch):
    monkeypatch.setenv("MY_KEY", "sk-very-secret")
    with Endpoint() as endpoint:
        synth(
            "taxonomy", output=tmp_path / "t.jsonl", config=SynthConfig(count=2),
            ask=settings(endpoint, key_variable="MY_KEY"),
        )  # fmt: skip
        assert all(h["Authorization"] == "Bearer sk-very-secret" for h in endpoint.headers)
    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert len(files) >= 5 and all(b"very-secret" not in p.read_bytes() for p in files)


def test_half_a_line_and_a_broken_line_in_the_cache(tmp_path):
    with Endpoint() as endpoint:
        with Client(settings(endpoint), tmp_path) as client:
            first = list(client.answers(asks(3)))
        kept = tmp_path / "responses.jsonl"
        kept.write_bytes(kept.read_bytes()[:-20])
        with Client(settings(endpoint), tmp_path) as client:
            assert list(client.answers(asks(3))) == first and client.asked == 1
        kept.write_bytes(b"{broken}\n" + kept.read_bytes())
        with pytest.raises(UserError, match=r"responses\.jsonl:1"), Client(settings(endpoint), tmp_path):
            pass


def test_settings_are_checked():
    for bad in (
        {"endpoint": "ftp://x"}, {"endpoint": "없음"}, {"endpoint": "http://user:pw@x/v1"}, {"endpoint": "http://x/v1?key=1"},
        {"endpoint": "http://[::1"}, {"endpoint": "http://x:99999/v1"}, {"concurrency": 0}, {"timeout": 0}, {"rate": -1}, {"temperature": float("nan")}, {"top_p": 0},
    ):  # fmt: skip
        with pytest.raises(UsageError):
            EndpointConfig(**bad)


# ---- what is kept --------------------------------------------------------------------------------


def test_lists_as_models_write_them():
    text = "네, 다음과 같습니다:\n1. **첫째**: 설명\n2) 둘째\n\n - 셋째 \n① 넷째\n* 첫째: 설명\n그럼 이만.\n-\n10. 열째"
    assert list_items(text, 9) == ["첫째: 설명", "둘째", "셋째", "넷째", "열째"]
    assert list_items(text, 2) == ["첫째: 설명", "둘째"]
    assert list_items(text, 9, cut=True)[-1] == "넷째"  # half an item is none
    assert bare_question('**질문 1:** "물은 왜 끓나요?"') == "물은 왜 끓나요?"
    assert bare_question("과제: 시를 쓰세요.") == "시를 쓰세요."


def test_questions_and_answers_are_judged():
    from kodata.synth.client import Answer

    assert korean_share("abc 가나다") == 0.5 and korean_share("123") == 0
    assert question_problem("물은 왜 끓나요?") == ""
    assert question_problem("왜?") == "empty_prompt"
    assert question_problem("Why does water boil at all?") == "not_korean"
    assert question_problem("봄 풍경 그림을 그려 주세요.") == "impossible"
    assert question_problem("가 " * 2000) == "too_long"
    for text, finish, reason in [
        ("끓는점 때문입니다.", "stop", ""), (" ", "stop", "empty_answer"), ("긴 답", "length", "cut"), ("물은?", "stop", "echo"),
        ("English words only, " * 9, "stop", "not_korean"), ("x = 1 + 2", "stop", ""),
    ]:  # fmt: skip
        assert answer_problem("물은?", Answer(text, finish, "")) == reason
    assert answer_problem("물은?", Answer("", "", "", problem="400")) == "refused"


def test_the_pool_knows_near_questions():
    pool = Pool()
    assert pool.take("봄에 베란다에서 키우기 쉬운 채소 세 가지를 알려 주세요.")
    assert not pool.take("봄에 베란다에서 키우기 쉬운 채소 네 가지를 알려 주세요!")
    assert pool.take("겨울에 집 안에서 기르기 좋은 꽃을 골라 주세요.") and len(pool) == 2
    assert pool.take("?") and not pool.take("!")


# ---- whole runs ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["taxonomy", "self-instruct"])
def test_runs_are_the_same_for_any_concurrency_and_say_where_all_comes_from(tmp_path, kind):
    with Endpoint(wait=0.001) as endpoint:
        for name, concurrency in (("a", 1), ("b", 8)):
            result = synth(
                kind,
                output=tmp_path / f"{name}.jsonl",
                config=SynthConfig(count=18),
                ask=settings(endpoint, concurrency=concurrency),
                seed=2,
            )
        assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
        assert set(endpoint.answered.values()) == {2}  # one run each
    chats = list(read_chats(tmp_path / "a.jsonl"))
    assert result.summary["kept"] == len(chats) >= 12
    if kind == "taxonomy":  # every place is a chat or a drop; self-instruct asks on until there are enough
        assert result.summary["kept"] + result.summary["dropped"].get("near", 0) == 18
    else:
        assert result.summary["kept"] == 18
    dropped = (tmp_path / "a.run" / "dropped.jsonl").read_text().splitlines()
    assert len(dropped) == sum(result.summary["dropped"].values())
    facts = chats[0].meta["synth"]
    assert facts["generator"] == kind and facts["model"] == "made" and facts["endpoint"] == "127.0.0.1"
    assert facts["seed"] == 2 and len(facts["prompt_hash"]) == len(facts["answer_hash"]) == 24
    assert "http" not in json.dumps([c.meta for c in chats])
    if kind == "taxonomy":
        assert {
            "field",
            "discipline",
            "subject",
            "session",
            "concepts",
            "question_kind",
            "level",
        } <= facts.keys()
        assert len({c.meta["synth"]["discipline"] for c in chats}) > 10


@pytest.mark.parametrize(("kind", "count"), [("taxonomy", 60), ("self-instruct", 45)])
def test_a_dry_run_counts_and_asks_nothing(tmp_path, kind, count):
    tree = tmp_path / "tree.yaml"
    tree.write_text("농사:\n  levels: [실무]\n  disciplines: [벼농사, 과수, 밭농사]\n", encoding="utf-8")
    inputs = [str(tree)] if kind == "taxonomy" else []
    with Endpoint() as endpoint:
        run = {"output": tmp_path / "x.jsonl", "config": SynthConfig(count=count), "ask": settings(endpoint)}
        plan = synth(kind, inputs, **run, dry_run=True)
        assert not endpoint.bodies and list(tmp_path.iterdir()) == [tree]
        result = synth(kind, inputs, **run)
        assert result.summary["asked"] == len(endpoint.seen) <= plan.summary["requests_at_most"]
        if kind == "taxonomy":  # less the answers to questions that were not kept
            assert len(endpoint.seen) == plan.summary["requests"] - sum(result.summary["dropped"].values())


def test_a_stopped_run_goes_on_without_asking_again(tmp_path):
    allowed = [70]

    def fail(body, before):
        allowed[0] -= 1
        return (402, {"error": {"message": "no money"}}, {}) if allowed[0] < 0 else None

    with Endpoint(fail) as endpoint:
        run = {"output": tmp_path / "t.jsonl", "config": SynthConfig(count=40), "ask": settings(endpoint)}
        with pytest.raises(UserError, match="no money"):
            synth("taxonomy", **run)
        assert not (tmp_path / "t.jsonl").exists()
        allowed[0] = 10**6
        synth("taxonomy", **run)
        once = (tmp_path / "t.jsonl").read_bytes()
        assert set(endpoint.answered.values()) == {1}
        synth("taxonomy", **run, fresh=True)  # --fresh makes the file anew, the answers are still there
        assert set(endpoint.answered.values()) == {1}
        assert (tmp_path / "t.jsonl").read_bytes() == once
        (tmp_path / "t.jsonl").unlink()
    synth("taxonomy", **run, fresh=True)  # not even the endpoint is needed
    assert (tmp_path / "t.jsonl").read_bytes() == once


def test_a_killed_run_goes_on_without_paying_again(tmp_path):
    with Endpoint(wait=0.01) as endpoint:
        command = [
            sys.executable, "-m", "kodata", "synth", "taxonomy", "-o", str(tmp_path / "t.jsonl"), "--count", "30",
            "--endpoint", endpoint.url, "--model", "made", "--concurrency", "3",
        ]  # fmt: skip
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        while sum(endpoint.answered.values()) < 40:
            assert process.poll() is None
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        time.sleep(0.05)
        paid = sum(endpoint.answered.values())
        assert not (tmp_path / "t.jsonl").exists()
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        twice = sum(n - 1 for n in endpoint.answered.values())
        assert twice <= 3, "only what was on its way when the process died"
        assert paid >= 40 and len(list(read_chats(tmp_path / "t.jsonl"))) > 20


def test_a_model_that_says_nothing_usable_is_told(tmp_path):
    nonsense = {"choices": [{"message": {"content": "zzz"}, "finish_reason": "stop"}]}
    with Endpoint(lambda *_: (200, nonsense, {})) as endpoint:
        with pytest.raises(UserError, match="목록"):
            synth(
                "taxonomy", output=tmp_path / "t.jsonl", config=SynthConfig(count=3), ask=settings(endpoint)
            )
        with pytest.raises(UserError):
            synth(
                "self-instruct",
                output=tmp_path / "s.jsonl",
                config=SynthConfig(count=3),
                ask=settings(endpoint),
            )
        assert len(endpoint.seen) < 100  # it gives up
    with pytest.raises(UsageError, match="endpoint"):
        synth("taxonomy", output=tmp_path / "u.jsonl")


def test_a_folder_of_taxonomies_is_refused(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.yaml").write_text(
            "과학:\n  levels: [중등]\n  disciplines: [역학]\n", encoding="utf-8"
        )
    ask = EndpointConfig(endpoint="http://127.0.0.1:9/v1", model="made")
    with pytest.raises(UsageError, match="takes no such input"):
        synth("taxonomy", [str(tmp_path)], output=tmp_path / "o.jsonl", ask=ask, dry_run=True)


def test_taxonomies_of_the_house_and_of_others(tmp_path):
    tree = taxonomy.read_taxonomy(None)
    names = [d for entry in tree.values() for d in entry["disciplines"]]
    assert len(tree) >= 12 and len(names) >= 150 and len(set(names)) == len(names)
    places = taxonomy.leaves(tree, 5000, seed=1)
    assert places[:100] == taxonomy.leaves(tree, 100, seed=1) and len(set(places)) == 5000
    own = tmp_path / "own.yaml"
    own.write_text("농사:\n  levels: [실무]\n  disciplines: [벼농사, 과수]\n", encoding="utf-8")
    with Endpoint() as endpoint:
        synth(
            "taxonomy",
            [str(own)],
            output=tmp_path / "o.jsonl",
            config=SynthConfig(count=4),
            ask=settings(endpoint),
        )
    assert {c.meta["synth"]["field"] for c in read_chats(tmp_path / "o.jsonl")} == {"농사"}
    for bad in (
        "",
        "[1]",
        "a: 1",
        "a: {levels: [], disciplines: [x]}",
        "a: {levels: [x]}",
        "a: [",
        "a: {levels: [1], disciplines: [x]}",
    ):
        own.write_text(bad, encoding="utf-8")
        with pytest.raises(UserError):
            taxonomy.read_taxonomy(own)


CHATS = [
    ("c1", "수도는 어디인가요?", "서울입니다."),
    ("c2", "물은 몇 도에서 끓나요?", "섭씨 100도에서 끓습니다."),
    ("c3", "하늘은 왜 파란가요?", "빛이 흩어지기 때문입니다."),
]


@pytest.fixture
def chats(tmp_path):
    path = tmp_path / "chat.jsonl"
    rows = [
        {
            "id": i,
            "messages": [
                {"role": "system", "content": "짧게."},
                {"role": "user", "content": q},
                {"role": "assistant", "content": a},
            ],
        }
        for i, q, a in CHATS
    ]
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
    return path


def test_answers_become_rejected_answers(tmp_path, chats):
    with Endpoint() as endpoint:
        out = tmp_path / "answers.jsonl"
        result = synth(
            "answers", [str(chats)], output=out, config=SynthConfig(samples=2), ask=settings(endpoint), seed=9
        )
        assert result.summary["kept"] == 6
        assert endpoint.bodies and {m["role"] for b in endpoint.bodies for m in b["messages"]} == {
            "system",
            "user",
        }
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [r["id"] for r in rows] == ["c1", "c1", "c2", "c2", "c3", "c3"]
    assert rows[0].keys() == {"id", "prompt", "response", "model", "settings"}
    assert rows[0]["settings"]["endpoint"] == "127.0.0.1" and rows[1]["settings"]["seed"] == 10
    pairs = dpo([str(chats)], output=tmp_path / "pairs.jsonl", config=DpoConfig(rejected=out))
    assert pairs.summary["kept"] >= 3 and pairs.summary["dropped"].keys() <= {"identical", "duplicate"}
    line = json.loads((tmp_path / "pairs.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert (
        line["chosen"][0]["content"] == "서울입니다."
        and line["rejected"][0]["content"] == rows[0]["response"]
    )
    with Endpoint() as endpoint:  # pairs are asked too
        again = synth(
            "answers",
            [str(tmp_path / "pairs.jsonl")],
            output=tmp_path / "more.jsonl",
            ask=settings(endpoint),
            limit=2,
        )
        assert again.summary["kept"] == 2


def test_seeds_of_the_user(tmp_path, chats):
    with Endpoint() as endpoint:
        with pytest.raises(UserError, match="씨앗"):
            synth("self-instruct", [str(chats)], output=tmp_path / "s.jsonl", ask=settings(endpoint))
        rows = [
            {"messages": [{"role": "user", "content": f"{c} 나무의 쓰임새를 알려 주세요"}]}
            for c in "감배귤밤솔"
        ]
        own = tmp_path / "seeds.jsonl"
        own.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
        synth(
            "self-instruct",
            [str(own)],
            output=tmp_path / "t.jsonl",
            config=SynthConfig(count=3),
            ask=settings(endpoint),
        )
        first = endpoint.bodies[0]["messages"][-1]["content"]
        assert "감 나무의 쓰임새" in first and "베란다" not in first
