"""Problems of the last three school years: fractions, figures, ratios, rules and stories of several steps."""

import random
from fractions import Fraction
from math import gcd, lcm

from kodata.synth.korean import comma, josa
from kodata.synth.problem import (
    THINGS,
    Problem,
    Template,
    decimal_text,
    fraction_text,
    two_people,
)


def rectangle(rng: random.Random) -> Problem:
    w, h = rng.randint(3, 40), rng.randint(3, 40)
    what = rng.choice(["꽃밭", "색종이", "운동장", "액자", "텃밭"])
    unit = "cm" if what in ("색종이", "액자") else "m"
    if rng.random() < 0.5:
        asked, steps = (
            f"둘레는 몇 {unit}입니까?",
            (f"둘레는 가로와 세로를 더한 것의 두 배입니다: ({w} + {h}) × 2 = {(w + h) * 2}",),
        )
        expression, answer, concept = f"({w} + {h}) * 2", f"{(w + h) * 2}{unit}", "둘레"
    else:
        square = {"cm": "㎠", "m": "㎡"}[unit]
        asked, steps = f"넓이는 몇 {square}입니까?", (f"넓이는 가로와 세로의 곱입니다: {w} × {h} = {w * h}",)
        expression, answer, concept = f"{w} * {h}", f"{w * h}{square}", "넓이"
    return Problem(
        template="rectangle", grade=4, concepts=("직사각형", concept), expression=expression, answer=answer, steps=steps,
        question=f"가로가 {w}{unit}, 세로가 {h}{unit}인 직사각형 모양의 {josa(what, '이')} 있습니다. 이 {what}의 {asked}",
    )  # fmt: skip


def triangle(rng: random.Random) -> Problem:
    base, height = rng.randint(2, 20) * 2, rng.randint(3, 30)
    return Problem(
        template="triangle", grade=5, concepts=("삼각형", "넓이"),
        question=f"밑변의 길이가 {base}cm이고 높이가 {height}cm인 삼각형의 넓이는 몇 ㎠입니까?",
        steps=(f"삼각형의 넓이는 밑변과 높이의 곱을 2로 나눈 것입니다: {base} × {height} ÷ 2 = {base * height // 2}",),
        expression=f"{base} * {height} / 2", answer=f"{base * height // 2}㎠",
    )  # fmt: skip


def average(rng: random.Random) -> Problem:
    n = rng.randint(3, 6)
    numbers = [rng.randint(40, 98) for _ in range(n - 1)]
    last = next(x for x in range(60, 60 + n) if (sum(numbers) + x) % n == 0)
    numbers.append(last + n * rng.randint(0, 5))
    total = sum(numbers)
    who, _ = two_people(rng)
    shown = ", ".join(f"{x}점" for x in numbers)
    return Problem(
        template="average", grade=5, concepts=("평균",),
        question=f"{who}의 시험 점수는 차례대로 {shown}입니다. 점수의 평균은 몇 점입니까?",
        steps=(
            f"점수를 모두 더합니다: {' + '.join(map(str, numbers))} = {total}",
            f"시험을 본 횟수로 나눕니다: {total} ÷ {n} = {total // n}",
        ),
        expression=f"({' + '.join(map(str, numbers))}) / {n}", answer=f"{total // n}점",
    )  # fmt: skip


def discount(rng: random.Random) -> Problem:
    what = rng.choice(["운동화", "가방", "모자", "점퍼", "책상", "자전거", "우산"])
    price, percent = rng.randint(4, 90) * 1000, rng.choice([5, 10, 15, 20, 25, 30, 40, 50])
    off = price * percent // 100
    return Problem(
        template="discount", grade=6, concepts=("백분율", "뺄셈"),
        question=f"정가가 {comma(price)}원인 {josa(what, '을')} {percent}% 할인하여 팝니다. 이 {josa(what, '을')} 사려면 얼마를 내야 합니까?",
        steps=(
            f"할인하는 금액을 구합니다: {comma(price)} × {percent} ÷ 100 = {comma(off)}",
            f"정가에서 뺍니다: {comma(price)} - {comma(off)} = {comma(price - off)}",
        ),
        expression=f"{price} - {price} * {percent} / 100", answer=f"{comma(price - off)}원",
    )  # fmt: skip


def part_of(rng: random.Random) -> Problem:
    thing, counter = rng.choice(THINGS)
    who, _ = two_people(rng)
    below = rng.randint(3, 9)
    above = rng.choice([x for x in range(1, below) if gcd(x, below) == 1])
    total = below * rng.randint(3, 12)
    used = total // below * above
    return Problem(
        template="part_of", grade=4, concepts=("분수", "곱셈"),
        question=f"{josa(who, '은')} {thing} {total}{counter} 가운데 {josa(f'{above}/{below}', '을')} 친구들에게 나누어 주었습니다. 나누어 주고 남은 {josa(thing, '은')} 몇 {counter}입니까?",
        steps=(
            f"{josa(f'{total}{counter}', '을')} {below}묶음으로 나눕니다: {total} ÷ {below} = {total // below}",
            f"나누어 준 수를 구합니다: {total // below} × {above} = {used}",
            f"전체에서 뺍니다: {total} - {used} = {total - used}",
        ),
        expression=f"{total} - {total} * {above} / {below}", answer=f"{total - used}{counter}",
    )  # fmt: skip


def fractions(rng: random.Random) -> Problem:
    b, d = rng.randint(2, 9), rng.randint(2, 9)
    x, y = Fraction(rng.randint(1, b - 1), b), Fraction(rng.randint(1, d - 1), d)
    minus = rng.random() < 0.4 and x != y
    if minus and x < y:
        x, y = y, x
    sign, value = ("-", x - y) if minus else ("+", x + y)
    below = lcm(x.denominator, y.denominator)
    p, q = x.numerator * (below // x.denominator), y.numerator * (below // y.denominator)
    whole = p - q if minus else p + q
    steps = [f"계산합니다: {p}/{below} {sign} {q}/{below} = {whole}/{below}"]
    if x.denominator != y.denominator:
        steps.insert(0, f"통분합니다: {x} = {p}/{below}, {y} = {q}/{below}")
    if Fraction(whole, below).denominator != below:
        steps.append(f"약분합니다: {whole}/{below} = {value.numerator}/{value.denominator}")
    if value.denominator > 1 and value > 1:
        steps.append(f"대분수로 나타냅니다: {fraction_text(value)}")
    question = rng.choice(
        [
            f"{x} {sign} {josa(str(y), '을')} 계산하여 기약분수로 나타내십시오. (1보다 크면 대분수로)",
            f"물통에 물이 {x}L 들어 있습니다. 물을 {y}L {'쓰면' if minus else '더 부으면'} 몇 L가 됩니까? 기약분수나 대분수로 답하십시오.",
        ]
    )
    unit = "L" if "물통" in question else ""
    return Problem(
        template="fractions", grade=5, concepts=("분수의 덧셈과 뺄셈", "통분"), question=question,
        steps=tuple(steps), expression=f"{x} {sign} {y}", answer=f"{fraction_text(value)}{unit}",
    )  # fmt: skip


def decimals(rng: random.Random) -> Problem:
    a, b = rng.randint(101, 999), rng.randint(11, 480)
    minus = rng.random() < 0.5 and b < a
    value = a - b if minus else a + b
    x, y, sign = decimal_text(a), decimal_text(b), "-" if minus else "+"
    who, _ = two_people(rng)
    if minus:
        question = f"길이가 {x}m인 리본에서 {y}m를 잘라 냈습니다. 남은 리본은 몇 m입니까?"
    else:
        question = f"{josa(who, '은')} 오전에 {x}km, 오후에 {y}km를 걸었습니다. 하루 동안 걸은 거리는 모두 몇 km입니까?"
    return Problem(
        template="decimals", grade=4, concepts=("소수의 덧셈과 뺄셈",), question=question,
        steps=(f"소수점의 자리를 맞추어 계산합니다: {x} {sign} {y} = {decimal_text(value)}",),
        expression=f"{x} {sign} {y}", answer=f"{decimal_text(value)}{'m' if minus else 'km'}",
    )  # fmt: skip


def speed(rng: random.Random) -> Problem:
    what, low, high = rng.choice(
        [("자동차", 50, 100), ("기차", 80, 150), ("자전거", 10, 25), ("버스", 40, 80)]
    )
    v, hours = rng.randrange(low, high + 1, 5), rng.randint(2, 6)
    where = rng.choice(["할머니 댁", "바닷가", "캠핑장", "이웃 도시"])
    if rng.random() < 0.5:
        question = f"한 시간에 {v}km를 가는 {josa(what, '이')} 같은 빠르기로 {hours}시간 동안 달렸습니다. 달린 거리는 몇 km입니까?"
        steps, expression, answer = (f"{v} × {hours} = {v * hours}",), f"{v} * {hours}", f"{v * hours}km"
    else:
        question = f"{where}까지의 거리는 {v * hours}km입니다. 한 시간에 {v}km를 가는 {josa(what, '으로')} 가면 몇 시간이 걸립니까?"
        steps, expression, answer = (f"{v * hours} ÷ {v} = {hours}",), f"{v * hours} / {v}", f"{hours}시간"
    lead = (
        "거리는 빠르기와 시간의 곱입니다: " if "*" in expression else "시간은 거리를 빠르기로 나눈 것입니다: "
    )
    return Problem(
        template="speed", grade=6, concepts=("빠르기",), question=question, steps=(lead + steps[0],),
        expression=expression, answer=answer,
    )  # fmt: skip


def ratio(rng: random.Random) -> Problem:
    who, other = two_people(rng)
    a, b = rng.choice([(1, 2), (2, 3), (3, 4), (3, 5), (1, 4), (4, 5), (2, 5), (5, 7)])
    unit = rng.randint(3, 20)
    thing, counter = rng.choice(THINGS)
    total = (a + b) * unit
    return Problem(
        template="ratio", grade=6, concepts=("비례배분",),
        question=f"{thing} {total}{josa(counter, '을')} {josa(who, '과')} {josa(other, '이')} {josa(f'{a}:{b}', '으로')} 나누어 가지려고 합니다. {josa(who, '은')} 몇 {josa(counter, '을')} 가지게 됩니까?",
        steps=(
            f"전체를 {a + b}묶음으로 봅니다: {a} + {b} = {a + b}",
            f"한 묶음의 수를 구합니다: {total} ÷ {a + b} = {unit}",
            f"{who}의 몫을 구합니다: {unit} × {a} = {unit * a}",
        ),
        expression=f"{total} * {a} / ({a} + {b})", answer=f"{unit * a}{counter}",
    )  # fmt: skip


def most_bags(rng: random.Random) -> Problem:
    (a, ca), (b, cb) = rng.sample(THINGS, 2)
    g = rng.randint(3, 12)
    m, n = rng.choice([(2, 3), (3, 4), (3, 5), (4, 5), (2, 5), (5, 6), (4, 7)])
    x, y = g * m, g * n
    return Problem(
        template="most_bags", grade=5, concepts=("최대공약수",),
        question=f"{a} {x}{josa(ca, '과')} {b} {y}{josa(cb, '을')} 될 수 있는 대로 많은 사람에게 남김없이 똑같이 나누어 주려고 합니다. 모두 몇 명에게 나누어 줄 수 있습니까?",
        steps=(
            f"두 수를 같은 수로 나눕니다: {x} ÷ {g} = {m}, {y} ÷ {g} = {n}",
            f"{josa(str(m), '과')} {josa(str(n), '은')} 더 나눌 수 있는 같은 수가 1뿐이므로 최대공약수는 {g}입니다.",
            f"한 사람이 {josa(f'{a} {m}{ca}', '을')} 받으므로 사람 수는: {x} ÷ {m} = {g}",
        ),
        expression=f"gcd({x}, {y})", answer=f"{g}명",
    )  # fmt: skip


def together(rng: random.Random) -> Problem:
    a, b = rng.sample([4, 6, 8, 9, 10, 12, 15, 18, 20], 2)
    both = lcm(a, b)
    return Problem(
        template="together", grade=5, concepts=("최소공배수",),
        question=f"가 버스는 {a}분마다, 나 버스는 {b}분마다 출발합니다. 두 버스가 방금 함께 출발했다면 다음번에 함께 출발하는 것은 몇 분 뒤입니까?",
        steps=(
            f"{josa(str(a), '과')} {b}의 최소공배수를 구합니다: {a} × {both // a} = {both}, {b} × {both // b} = {both}",
            f"그보다 작은 공배수는 없으므로 {both}분마다 함께 출발합니다.",
        ),
        expression=f"lcm({a}, {b})", answer=f"{both}분",
    )  # fmt: skip


def pattern(rng: random.Random) -> Problem:
    start, step, n = rng.randint(1, 20), rng.randint(2, 12), rng.randint(8, 30)
    shown = ", ".join(str(start + step * i) for i in range(4))
    value = start + step * (n - 1)
    return Problem(
        template="pattern", grade=4, concepts=("규칙 찾기",),
        question=f"수를 규칙에 따라 {shown}, …과 같이 늘어놓았습니다. {n}번째 수는 무엇입니까?",
        steps=(
            f"이웃한 두 수의 차는 늘 같습니다: {start + step} - {start} = {step}",
            f"{n}번째까지 {n - 1}번 늘어납니다: {n} - 1 = {n - 1}",
            f"{start} + {step} × {n - 1} = {value}",
        ),
        expression=f"{start} + {step} * ({n} - 1)", answer=str(value),
    )  # fmt: skip


def unknown(rng: random.Random) -> Problem:
    a, b = rng.randint(2, 9), rng.randint(3, 60)
    x = rng.randint(3, 30)
    wrong = x * a + b
    return Problem(
        template="unknown", grade=4, concepts=("어떤 수 구하기", "거꾸로 계산하기"),
        question=f"어떤 수에 {josa(str(a), '을')} 곱한 뒤 {josa(str(b), '을')} 더했더니 {josa(str(wrong), '이')} 되었습니다. 어떤 수를 구하십시오.",
        steps=(
            f"더하기 전의 수를 구합니다: {wrong} - {b} = {wrong - b}",
            f"곱하기 전의 수를 구합니다: {wrong - b} ÷ {a} = {x}",
        ),
        expression=f"({wrong} - {b}) / {a}", answer=str(x),
    )  # fmt: skip


def ages(rng: random.Random) -> Problem:
    who, _ = two_people(rng)
    elder = rng.choice(["어머니", "아버지", "이모", "삼촌", "고모"])
    child, times = rng.randint(8, 13), rng.choice([2, 3])
    years = rng.randint(2, 8)
    later = (child + years) * times
    return Problem(
        template="ages", grade=5, concepts=("나이", "혼합 계산"),
        question=f"{josa(who, '은')} 올해 {child}살입니다. {years}년 뒤에는 {elder}의 나이가 {who} 나이의 {times}배가 됩니다. 올해 {josa(elder, '은')} 몇 살입니까?",
        steps=(
            f"{years}년 뒤 {who}의 나이: {child} + {years} = {child + years}",
            f"{years}년 뒤 {elder}의 나이: {child + years} × {times} = {later}",
            f"올해 {elder}의 나이: {later} - {years} = {later - years}",
        ),
        expression=f"({child} + {years}) * {times} - {years}", answer=f"{later - years}살",
    )  # fmt: skip


def legs(rng: random.Random) -> Problem:
    first, second = rng.choice([("닭", "토끼"), ("오리", "강아지"), ("거위", "염소")])
    a, b = rng.randint(3, 18), rng.randint(3, 18)
    heads, feet = a + b, 2 * a + 4 * b
    return Problem(
        template="legs", grade=5, concepts=("가정하여 풀기",),
        question=f"마당에 {josa(first, '과')} {josa(second, '이')} 모두 {heads}마리 있습니다. 다리 수를 세어 보니 모두 {feet}개였습니다. {josa(second, '은')} 몇 마리입니까?",
        steps=(
            f"모두 {josa(first, '이라')}고 생각하면 다리는: {heads} × 2 = {heads * 2}",
            f"모자라는 다리 수를 구합니다: {feet} - {heads * 2} = {feet - heads * 2}",
            f"한 마리를 바꿀 때마다 다리가 2개 늘어납니다: {feet - heads * 2} ÷ 2 = {b}",
        ),
        expression=f"({feet} - {heads} * 2) / 2", answer=f"{b}마리",
    )  # fmt: skip


def journey(rng: random.Random) -> Problem:
    """A story of three to five steps drawn one after another: what happens to somebody's things in a week."""
    who, other = two_people(rng)
    thing, counter = rng.choice(THINGS)
    now = rng.randint(10, 40)
    story = [f"{josa(who, '은')} {josa(thing, '을')} {now}{counter} 가지고 있었습니다."]
    steps, expression, concepts = [], str(now), []
    days = ["월요일에는", "화요일에는", "수요일에는", "목요일에는", "금요일에는"]
    for day in days[: rng.randint(3, 5)]:
        moves = (
            ["gain"]
            + (["give"] if now > 4 else [])
            + (["double"] if now <= 60 else [])
            + (["half"] if now % 2 == 0 and now >= 8 else [])
        )
        move = rng.choice(moves)
        before = now
        if move == "gain":
            n = rng.randint(3, 25)
            now += n
            story.append(f"{day} {n}{josa(counter, '을')} 더 샀습니다.")
            steps.append(f"{day[:3]}: {before} + {n} = {now}")
            expression, concept = f"({expression} + {n})", "덧셈"
        elif move == "give":
            n = rng.randint(1, now - 1)
            now -= n
            story.append(f"{day} {other}에게 {n}{josa(counter, '을')} 주었습니다.")
            steps.append(f"{day[:3]}: {before} - {n} = {now}")
            expression, concept = f"({expression} - {n})", "뺄셈"
        elif move == "double":
            now *= 2
            story.append(f"{day} 가진 수만큼 선물을 받아 두 배가 되었습니다.")
            steps.append(f"{day[:3]}: {before} × 2 = {now}")
            expression, concept = f"({expression} * 2)", "곱셈"
        else:
            now //= 2
            story.append(f"{day} 가진 것의 절반을 동생에게 주었습니다.")
            steps.append(f"{day[:3]}: {before} ÷ 2 = {now}")
            expression, concept = f"({expression} / 2)", "나눗셈"
        if concept not in concepts:
            concepts.append(concept)
    story.append(f"{who}에게 남은 {josa(thing, '은')} 몇 {counter}입니까?")
    return Problem(
        template="journey", grade=4, concepts=("여러 단계 문제", *concepts), question=" ".join(story),
        steps=tuple(steps), expression=expression, answer=f"{now}{counter}",
    )  # fmt: skip


def mixed(rng: random.Random) -> Problem:
    a, b, c = rng.randint(20, 90), rng.randint(2, 9), rng.randint(2, 9)
    d = rng.randint(2, 9)
    quotient = rng.randint(2, 9)
    e = d * quotient
    value = a + b * c - quotient
    shown = f"{a} + {b} × {c} - {e} ÷ {d}"
    return Problem(
        template="mixed", grade=5, concepts=("자연수의 혼합 계산",), question=f"다음을 계산하십시오: {shown}",
        steps=(
            f"곱셈과 나눗셈을 먼저 합니다: {b} × {c} = {b * c}, {e} ÷ {d} = {quotient}",
            f"앞에서부터 차례로 계산합니다: {a} + {b * c} - {quotient} = {value}",
        ),
        expression=f"{a} + {b} * {c} - {e} / {d}", answer=str(value),
    )  # fmt: skip


LATE: tuple[Template, ...] = (
    rectangle, triangle, average, discount, part_of, fractions, decimals, speed, ratio, most_bags, together, pattern,
    unknown, ages, legs, journey, mixed,
)  # fmt: skip
