"""Random sheets, written in a random layout, language, encoding and order: read back equal, or refused with a reason; never silently different."""

from __future__ import annotations

import csv
import io
import random
import tempfile
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.sdk.errors import ConfigError
from connectors.spreadsheet.grid import text_of
from tests.connectors.spreadsheet.sheets import read, xlsx_file

HEADERS = {
    "en": {
        "id": "Deal ID",
        "name": "Deal name",
        "company": "Company",
        "stage": "Stage",
        "amount": "Amount",
        "close": "Expected close",
        "created": "Created",
        "owner": "Owner",
        "chance": "Probability",
    },
    "id": {
        "id": "Kode",
        "name": "Nama Deal",
        "company": "Perusahaan",
        "stage": "Tahap",
        "amount": "Nilai",
        "close": "Target Closing",
        "created": "Tanggal Masuk",
        "owner": "Sales",
        "chance": "Probabilitas",
    },
    "de": {
        "id": "Vorgangsnr.",
        "name": "Projekt",
        "company": "Kunde",
        "stage": "Phase",
        "amount": "Wert",
        "close": "Abschluss",
        "created": "Erstellt",
        "owner": "Vertrieb",
        "chance": "Wahrscheinlichkeit",
    },
    "es": {
        "id": "Código",
        "name": "Oportunidad",
        "company": "Empresa",
        "stage": "Etapa",
        "amount": "Importe",
        "close": "Fecha de cierre",
        "created": "Creado",
        "owner": "Responsable",
        "chance": "Probabilidad",
    },
    "fr": {
        "id": "Réf.",
        "name": "Affaire",
        "company": "Société",
        "stage": "Étape",
        "amount": "Montant",
        "close": "Date de clôture",
        "created": "Créé le",
        "owner": "Commercial",
        "chance": "Probabilité",
    },
}
STAGES = {
    "en": ["Lead", "Qualified", "Meeting", "Proposal", "Negotiation", "Won", "Lost"],
    "id": ["Prospek", "Kualifikasi", "Pertemuan", "Penawaran", "Negosiasi", "Menang", "Kalah"],
    "de": ["Anfrage", "Qualifizierung", "Termin", "Angebot", "Verhandlung", "Gewonnen", "Verloren"],
    "es": ["Prospecto", "Calificado", "Reunión", "Propuesta", "Negociación", "Ganado", "Perdido"],
    "fr": ["Prospection", "Qualification", "Rendez-vous", "Devis", "Négociation", "Gagné", "Perdu"],
}
LOCALES = {"en": ["en_US", "en_GB"], "id": ["id_ID"], "de": ["de_DE"], "es": ["es_ES"], "fr": ["fr_FR"]}
MONTHS = {
    "en": [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ],
    "id": [
        "Januari",
        "Februari",
        "Maret",
        "April",
        "Mei",
        "Juni",
        "Juli",
        "Agustus",
        "September",
        "Oktober",
        "November",
        "Desember",
    ],
    "de": [
        "Januar",
        "Februar",
        "März",
        "April",
        "Mai",
        "Juni",
        "Juli",
        "August",
        "September",
        "Oktober",
        "November",
        "Dezember",
    ],
    "es": [
        "enero",
        "febrero",
        "marzo",
        "abril",
        "mayo",
        "junio",
        "julio",
        "agosto",
        "septiembre",
        "octubre",
        "noviembre",
        "diciembre",
    ],
    "fr": [
        "janvier",
        "février",
        "mars",
        "avril",
        "mai",
        "juin",
        "juillet",
        "août",
        "septembre",
        "octobre",
        "novembre",
        "décembre",
    ],
}
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
    rng: random.Random


def decimal_mark(locale: str) -> str:
    return "." if locale.startswith("en") else ","


def money(value: Decimal | None, how: Writing) -> str:
    if value is None:
        return how.rng.choice(["", "-", "n/a"])
    mark = decimal_mark(how.locale)
    whole, _, cents = f"{value:.2f}".partition(".")
    if how.money_style in ("grouped", "currency"):
        group = {"fr_FR": "\u202f"}.get(how.locale, "." if mark == "," else ",")
        whole = f"{int(whole):,}".replace(",", group)
    text = whole if cents == "00" and how.money_style == "grouped" else f"{whole}{mark}{cents}"
    return f"EUR {text}" if how.money_style == "currency" else text


def day(value: date | None, how: Writing) -> str:
    if value is None:
        return ""
    if how.date_style == "iso":
        return value.isoformat()
    if how.date_style == "words":
        month = MONTHS[how.language][value.month - 1]
        return f"{month} {value.day}, {value.year}" if how.locale == "en_US" else f"{value.day} {month} {value.year}"
    mark = {"de_DE": "."}.get(how.locale, "/")
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
    columns = ["name", "company", "amount", "owner", "close", "created", "chance"]
    columns += ["id"] if how.has_ids else []
    columns += [] if how.layout == "wide" else ["stage"]
    how.rng.shuffle(columns)
    head: list[object] = [names[column] for column in columns]
    head += [f"{label} date" if how.language == "en" else label for label in labels] if how.layout == "wide" else []
    rows = [head]
    for deal in deals:
        values = {
            "name": deal.name,
            "company": deal.company,
            "id": deal.key,
            "stage": labels[deal.stage],
            "owner": deal.owner,
            "amount": float(deal.amount) if native and deal.amount is not None else money(deal.amount, how),
            "close": on(deal.close),
            "created": on(deal.created),
            "chance": "" if deal.chance is None else f"{deal.chance}%",
        }
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
        total[0] = "TOTAL"
        rows.append(total)
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
    how = Writing(
        layout=draw(st.sampled_from(["current", "wide", "log"])),
        language=language,
        locale=draw(st.sampled_from(LOCALES[language])),
        is_locale_told=draw(st.booleans()),
        has_ids=draw(st.booleans()),
        date_style=draw(st.sampled_from(["iso", "words", "numbers"])),
        money_style=draw(st.sampled_from(["plain", "grouped", "currency"])),
        encoding=draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"])),
        delimiter=draw(st.sampled_from([",", ";", "\t"])),
        kind=draw(st.sampled_from(["csv", "xlsx"])),
        titles=draw(st.integers(0, 3)),
        has_total=draw(st.booleans()),
        has_repeat=draw(st.booleans()),
        has_blank=draw(st.booleans()),
        rng=random.Random(draw(st.integers(0, 1 << 30))),
    )
    return deals, how


def clean(text: str | None) -> str | None:
    return text_of(text) or None if text is not None else None


def expected(deal: Deal, how: Writing) -> dict[str, object]:
    labels = STAGES[how.language]
    found: dict[str, object] = {"name": clean(deal.name), "stage": labels[deal.stage].casefold()}
    if how.layout != "log":
        found |= {
            "company": clean(deal.company),
            "amount": deal.amount,
            "close": deal.close,
            "created": deal.created,
            "owner": deal.owner,
            "chance": None if deal.chance is None else deal.chance / 100,
        }
    if how.layout != "current":
        found["moves"] = [(labels[stage].casefold(), at) for stage, at in deal.moves]
    return found


def observed(deal, history, how: Writing) -> dict[str, object]:
    found: dict[str, object] = {"name": deal.name, "stage": deal.stage_id}
    if how.layout != "log":
        found |= {
            "company": deal.company_name,
            "amount": deal.amount,
            "close": deal.expected_close_date,
            "created": deal.created_at and deal.created_at.date(),
            "owner": deal.owner_id and deal.raw[HEADERS[how.language]["owner"]],
            "chance": deal.probability,
        }
    if how.layout != "current":
        found["moves"] = [(change.to_stage_id, change.changed_at.date()) for change in history.stage_changes]
    return found


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
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
        try:
            got = read(path, locale=how.locale if how.is_locale_told else None, snapshot_date="2026-10-01")
        except ConfigError as error:
            refusal = error
        if refusal is not None:
            assert not how.is_locale_told or "may hold deals" in str(refusal) or _is_fair(str(refusal)), (
                how,
                str(refusal),
            )
            return
    by_row = sorted(got.of(type(next(iter(got.deals.values())))), key=lambda deal: deal.name or "") if got.deals else []
    assert len(by_row) == len(deals), (how, shown, [reject.detail for reject in got.rejects])
    histories = got.history
    read_back = sorted((observed(deal, histories.get(deal.deal_id), how) for deal in by_row), key=str)
    assert read_back == sorted((expected(deal, how) for deal in deals), key=str), (how, shown)
    kept = int(got.warnings["rows_read"].split(" = ")[1].split(" kept")[0])
    assert kept + len(got.rejects) == int(got.warnings["rows_read"].split(": ")[1].split(" rows")[0])


def _is_fair(reason: str) -> bool:
    """Refusals that remain right even when the locale is told."""
    return "against `locale" in reason or "no stage column" in reason or "no header row" in reason
