"""Problems of the first three school years: whole numbers, money, time and units.

A template takes a random generator and gives a `Problem`. The answer is computed in the story; `expression` states the
same value once more in plain arithmetic, and `kodata.synth.arithmetic.check` evaluates it, every equation of the solution
and the answer as it is written, and compares.
"""

import random

from kodata.synth.korean import comma, josa
from kodata.synth.problem import (
    GOODS,
    PLACES,
    THINGS,
    Problem,
    Template,
    much,
    two_people,
)


def add(rng: random.Random) -> Problem:
    who, other = two_people(rng)
    thing, counter = rng.choice(THINGS)
    a, b = rng.randint(3, 60), rng.randint(2, 39)
    question = rng.choice(
        [
            f"{josa(who, '은')} {josa(thing, '을')} {much(rng, a, counter)} 가지고 있었습니다. {josa(other, '이')} {josa(much(rng, b, counter), '을')} 더 주었다면 {josa(who, '이')} 가진 {josa(thing, '은')} 모두 몇 {counter}입니까?",
            f"바구니에 {josa(thing, '이')} {much(rng, a, counter)} 있습니다. 여기에 {josa(much(rng, b, counter), '을')} 더 넣으면 {josa(thing, '은')} 모두 몇 {josa(counter, '이')} 됩니까?",
            f"어제는 {thing} {much(rng, a, counter)}, 오늘은 {josa(much(rng, b, counter), '을')} 모았습니다. 이틀 동안 모은 {josa(thing, '은')} 모두 몇 {counter}인가요?",
        ]
    )
    return Problem(
        template="add", grade=1, concepts=("덧셈",), question=question,
        steps=(f"처음에 있던 수와 늘어난 수를 더합니다: {a} + {b} = {a + b}",),
        expression=f"{a} + {b}", answer=f"{a + b}{counter}",
    )  # fmt: skip


def take(rng: random.Random) -> Problem:
    who, other = two_people(rng)
    thing, counter = rng.choice(THINGS)
    b = rng.randint(2, 45)
    a = b + rng.randint(1, 50)
    question = rng.choice(
        [
            f"{josa(who, '은')} {josa(thing, '을')} {much(rng, a, counter)} 가지고 있었는데 {other}에게 {josa(much(rng, b, counter), '을')} 주었습니다. {who}에게 남은 {josa(thing, '은')} 몇 {counter}입니까?",
            f"{rng.choice(PLACES)}에 있던 {thing} {much(rng, a, counter)} 가운데 {josa(much(rng, b, counter), '을')} 썼습니다. 남은 {josa(thing, '은')} 몇 {counter}인가요?",
            f"{josa(thing, '이')} {much(rng, a, counter)} 필요한데 지금 {josa(much(rng, b, counter), '이')} 있습니다. 몇 {josa(counter, '이')} 더 있어야 합니까?",
        ]
    )
    return Problem(
        template="take", grade=1, concepts=("뺄셈",), question=question,
        steps=(f"전체에서 뺍니다: {a} - {b} = {a - b}",),
        expression=f"{a} - {b}", answer=f"{a - b}{counter}",
    )  # fmt: skip


def compare(rng: random.Random) -> Problem:
    who, other = two_people(rng)
    thing, counter = rng.choice(THINGS)
    a, more = rng.randint(5, 60), rng.randint(2, 30)
    up = rng.random() < 0.5 or more >= a
    b = a + more if up else a - more
    sign = "+" if up else "-"
    question = (
        f"{josa(who, '은')} {josa(thing, '을')} {much(rng, a, counter)} 모았고, {josa(other, '은')} {who}보다 "
        f"{much(rng, more, counter)} {'더 많이' if up else '더 적게'} 모았습니다. 두 사람이 모은 {josa(thing, '은')} 모두 몇 {counter}입니까?"
    )
    return Problem(
        template="compare", grade=2, concepts=("덧셈", "뺄셈", "비교"), question=question,
        steps=(
            f"{josa(other, '이')} 모은 수를 구합니다: {a} {sign} {more} = {b}",
            f"두 사람이 모은 수를 더합니다: {a} + {b} = {a + b}",
        ),
        expression=f"{a} + ({a} {sign} {more})", answer=f"{a + b}{counter}",
    )  # fmt: skip


def groups(rng: random.Random) -> Problem:
    thing, counter = rng.choice(THINGS)
    a, b = rng.randint(2, 12), rng.randint(2, 15)
    box = rng.choice(["상자", "봉지", "바구니", "묶음"])
    question = rng.choice(
        [
            f"한 {box}에 {josa(thing, '이')} {much(rng, b, counter)}씩 들어 있습니다. {box} {a}개에는 {josa(thing, '이')} 모두 몇 {counter} 들어 있습니까?",
            f"{thing} {josa(much(rng, b, counter), '을')} 담은 {josa(box, '이')} {a}개 있습니다. {josa(thing, '은')} 모두 몇 {counter}인가요?",
            f"학생 {a}명에게 {josa(thing, '을')} {much(rng, b, counter)}씩 나누어 주려면 {josa(thing, '이')} 몇 {counter} 필요합니까?",
        ]
    )
    return Problem(
        template="groups", grade=2, concepts=("곱셈",), question=question,
        steps=(f"같은 수가 {a}번 있으므로 곱합니다: {b} × {a} = {a * b}",),
        expression=f"{b} * {a}", answer=f"{a * b}{counter}",
    )  # fmt: skip


def share(rng: random.Random) -> Problem:
    thing, counter = rng.choice(THINGS)
    people, each = rng.randint(2, 12), rng.randint(2, 15)
    total = people * each
    question = rng.choice(
        [
            f"{thing} {comma(total)}{josa(counter, '을')} {people}명이 똑같이 나누어 가지면 한 사람이 몇 {counter}씩 가지게 됩니까?",
            f"{thing} {comma(total)}{josa(counter, '을')} 접시 {people}개에 똑같이 나누어 담으려고 합니다. 접시 하나에 몇 {counter}씩 담으면 되나요?",
        ]
    )
    return Problem(
        template="share", grade=3, concepts=("나눗셈",), question=question,
        steps=(f"전체를 똑같이 나눕니다: {total} ÷ {people} = {each}",),
        expression=f"{total} / {people}", answer=f"{each}{counter}",
    )  # fmt: skip


def remainder(rng: random.Random) -> Problem:
    thing, counter = rng.choice(THINGS)
    per, boxes = rng.randint(3, 12), rng.randint(3, 15)
    left = rng.randint(1, per - 1)
    total = per * boxes + left
    step = f"{total} ÷ {per} = {boxes} … {left}"
    start = f"{thing} {comma(total)}{josa(counter, '을')} 한 봉지에 {per}{counter}씩 담으려고 합니다. "
    kind = rng.choice(["left", "full", "all"])
    asked, steps, expression, answer = {
        "left": (f"봉지에 담고 남는 {josa(thing, '은')} 몇 {counter}입니까?", (f"나누고 남은 것이 나머지입니다: {step}",), f"{total} % {per}", f"{left}{counter}"),
        "full": ("가득 찬 봉지는 몇 개가 됩니까?", (f"몫이 가득 찬 봉지의 수입니다: {step}",), f"{total} // {per}", f"{boxes}개"),
        "all": (
            f"{josa(thing, '을')} 남김없이 모두 담으려면 봉지는 적어도 몇 개 있어야 합니까?",
            (f"먼저 나눕니다: {step}", f"남은 {left}{counter}도 담아야 하므로 봉지가 하나 더 있어야 합니다: {boxes} + 1 = {boxes + 1}"),
            f"({total} + {per} - 1) // {per}", f"{boxes + 1}개",
        ),
    }[kind]  # fmt: skip
    return Problem(
        template="remainder", grade=3, concepts=("나눗셈", "몫과 나머지"), question=start + asked,
        steps=steps, expression=expression, answer=answer,
    )  # fmt: skip


def change(rng: random.Random) -> Problem:
    who, _ = two_people(rng)
    (a, low, high), (b, low2, high2) = rng.sample(GOODS, 2)
    price, price2 = rng.randrange(low, high + 1, 50), rng.randrange(low2, high2 + 1, 50)
    n, m = rng.randint(1, 5), rng.randint(1, 4)
    cost = price * n + price2 * m
    paid = next(p for p in (5_000, 10_000, 20_000, 50_000) if p > cost)
    question = (
        f"{josa(who, '은')} {rng.choice(['문구점', '가게', '편의점', '매점'])}에서 하나에 {comma(price)}원인 {a} {n}개와 "
        f"하나에 {comma(price2)}원인 {b} {m}개를 샀습니다. {comma(paid)}원을 냈다면 거스름돈은 얼마입니까?"
    )
    return Problem(
        template="change", grade=3, concepts=("곱셈", "덧셈", "뺄셈", "돈"), question=question,
        steps=(
            f"{a} 값: {comma(price)} × {n} = {comma(price * n)}",
            f"{b} 값: {comma(price2)} × {m} = {comma(price2 * m)}",
            f"모두 더합니다: {comma(price * n)} + {comma(price2 * m)} = {comma(cost)}",
            f"낸 돈에서 뺍니다: {comma(paid)} - {comma(cost)} = {comma(paid - cost)}",
        ),
        expression=f"{paid} - ({price} * {n} + {price2} * {m})", answer=f"{comma(paid - cost)}원",
    )  # fmt: skip


def clock(rng: random.Random) -> Problem:
    who, _ = two_people(rng)
    start = rng.randrange(7 * 60, 17 * 60, 5)
    took = rng.choice([t for t in range(65, 240, 5) if t % 60])
    end = start + took

    def said(minutes: int) -> str:
        hour, minute = divmod(minutes, 60)
        half = "오전" if hour < 12 else "오후"
        return f"{half} {hour if hour <= 12 else hour - 12}시" + (f" {minute}분" if minute else "")

    what = rng.choice(["숙제를", "등산을", "청소를", "축구를", "그림 그리기를", "독서를"])
    question = f"{josa(who, '은')} {said(start)}에 {what} 시작하여 {said(end)}에 마쳤습니다. {what} 하는 데 걸린 시간은 몇 시간 몇 분입니까?"
    hours, minutes = divmod(took, 60)
    return Problem(
        template="clock", grade=3, concepts=("시각과 시간",), question=question,
        steps=(
            f"시작한 시각을 분으로 나타냅니다: {start // 60} × 60 + {start % 60} = {start}",
            f"마친 시각을 분으로 나타냅니다: {end // 60} × 60 + {end % 60} = {end}",
            f"두 시각의 차를 구합니다: {end} - {start} = {took}",
            f"{took}분은 60분이 {hours}번이고 {minutes}분이 남습니다: {hours} × 60 + {minutes} = {took}",
        ),
        expression=f"{end} - {start}", answer=f"{hours}시간 {minutes}분",
    )  # fmt: skip


def lengths(rng: random.Random) -> Problem:
    big, small, factor, what = rng.choice(
        [
            ("m", "cm", 100, "끈"),
            ("km", "m", 1000, "산책로"),
            ("kg", "g", 1000, "밀가루"),
            ("L", "mL", 1000, "물"),
        ]
    )
    a = rng.randint(2, 9) * factor + rng.randrange(5, factor, 5)
    b = rng.randrange(factor // 10, a - 5, 5)
    verb = {"끈": "잘라 썼습니다", "산책로": "걸었습니다", "밀가루": "썼습니다", "물": "마셨습니다"}[what]
    has = {"끈": "길이가", "산책로": "길이가", "밀가루": "무게가", "물": "양이"}[what]
    question = (
        f"{has} {a // factor}{big} {a % factor}{small}인 {josa(what, '이')} 있습니다. 그 가운데 {b}{small}만큼 {verb}. "
        f"남은 것은 몇 {small}입니까?"
    )
    return Problem(
        template="lengths", grade=3, concepts=("단위 바꾸기", "뺄셈"), question=question,
        steps=(
            f"{josa(f'1{big}', '은')} {factor}{small}입니다: {a // factor} × {factor} + {a % factor} = {a}",
            f"쓴 만큼 뺍니다: {a} - {b} = {a - b}",
        ),
        expression=f"{a // factor} * {factor} + {a % factor} - {b}", answer=f"{a - b}{small}",
    )  # fmt: skip


EARLY: tuple[Template, ...] = (add, take, compare, groups, share, remainder, change, clock, lengths)  # fmt: skip
