"""A labelled set of personal data in Korean, made from templates: sentences with the places that must be found, and false friends.

Numbers are drawn from a seed and belong to nobody we know; check digits are computed where a kind has them, and left to
chance where the law dropped them (resident numbers given since October 2020).
"""

import random
from collections.abc import Callable, Iterator

from kodata.pii.numbers import digits_of

PLACES = ["서울특별시 강남구 테헤란로", "부산광역시 해운대구 우동", "경기도 성남시 분당구 판교역로", "전라남도 순천시 승주읍 서평리", "대구 중구 동성로2가",
          "충청북도 청주시 상당구 상당로", "세종특별자치시 한누리대로", "제주특별자치도 제주시 첨단로", "인천시 남동구 구월동", "강원도 춘천시 중앙로"]  # fmt: skip
BANKS = [
    "국민은행",
    "신한은행",
    "우리은행",
    "하나은행",
    "농협",
    "기업은행",
    "카카오뱅크",
    "토스뱅크",
    "케이뱅크",
    "우체국",
]
LAND = ["02", "031", "032", "033", "041", "042", "043", "044", "051", "052", "053", "054", "055", "061", "062", "063", "064"]  # fmt: skip
REGIONS = ["서울", "부산", "경기", "대구", "인천", "충남", "전북"]


def _n(rng: random.Random, count: int, first: str = "0123456789") -> str:
    return rng.choice(first) + "".join(rng.choices("0123456789", k=count - 1))


def _checked(prefix: str, check: Callable[[str], bool]) -> str:
    return next(prefix + d for d in "0123456789" if check(prefix + d))


def _birth(rng: random.Random, low: int, high: int) -> tuple[str, bool]:
    year = rng.randint(low, high)
    return f"{year % 100:02d}{rng.randint(1, 12):02d}{rng.randint(1, 28):02d}", year >= 2000


def rrn(rng: random.Random) -> str:
    from kodata.pii import rrn_check

    birth, young = _birth(rng, 1940, 2024)
    body = birth + rng.choice("34" if young else "12")
    tail = _checked(body + _n(rng, 5), rrn_check)[7:] if rng.random() < 0.6 else _n(rng, 6)
    return f"{birth}-{body[6]}{tail if rng.random() < 0.9 else '******'}"


def foreigner(rng: random.Random) -> str:
    birth, young = _birth(rng, 1950, 2015)
    return f"{birth}-{rng.choice('78' if young else '56')}{_n(rng, 6)}"


def business(rng: random.Random) -> str:
    from kodata.pii import business_check

    d = _checked(_n(rng, 3, "123456") + _n(rng, 6), business_check)
    return f"{d[:3]}-{d[3:5]}-{d[5:]}"


def corporate(rng: random.Random) -> str:
    from kodata.pii import corporate_check

    d = _checked(rng.choice(["1101", "1301", "1801", "2000", "1201"]) + rng.choice(["11", "21", "14"]) + _n(rng, 6), corporate_check)  # fmt: skip
    return f"{d[:6]}-{d[6:]}"


def card(rng: random.Random) -> str:
    from kodata.pii import luhn

    if rng.random() < 0.15:
        d = _checked("37" + _n(rng, 12), luhn)
        return f"{d[:4]}-{d[4:10]}-{d[10:]}"
    d = _checked(_n(rng, 15, "4569"), luhn)
    return rng.choice("- ").join(d[i : i + 4] for i in range(0, 16, 4))


def driver(rng: random.Random) -> str:
    tail = f"{_n(rng, 2)}-{_n(rng, 6)}-{_n(rng, 2)}"
    return (
        f"{rng.choice(REGIONS)} {tail}"
        if rng.random() < 0.3
        else f"{rng.choice([*range(11, 27), 28])}-{tail}"
    )


def passport(rng: random.Random) -> str:
    return (
        rng.choice("MS") + _n(rng, 8)
        if rng.random() < 0.5
        else f"M{_n(rng, 3)}{rng.choice('ABCDEFG')}{_n(rng, 4)}"
    )


def phone(rng: random.Random) -> str:
    sep = rng.choice(["-", "-", "-", ".", " ", "", " - "])
    kind = rng.random()
    if kind < 0.6:
        return sep.join(["010", _n(rng, 4, "23456789"), _n(rng, 4)])
    if kind < 0.7:
        return f"+82 10-{_n(rng, 4, '23456789')}-{_n(rng, 4)}"
    if kind < 0.8:
        return f"{rng.choice(['070', '0507', '0505'])}-{_n(rng, 4, '23456789')}-{_n(rng, 4)}"
    area = rng.choice(LAND)
    body = f"{_n(rng, rng.choice([3, 4]), '23456789')}-{_n(rng, 4)}"
    return f"({area}) {body}" if rng.random() < 0.4 else f"{area}-{body}"


def land_line(rng: random.Random) -> str:
    return f"{rng.choice(LAND)}-{_n(rng, rng.choice([3, 4]), '23456789')}-{_n(rng, 4)}"


def public_phone(rng: random.Random) -> str:
    return f"{rng.choice(['1588', '1577', '1544', '1566', '1600', '1670', '1899'])}-{_n(rng, 4)}"


def account(rng: random.Random) -> str:
    form = rng.choice([(6, 2, 6), (3, 3, 6), (4, 3, 6), (3, 6, 5), (3, 4, 4, 2), (3, 6, 2, 3), (4, 2, 7), (4, 4, 4), (13,)])  # fmt: skip
    return "-".join(_n(rng, n, "123456789" if i == 0 else "0123456789") for i, n in enumerate(form))


def plate(rng: random.Random) -> str:
    letter = rng.choice("가나다라마거너더러머버서어저고노도로모보소오조구누두루무부수우주하허호")
    return f"{rng.choice([_n(rng, 2, '123456'), _n(rng, 3, '123456')])}{letter}{rng.choice(['', ' '])}{_n(rng, 4, '123456789')}"  # fmt: skip


def house(rng: random.Random) -> str:
    number = str(rng.randint(1, 990)) + (f"-{rng.randint(1, 40)}" if rng.random() < 0.4 else "")
    if rng.random() < 0.4:
        number += f", {rng.randint(101, 120)}동 {rng.randint(101, 2503)}호"
    return number


def email(rng: random.Random) -> str:
    local = "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(3, 9))) + rng.choice(["", ".kim", "_77", "1004"])  # fmt: skip
    at = rng.choice(["@", "@", "@", "@", " 골뱅이 ", "(at)"])
    return f"{local}{at}{rng.choice(['naver.com', 'gmail.com', 'hanmail.net', 'korea.ac.kr', 'kt.co.kr'])}"


def ip(rng: random.Random) -> str:
    return f"{rng.choice([61, 112, 121, 175, 211, 218, 220])}.{rng.randint(1, 250)}.{rng.randint(1, 250)}.{rng.randint(1, 250)}"  # fmt: skip


# kind -> (values, templates). {x} is what must be found, {p} a district, {b} a bank.
KINDS: dict[str, tuple[Callable[[random.Random], str], tuple[str, ...]]] = {
    "rrn": (rrn, ("신청인의 주민등록번호는 {x}이다.", "홍길동({x})은 서울에서 태어났다.", "피고인 김철수, {x}, 무직", "주민번호 {x} 으로 조회됩니다", "성명: 이영희\n주민등록번호: {x}")),
    "foreigner": (foreigner, ("외국인등록번호 {x} 소지자", "체류 중인 왕리({x})는 연장을 신청했다.", "등록번호: {x}", "응우옌 씨의 번호는 {x}로 적혀 있다.")),
    "business": (business, ("사업자등록번호 {x}", "상호 한빛상사, 사업자번호: {x}, 대표 홍길동", "(주)가온 {x} 세금계산서 발행", "등록번호 {x}인 업체")),
    "corporate": (corporate, ("법인등록번호 {x}", "주식회사 나래(법인번호 {x})", "회사 등록 번호 {x} 를 확인했다", "본점 소재지와 법인등록번호: {x}")),
    "card": (card, ("카드번호 {x} 유효기간 12/27", "{x} 카드로 결제했다.", "신용카드 {x}가 분실되었다", "결제 수단: {x}")),
    "driver": (driver, ("운전면허번호 {x}", "면허증 {x} 를 제시하였다.", "면허번호: {x} (1종 보통)", "{x} 면허는 취소되었다")),
    "passport": (passport, ("여권번호 {x}", "여권({x})을 분실하였다.", "Passport No. {x}", "그의 여권 번호는 {x}이었다.")),
    "phone": (phone, ("연락처는 {x} 입니다.", "문의: {x}", "휴대폰 {x}로 문자 주세요", "TEL {x} FAX 별도", "김 과장에게 {x} 으로 전화했다.", "☎ {x}", "홍길동 {x}")),
    "institution_phone": (land_line, ("종로구청 {x}", "자세한 사항은 시청 민원실({x})로 문의하면 된다.", "중앙도서관 {x} 로 신청", "국민연금공단 {x}")),
    "public_phone": (public_phone, ("고객센터 {x}", "대표전화 {x} 로 연락하면 된다.", "예약은 {x} 에서 받는다")),
    "account": (account, ("입금 계좌: {b} {x}", "{b} {x} 홍길동", "후원금은 {b} {x} (예금주 한빛회)로 보내 주세요.", "계좌번호 {x}로 송금하였다.")),
    "plate": (plate, ("차량번호 {x}", "피고인은 {x} 승용차를 운전하여", "{x} 화물차가 앞서 갔다", "주차된 차는 {x} 이다")),
    "address": (house, ("주소: {p} {x}", "{p} {x}에 사는 김 씨", "배송지는 {p} {x} 입니다.", "본점은 {p} {x}에 있다")),
    "email": (email, ("메일은 {x} 로 보내 주세요.", "문의{x}", "홍길동 기자 {x}", "이메일: {x}", "연락은 {x}으로")),
    "ip": (ip, ("접속 아이피 {x} 에서 글을 썼다", "서버 주소는 {x}입니다.", "공격은 {x} 에서 시작되었다", "IP {x}")),
}  # fmt: skip

FALSE_FRIENDS = (
    "버전 1.2.3.4 를 설치한다", "v10.20.30.40 을 배포했다", "Chrome/98.76.54.32 에서 확인", "제11.22.33.44조", "제11.22.33조에 따른다", "1.2.3.4.5 절을 보라",
    "커널 5.15.0.91 에서", "펌웨어 12.34.56.78 로 올린다", "192.168.0.1 과 127.0.0.1 과 10.0.0.1", "2023-10-24 에 입금했다", "2019-12-31 ~ 2020-01-15 사이의 계좌 조회",
    "계좌 잔고는 2023-10-24 현재 1,234,567,890원", "농협 2023년 매출 1234567890원", "12조 3456억원", "예산 3조 1234억 원", "대법원 98다1234 판결", "선고 97누1234", "대법원 2005. 3. 24. 선고 2004다12345 판결",
    "헌재 2001헌마1234", "임진왜란 1592-1598", "1910-1945 년의 일이다", "법률 제12345호", "대통령령 제28211호, 2017. 7. 26.", "제2조 1234호", "제3조의2제1항제4호", "조례 제1234-5678호",
    "10000원과 2000년", "가격은 1,234,500원이다", "정가 15,000원 할인가 12,900원", "3.141592653589793", "ISBN 978-89-12345-67-8", "ISBN 9788912345678", "ISSN 1234-5678", "바코드 8801234567893",
    "1,600-2,000W", "회원 1234명, 전년 5678명", "시각 12:34:56", "문단 010 항목", "특허 제10-1234567-0000호", "특허 제10-1234567호", "출원번호 10-2019-0012345", "문서번호 011-2345-6789호", "승인번호 010-2024-0001",
    "운송장번호 1234-5678-9012", "주문번호 20231024-1234567", "@tf.function 을 쓴다", "- @click.stop 은 막는다", "image@2x.png", "user@example.com", "git@github.com:a/b.git", "@types/node@18.0.0",
    "M12345678 부품", "0.01012345678", "부산시 중구 중앙동 4가", "서울 강남구 인구 53만", "경기도 성남시 분당구 2024년 예산", "서울 시내 3곳", "전북 순창군 쌍치면 1950년 가을",
    "요한복음 3:16-18, 21:15-17", "좌표 37.5665, 126.9780", "크기 1920x1080, 3840-2160", "UTC 2024-01-15T09:30:00", "20240115093000 로그", "SHA 1234567890123456789", "모델명 SM-1234-5678", "A4 210-297",
    "2001도1234, 2001감도56 판결", "전화위복 010", "100-200-300 규칙", "0.1-0.2-0.3", "점수는 120-110-115 였다", "1-2-3-4-5-6", "3사 5678 대대",
)  # fmt: skip


# Written after the detectors were done: tables, forms, several words of context or none. Read once (recall 0.984) before 차주 was
# added to the words around plates; nothing else was changed for it.
HELD_OUT: dict[str, tuple[str, ...]] = {
    "rrn": ("| 2 | 박민수 | {x} | 부산 |", "위 사람(주민등록증 {x})은 본인임을 확인함", "생년월일/주민번호\n{x}\n연락처", "{x} 김영희 귀하"),
    "foreigner": ("외국인 근로자 명단\n1. 팜 반 남 {x} E-9", "여권 대신 {x} 을 적어 냈다", "국적 몽골 / 번호 {x} / 체류지 안산"),
    "business": ("공급자: 가온상사({x}) 대표 이순신", "{x}\n상호: 달빛문구", "세금계산서 발행용 번호는 {x} 입니다", "대표자 김철수 | {x} | 도소매"),
    "corporate": ("등기번호 및 법인등록번호\n{x}", "피고 주식회사 누리({x})", "발행인 ㈜하늘 {x}", "법인 {x} 의 대표이사"),
    "card": ("승인 {x} 일시불 35,000원", "Visa {x} exp 08/27", "카드사에 {x} 을 불러 주었다", "결제정보 | {x} | 김민지"),
    "driver": ("면허 취소 대상자 {x} 홍길동", "제시한 면허증의 번호는 {x}", "운전자 {x} / 차종 승용"),
    "passport": ("Passport: {x} / KOR", "여권 분실 신고 {x}", "출국자 명단: 김민수 여권 {x}", "여권번호\n{x}"),
    "phone": ("이름 | {x} | 서울", "010번호가 {x}로 바뀌었어요", "(전화){x}(팩스)별도", "급구!! {x} 문자만", "{x} / 홍길동 / 팀장", "h.p {x}", "연락주세요~{x}^^"),
    "institution_phone": ("군청 대표전화 {x}", "문의: 보건소 {x}", "시립도서관({x})"),
    "public_phone": ("{x} (평일 9시-18시)", "ARS {x} 로 신청"),
    "account": ("{b} {x} 으로 보내줘", "환불계좌: 홍길동 {b} {x}", "예금주 김철수, {b}, {x}", "{x} ({b}) 로 이체 부탁", "{b}:{x}"),
    "plate": ("{x} 차주분 연락 바랍니다", "가해 차량은 {x} 이고 피해 차량은 버스였다", "주차 위반 {x} 견인", "목격한 번호판은 {x}"),
    "address": ("받는 곳 {p} {x} 홍길동", "{p} {x} 소재 건물", "그는 {p} {x}에서 태어나", "주 소 : {p} {x}"),
    "email": ("<{x}>", "e-mail:{x}, tel 별도", "저자 교신: {x}.", "{x}님께 보냄", "메일주소는{x}이에요"),
    "ip": ("[{x}] 로그인 실패", "작성자 {x} 2024.01.05", "remote={x} port=443", "{x}(서울)에서 접근"),
}  # fmt: skip
HELD_OUT_FRIENDS = (
    "제2024-123호 공고 제55-2호", "2024. 1. 15.~2024. 3. 31. 10:00-18:00", "1588년 스페인 함대가 1,600척", "총 1,234,567,890,123원의 예산", "위도 37.123456 경도 127.123456",
    "계좌를 개설한 날은 2023-01-02 이고 해지는 2024-03-04 이다", "국민은행은 2001-11-01 합병하였다", "시편 119:105-112", "A/S 기간 12개월, 품번 12345-67890", "모델 RTX-4090-24GB-2023", "코드 880101-001 품목",
    "파이썬 3.11.2.1 릴리스", "OpenSSL 1.0.2.14 에서", "4.3.2.1 절 참조", "192.168.100.200 공유기", "버스 5412번, 9401번", "서울 지하철 2호선 1234편성", "광주 5월 18일", "세종 29년 1447년 가을",
    "제주 4·3 사건 1948", "강원도 정선군 인구 3만 5천", "경기도 파주시 2023년 통계", "대구 중구 3.1 운동길", "삼국사기 권 45 열전 5", "2:3:4 비율로 1234 나누기 5678", "우편번호 06236, 사서함 123-45", "도서관 청구기호 813.7-12-34",
    "법원 2019가합123456 사건", "서울중앙지법 2020고단1234", "특허법원 2018허1234", "문화재 제12-3456호", "전화는 하루 100-200통", "사업자 등록 건수 123-456건", "ISBN-13: 979-11-1234-567-8", "DOI 10.1234/5678.90123456",
)  # fmt: skip


def held_out(seed: int = 0, each: int = 60) -> Iterator[tuple[str, str, int, int]]:
    """As `labelled`, from the templates that were written afterwards."""
    rng = random.Random(seed)
    for kind, templates in HELD_OUT.items():
        make = KINDS[kind][0]
        for i in range(each):
            value = make(rng)
            template = templates[i % len(templates)].replace("{p}", rng.choice(PLACES)).replace("{b}", rng.choice(BANKS))  # fmt: skip
            start = template.index("{x}")
            yield template.replace("{x}", value), kind, start, start + len(value)


def labelled(seed: int = 0, each: int = 60) -> Iterator[tuple[str, str, int, int]]:
    """(text, kind, start, end) of positives, `each` a kind."""
    rng = random.Random(seed)
    for kind, (make, templates) in KINDS.items():
        for i in range(each):
            value = make(rng)
            template = templates[i % len(templates)].replace("{p}", rng.choice(PLACES)).replace("{b}", rng.choice(BANKS))  # fmt: skip
            start = template.index("{x}")
            yield template.replace("{x}", value), kind, start, start + len(value)


def leaks(kind: str, value: str, masked: str) -> bool:
    """Is the value, or six of its digits in a row, still in the masked text?"""
    digits = digits_of(value)
    return value in masked or (
        kind not in ("address", "ip") and len(digits) >= 6 and digits in digits_of(masked)
    )
