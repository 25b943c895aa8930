"""Random sheets, written in a random layout, language, encoding and order: read back equal, or refused with a reason; never silently different."""

from __future__ import annotations

import csv
import io
import os
import random
import tempfile
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from itertools import zip_longest
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.sdk.errors import ConfigError
from connectors.spreadsheet.grid import text_of
from tests.connectors.spreadsheet.sheets import read, xlsx_file

#: More than the suite's own number, for a long search: MUARA_SHEET_EXAMPLES=5000 python -m pytest ...
EXAMPLES = int(os.environ.get("MUARA_SHEET_EXAMPLES", "0"))
COLUMNS = ("id", "name", "company", "stage", "amount", "close", "created", "owner", "chance")


def _headers(line: str) -> dict[str, str]:
    return dict(zip(COLUMNS, line.split("|"), strict=True))


HEADERS = {
    "en": _headers("Deal ID|Deal name|Company|Stage|Amount|Expected close|Created|Owner|Probability"),
    "id": _headers("Kode|Nama Deal|Perusahaan|Tahap|Nilai|Target Closing|Tanggal Masuk|Sales|Probabilitas"),
    "de": _headers("Vorgangsnr.|Projekt|Kunde|Phase|Wert|Abschluss|Erstellt|Vertrieb|Wahrscheinlichkeit"),
    "es": _headers("Código|Oportunidad|Empresa|Etapa|Importe|Fecha de cierre|Creado|Responsable|Probabilidad"),
    "fr": _headers("Réf.|Affaire|Société|Étape|Montant|Date de clôture|Créé le|Commercial|Probabilité"),
    "pt": _headers("Código|Negócio|Empresa|Etapa|Valor|Data de fechamento|Criado em|Vendedor|Probabilidade"),
    "pl": _headers(
        "Nr szansy|Nazwa szansy|Klient|Etap|Wartość|Data zamknięcia|Data utworzenia|Handlowiec|Prawdopodobieństwo"
    ),
    "ru": _headers("Номер сделки|Сделка|Компания|Этап|Сумма|Дата закрытия|Дата создания|Ответственный|Вероятность"),
    "tr": _headers("Fırsat no|Fırsat adı|Müşteri|Aşama|Tutar|Kapanış tarihi|Oluşturma tarihi|Sorumlu|Olasılık"),
    "ja": _headers("案件番号|案件名|顧客名|フェーズ|金額|受注予定日|登録日|担当者|確度"),
}
STAGES = {
    "en": ["Lead", "Qualified", "Meeting", "Proposal", "Negotiation", "Won", "Lost"],
    "id": ["Prospek", "Kualifikasi", "Pertemuan", "Penawaran", "Negosiasi", "Menang", "Kalah"],
    "de": ["Anfrage", "Qualifizierung", "Termin", "Angebot", "Verhandlung", "Gewonnen", "Verloren"],
    "es": ["Prospecto", "Calificado", "Reunión", "Propuesta", "Negociación", "Ganado", "Perdido"],
    "fr": ["Prospection", "Qualification", "Rendez-vous", "Devis", "Négociation", "Gagné", "Perdu"],
    "pt": ["Lead", "Qualificado", "Reunião", "Proposta", "Negociação", "Ganho", "Perdido"],
    "pl": ["Nowy", "Kwalifikacja", "Spotkanie", "Oferta", "Negocjacje", "Wygrana", "Przegrana"],
    "ru": ["Новый", "Квалификация", "Встреча", "Коммерческое предложение", "Переговоры", "Выиграно", "Проиграно"],
    "tr": ["Aday", "Nitelikli", "Toplantı", "Teklif", "Pazarlık", "Kazanıldı", "Kaybedildi"],
    "ja": ["リード", "見込み", "商談", "提案", "交渉", "受注", "失注"],
}
#: Locales of a language, and the code page that its old files are in.
LOCALES = {
    "en": ["en_US", "en_GB"],
    "id": ["id_ID"],
    "de": ["de_DE"],
    "es": ["es_ES", "es_MX"],
    "fr": ["fr_FR"],
    "pt": ["pt_BR"],
    "pl": ["pl_PL"],
    "ru": ["ru_RU"],
    "tr": ["tr_TR"],
    "ja": ["ja_JP"],
}
OLD_PAGES = {"pl": "cp1250", "ru": "cp1251", "tr": "cp1254", "ja": "cp932"}
MONTHS = {
    "en": "January February March April May June July August September October November December",
    "id": "Januari Februari Maret April Mei Juni Juli Agustus September Oktober November Desember",
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "pt": "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
    "pl": "stycznia lutego marca kwietnia maja czerwca lipca sierpnia września października listopada grudnia",
    "ru": "января февраля марта апреля мая июня июля августа сентября октября ноября декабря",
    "tr": "Ocak Şubat Mart Nisan Mayıs Haziran Temmuz Ağustos Eylül Ekim Kasım Aralık",
}
TOTALS = ["TOTAL", "Total:", "Grand total", "Jumlah", "Summe", "Razem", "Итого", "合計", "Toplam"]
NOTES = ["* amounts without tax", "Confidential - do not share", "Catatan: angka sementara", "注: 税抜"]
NAMES = [
    "Total",
    "Total Energies",
    "Neubau",
    "=SUM(A1)",
    "Ünïcode",
    "O'Brien",
    'He said "hi"',
    "a;b",
    "c,d",
    "two\nlines",
    "PT Maju, Tbk",
    "007",
    "Stage",
    "+62 21",
    "Jumlah",
    "東京",
    "x  y",
]


@dataclass
class Deal:
    key: str
    name: str
    company: str
    stage: int
    amount: Decimal | None
    close: date | None
    created: date | None
    owner: str | None
    chance: int | None
    moves: list[tuple[int, date]] = field(default_factory=list)


@dataclass
class Writing:
    """How the sheet is written."""

    layout: str
    language: str
    locale: str
    is_locale_told: bool
    has_ids: bool
    date_style: str
    money_style: str
    encoding: str
    delimiter: str
    kind: str
    titles: int
    has_total: bool
    has_repeat: bool
    has_blank: bool
    has_note: bool
    unit: str
    rng: random.Random


def decimal_mark(locale: str) -> str:
    return "." if locale.startswith("en") or locale in ("es_MX", "ja_JP") else ","


#: Units in the header of the amount, and their powers of ten.
UNITS = {"": 0, "k€": 3}


def money(value: Decimal | None, how: Writing) -> str:
    if value is None:
        return how.rng.choice(["", "-", "n/a"])
    value /= 10 ** UNITS[how.unit]
    mark = decimal_mark(how.locale)
    whole, _, cents = f"{value:.{5 if how.unit else 2}f}".partition(".")
    if how.money_style in ("grouped", "currency"):
        group = {"fr_FR": "\u202f", "pl_PL": " ", "ru_RU": "\u00a0"}.get(how.locale, "." if mark == "," else ",")
        whole = f"{int(whole):,}".replace(",", group)
    text = whole if not cents.strip("0") and how.money_style == "grouped" else f"{whole}{mark}{cents}"
    return f"EUR {text}" if how.money_style == "currency" else text


def day(value: date | None, how: Writing) -> str:
    if value is None:
        return ""
    if how.date_style == "iso":
        return value.isoformat()
    if how.language == "ja":
        return f"{value.year}年{value.month}月{value.day}日" if how.date_style == "words" else f"{value:%Y/%m/%d}"
    if how.date_style == "words":
        month = MONTHS[how.language].split()[value.month - 1]
        return f"{month} {value.day}, {value.year}" if how.locale == "en_US" else f"{value.day} {month} {value.year}"
    mark = {"de_DE": ".", "pl_PL": ".", "ru_RU": ".", "tr_TR": "."}.get(how.locale, "/")
    parts = [value.month, value.day] if how.locale == "en_US" else [value.day, value.month]
    return mark.join([f"{parts[0]:02}", f"{parts[1]:02}", str(value.year)])


def table(deals: list[Deal], how: Writing) -> list[list[object]]:
    names, labels = HEADERS[how.language], STAGES[how.language]
    native = how.kind == "xlsx" and how.date_style == "iso"
    on = (lambda value: value) if native else (lambda value: day(value, how))
    if how.layout == "log":
        rows: list[list[object]] = [["Deal ID", "Changed at", "New stage", "Deal name"]]
        events = [(deal, stage, at) for deal in deals for stage, at in deal.moves]
        how.rng.shuffle(events)
        return rows + [[deal.key, on(at), labels[stage], deal.name] for deal, stage, at in events]
    if how.layout == "kanban":
        columns = [[deal.name for deal in deals if deal.stage == stage] for stage in range(len(labels))]
        return [list(labels), *map(list, zip_longest(*columns, fillvalue=None))]
    columns = ["name", "company", "amount", "owner", "close", "created", "chance"]
    columns += ["id"] if how.has_ids else []
    columns += [] if how.layout == "wide" else ["stage"]
    how.rng.shuffle(columns)
    if how.layout == "grouped":
        columns.remove("stage")
        columns.insert(0, "stage")
        deals = sorted(deals, key=lambda deal: deal.stage)
    unit = f" ({how.unit})" if how.unit else ""
    head: list[object] = [names[column] + (unit if column == "amount" else "") for column in columns]
    shown: set[int] = set()
    head += [f"{label} date" if how.language == "en" else label for label in labels] if how.layout == "wide" else []
    rows = [head]
    for deal in deals:
        values = {
            "name": deal.name,
            "company": deal.company,
            "id": deal.key,
            "stage": None if how.layout == "grouped" and deal.stage in shown else labels[deal.stage],
            "owner": deal.owner,
            "amount": float(deal.amount) / 10 ** UNITS[how.unit]
            if native and deal.amount is not None
            else money(deal.amount, how),
            "close": on(deal.close),
            "created": on(deal.created),
            "chance": "" if deal.chance is None else f"{deal.chance}%",
        }
        shown.add(deal.stage)
        row = [values[column] for column in columns]
        if how.layout == "wide":
            entered = dict(deal.moves)
            row += [on(entered.get(stage)) for stage in range(len(labels))]
        rows.append(row)
    if how.has_repeat:
        rows.insert(how.rng.randint(2, len(rows)), list(head))
    if how.has_blank:
        rows.insert(how.rng.randint(2, len(rows)), [None] * len(head))
    if how.has_total:
        total: list[object] = [None] * len(head)
        total[0] = how.rng.choice(TOTALS)
        rows.append(total)
    if how.has_note:
        rows.append([how.rng.choice(NOTES)])
    return rows


def write(deals: list[Deal], how: Writing, folder: Path) -> Path:
    rows = table(deals, how)
    rows = [[f"Title {n}"] for n in range(how.titles)] + rows
    if how.kind == "xlsx":
        return xlsx_file(
            folder, {"Sheet": [[None if cell == "" else _no_formula(cell) for cell in row] for row in rows]}
        )
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=how.delimiter).writerows(rows)
    try:
        data = out.getvalue().encode(how.encoding)
    except UnicodeEncodeError:
        data = out.getvalue().encode("utf-8")
    path = folder / "deals.csv"
    path.write_bytes(data)
    return path


def _no_formula(cell: object) -> object:
    return f" {cell}" if isinstance(cell, str) and cell.startswith("=") else cell


DAYS = st.dates(date(2020, 1, 1), date(2025, 12, 31))
AMOUNTS = st.one_of(
    st.none(),
    st.decimals(0, 99_999_999, places=2),
    st.integers(0, 99_999).map(lambda n: Decimal(n) * 1000),
)
TEXT = st.one_of(
    st.sampled_from(NAMES),
    st.text("abcdefgh XYZ", min_size=1, max_size=12).filter(lambda text: text.strip() not in ("", "-")),
)


@st.composite
def worlds(draw):
    count = draw(st.integers(1, 8))
    deals = []
    for number in range(count):
        start = draw(DAYS)
        stages = sorted(draw(st.sets(st.integers(0, 6), min_size=1, max_size=4)))
        if 5 in stages and 6 in stages:
            stages.remove(6)
        moves = [
            (stage, start + timedelta(days=draw(st.integers(0, 20)) + 21 * place)) for place, stage in enumerate(stages)
        ]
        deals.append(
            Deal(
                key=f"K{number:03}",
                name=f"{draw(TEXT)} {number}",
                company=draw(TEXT),
                stage=stages[-1],
                amount=draw(AMOUNTS),
                close=draw(st.none() | DAYS),
                created=draw(st.none() | DAYS),
                owner=draw(st.none() | st.sampled_from(["ann", "bob", "Çağ"])),
                chance=draw(st.none() | st.integers(0, 100)),
                moves=moves,
            )
        )
    language = draw(st.sampled_from(sorted(HEADERS)))
    layout = draw(st.sampled_from(["current", "wide", "log", "grouped", "kanban"]))
    old_page = OLD_PAGES.get(language, "cp1252")
    how = Writing(
        layout=layout,
        language=language,
        locale=draw(st.sampled_from(LOCALES[language])),
        is_locale_told=draw(st.booleans()),
        has_ids=draw(st.booleans()),
        date_style=draw(st.sampled_from(["iso", "words", "numbers"])),
        money_style=draw(st.sampled_from(["plain", "grouped", "currency"])),
        encoding=draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", old_page])),
        delimiter=draw(st.sampled_from([",", ";", "\t"])),
        kind=draw(st.sampled_from(["csv", "xlsx"])),
        titles=draw(st.integers(0, 3)),
        has_total=draw(st.booleans()),
        has_repeat=draw(st.booleans()),
        has_blank=draw(st.booleans()),
        has_note=draw(st.booleans()),
        unit=draw(st.sampled_from(["", "", "k€"])),
        rng=random.Random(draw(st.integers(0, 1 << 30))),
    )
    return deals, how


def clean(text: str | None) -> str | None:
    return text_of(text) or None if text is not None else None


def expected(deal: Deal, how: Writing) -> dict[str, object]:
    labels = STAGES[how.language]
    name = clean(deal.name.split("\n")[0] if how.layout == "kanban" else deal.name)
    found: dict[str, object] = {"name": name, "stage": labels[deal.stage].casefold()}
    if how.layout not in ("log", "kanban"):
        found |= {
            "company": clean(deal.company),
            "amount": deal.amount,
            "close": deal.close,
            "created": deal.created,
            "owner": deal.owner,
            "chance": None if deal.chance is None else deal.chance / 100,
        }
    if how.layout in ("wide", "log"):
        found["moves"] = [(labels[stage].casefold(), at) for stage, at in deal.moves]
    return found


def observed(deal, history, how: Writing) -> dict[str, object]:
    found: dict[str, object] = {"name": deal.name, "stage": deal.stage_id}
    if how.layout not in ("log", "kanban"):
        found |= {
            "company": deal.company_name,
            "amount": deal.amount,
            "close": deal.expected_close_date,
            "created": deal.created_at and deal.created_at.date(),
            "owner": deal.owner_id and deal.raw[HEADERS[how.language]["owner"]],
            "chance": deal.probability,
        }
    if how.layout in ("wide", "log"):
        found["moves"] = [(change.to_stage_id, change.changed_at.date()) for change in history.stage_changes]
    return found


@settings(
    max_examples=EXAMPLES or 60,
    deadline=None,
    derandomize=not EXAMPLES,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(worlds())
def test_a_sheet_is_read_as_it_was_meant_or_refused(world):
    """B22, B23."""
    check(*world)


def check(deals: list[Deal], how: Writing) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write(deals, how, Path(folder))
        shown = path.read_bytes() if how.kind == "csv" else b""
        refusal = None
        asked = {} if is_plain_to_see(deals, how) else {"layout": how.layout}
        try:
            got = read(path, **asked, locale=how.locale if how.is_locale_told else None, snapshot_date="2026-10-01")
        except ConfigError as error:
            refusal = error
        if refusal is not None:
            assert not how.is_locale_told or "may hold deals" in str(refusal) or _is_fair(str(refusal)), (
                how,
                str(refusal),
            )
            return
    if "encoding_assumed" in got.warnings:
        return  # a code page that nothing tells is assumed aloud, not in silence
    by_row = sorted(got.of(type(next(iter(got.deals.values())))), key=lambda deal: deal.name or "") if got.deals else []
    assert len(by_row) == len(deals), (how, shown, [reject.detail for reject in got.rejects])
    histories = got.history
    read_back = sorted((observed(deal, histories.get(deal.deal_id), how) for deal in by_row), key=str)
    assert read_back == sorted((expected(deal, how) for deal in deals), key=str), (how, shown)
    kept = int(got.warnings["rows_read"].split(" = ")[1].split(" kept")[0])
    assert kept + len(got.rejects) == int(got.warnings["rows_read"].split(": ")[1].split(" rows")[0])


def is_plain_to_see(deals: list[Deal], how: Writing) -> bool:
    """Whether a layout can be told from the sheet: a report needs groups, some of several deals; a board needs three stages."""
    groups = {deal.stage for deal in deals}
    return how.layout != "grouped" or (len(groups) >= 2 and len(deals) >= 2 * len(groups))


def _is_fair(reason: str) -> bool:
    """Refusals that remain right even when the locale is told."""
    if "stand twice on the board" in reason or "no column names the deals" in reason:
        return True  # cards of which only the first line counts, or that look like amounts
    return "against `locale" in reason or "no stage column" in reason or "no header row" in reason
