"""Write the demo's sheets anew: `python examples/demo/make_sheets.py`. Same seed, same sheets; every name in them is made up.

Tetra sells espresso machines. Three teams keep their deals in three kinds of sheet:
  us_pipeline/us_pipeline_<date>.csv   US team, USD: the state of each deal, one copy every two weeks (no history but the copies)
  penjualan_indonesia.xlsx             Indonesian team, IDR: a row per deal, a column of dates per stage
  partner_deals.csv, partner_log.csv   partners, USD and IDR: a list of deals, and a log with a row per change of stage

Put there on purpose: skipped stages, moves back, deals lost and reopened, a win taken back, deals created in the middle of the pipeline,
deals that two teams hold, a total row, unknown amounts, a row that disappears, and a stage name that no dictionary knows.
"""

from __future__ import annotations

import csv
import math
import random
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import NamedTuple

from openpyxl import Workbook

SHEETS = Path(__file__).parent / "sheets"
FIRST_DAY = date(2025, 10, 1)
#: The sheets were saved in the early morning after this day; nothing in them is later.
LAST_DAY = date(2026, 6, 29)
SAVED_ON = date(2026, 6, 30)
IDR_PER_USD = 16_000

CITIES = [
    "Harbor",
    "Maple",
    "Cedar",
    "Union",
    "Lakeside",
    "Summit",
    "Juniper",
    "Willow",
    "Granite",
    "Orchard",
    "Beacon",
    "Prairie",
    "Copper",
    "Meadow",
    "Aspen",
]
VENUES = ["Hotel", "Coffee", "Bakery", "Diner", "Roasters", "Bistro", "Resort"]
NAMA = [
    "Melati",
    "Kenanga",
    "Cendana",
    "Bahari",
    "Rinjani",
    "Merapi",
    "Kartika",
    "Pelangi",
    "Anggrek",
    "Borneo",
    "Nirwana",
    "Saraswati",
    "Mahkota",
    "Lestari",
]
USAHA = ["Hotel", "Kopi", "Resto", "Kafe", "Katering", "Roti"]
PRODUCTS = ["two-group machine", "grinder set", "lobby bar", "service contract", "training room", "office corner"]
PRODUK = ["mesin dua grup", "paket grinder", "bar lobi", "kontrak servis", "ruang latihan", "sudut kopi kantor"]
SOURCES = ["Website", "Referral", "Trade show", "Outbound", "Partner"]
SUMBER = ["Situs web", "Rujukan", "Pameran", "Telepon", "Mitra"]


class Step(NamedTuple):
    """An open stage: median days there, chance to lose from it, chance to jump over it."""

    name: str
    median_days: float
    lost: float
    skipped: float


class Deal(NamedTuple):
    """A made-up deal; `moves` are (instant, stage) in order, not after LAST_DAY."""

    deal_id: str
    name: str
    company: str
    owner: str
    source: str
    amount: int | None
    currency: str
    moves: list[tuple[datetime, str]]

    def stage_at(self, when: datetime) -> str | None:
        """The stage as of an instant, None before the deal existed."""
        past = [stage for moved_at, stage in self.moves if moved_at <= when]
        return past[-1] if past else None


US = [
    Step("Lead", 9, 0.22, 0.00),
    Step("Qualified", 12, 0.16, 0.12),
    Step("Demo", 26, 0.14, 0.08),
    Step("Proposal", 16, 0.18, 0.05),
    Step("Negotiation", 11, 0.12, 0.20),
]
INDONESIA = [
    Step("Prospek", 8, 0.18, 0.00),
    Step("Kualifikasi", 10, 0.15, 0.15),
    Step("Pertemuan", 13, 0.12, 0.10),
    Step("Penawaran", 34, 0.22, 0.04),
    Step("Negosiasi", 12, 0.10, 0.18),
]
PARTNERS = [
    Step("New", 6, 0.20, 0.00),
    Step("Discovery", 14, 0.17, 0.10),
    Step("Proposal", 18, 0.20, 0.06),
    Step("Contract", 15, 0.10, 0.12),
]


def path(rng: random.Random, steps: list[Step], start: datetime, won: str, lost: str) -> list[tuple[datetime, str]]:
    """A walk through the pipeline: mostly forward, sometimes over a stage, back, or out and in again."""
    moves: list[tuple[datetime, str]] = []
    index = 0 if rng.random() > 0.06 else rng.randint(1, 2)
    moment = start
    went_back = False
    while index < len(steps):
        step = steps[index]
        moves.append((moment, step.name))
        moment += timedelta(days=max(0.2, rng.lognormvariate(math.log(step.median_days), 0.7)))
        luck = rng.random()
        if luck < step.lost:
            moves.append((moment, lost))
            if rng.random() > 0.10:
                return moves
            moment += timedelta(days=rng.uniform(10, 40))
        elif index > 1 and not went_back and luck > 0.93:
            went_back = True
            index -= 1
            continue
        index += 1
        while index < len(steps) and rng.random() < steps[index].skipped:
            index += 1
    moves.append((moment, won))
    return moves


def working_hour(rng: random.Random, day: date) -> datetime:
    """A minute of an office day."""
    return datetime.combine(day, time(rng.randint(8, 17), rng.randrange(0, 60, 5)))


def made_up(
    rng: random.Random, steps: list[Step], count: int, *, prefix: str, words: tuple, money: tuple
) -> list[Deal]:
    """`count` deals of one team. `words` = (names, venues, products, owners, sources, won, lost), `money` = (low, high, unit, currency)."""
    names, venues, products, owners, sources, won, lost = words
    low, high, unit, currency = money
    deals = []
    for number in range(1, count + 1):
        day = FIRST_DAY + timedelta(days=rng.randint(0, (LAST_DAY - FIRST_DAY).days - 4))
        moves = [
            (moved_at.replace(second=0, microsecond=0), stage)
            for moved_at, stage in path(rng, steps, working_hour(rng, day), won, lost)
            if moved_at.date() <= LAST_DAY
        ]
        company = f"{rng.choice(names)} {rng.choice(venues)}"
        amount = (
            None if rng.random() < 0.05 else round(math.exp(rng.uniform(math.log(low), math.log(high))) / unit) * unit
        )
        deals.append(
            Deal(
                f"{prefix}-{number:03d}",
                f"{company}: {rng.choice(products)}",
                company,
                rng.choice(owners),
                rng.choice(sources),
                amount,
                currency,
                moves,
            )
        )
    return deals


def write_us(deals: list[Deal]) -> None:
    """One CSV every two weeks, English, dollars, in an order that changes, with a total row at the end."""
    folder = SHEETS / "us_pipeline"
    folder.mkdir(parents=True, exist_ok=True)
    header = ["Deal ID", "Deal Name", "Account", "Stage", "Amount", "Created", "Owner", "Lead Source"]
    day = date(2026, 1, 13)
    copies = []
    while day < SAVED_ON:
        copies.append(day)
        day += timedelta(days=14)
    gone = next(deal for deal in deals if deal.stage_at(datetime.combine(copies[5], time())) == "Lead")
    for number, copied_on in enumerate([*copies, SAVED_ON]):
        at = datetime.combine(copied_on, time())
        rows = [deal for deal in deals if deal.stage_at(at) and not (deal is gone and number > 6)]
        random.Random(number).shuffle(rows)  # noqa: S311 - sample data
        with (folder / f"us_pipeline_{copied_on}.csv").open("w", newline="", encoding="utf-8") as stream:
            out = csv.writer(stream, lineterminator="\n")
            out.writerow(header)
            for deal in rows:
                money = "TBD" if deal.amount is None else f"${deal.amount:,}"
                created = deal.moves[0][0].date().isoformat()
                out.writerow(
                    [deal.deal_id, deal.name, deal.company, deal.stage_at(at), money, created, deal.owner, deal.source]
                )
            total = sum(deal.amount or 0 for deal in rows)
            out.writerow(["Total", "", "", "", f"${total:,}", "", "", ""])


def write_indonesia(deals: list[Deal]) -> None:
    """A workbook with a title, real date cells, one column per stage, rupiah as numbers."""
    book = Workbook()
    book.properties.created = book.properties.modified = datetime.combine(SAVED_ON, time())
    sheet = book.active
    sheet.title = "Penjualan"
    sheet.append(["Penjualan Tetra Indonesia"])
    sheet.append([f"Per tanggal {SAVED_ON:%d/%m/%Y}"])
    sheet.append([])
    stages = [step.name for step in INDONESIA]
    sheet.append(
        [
            "Kode",
            "Nama Deal",
            "Perusahaan",
            "Nilai (IDR)",
            "Sales",
            "Sumber",
            *(f"Tgl {s}" for s in stages),
            "Tgl Menang",
            "Tgl Kalah",
        ]
    )
    for deal in deals:
        # A cell holds one date: of a stage visited twice the last date stays, as it does when people type over it.
        reached = {stage: moved_at.date() for moved_at, stage in deal.moves}
        if deal.moves[-1][1] != "Kalah":
            reached.pop("Kalah", None)
        dates = [reached.get(stage) for stage in (*stages, "Menang", "Kalah")]
        sheet.append([deal.deal_id, deal.name, deal.company, deal.amount, deal.owner, deal.source, *dates])
    lists = book.create_sheet("Daftar")
    lists.sheet_state = "hidden"
    for stage in stages:
        lists.append([stage])
    book.save(SHEETS / "penjualan_indonesia.xlsx")


def write_partners(deals: list[Deal]) -> None:
    """A list of deals in two currencies, and a log of their changes, newest first."""
    with (SHEETS / "partner_deals.csv").open("w", newline="", encoding="utf-8") as stream:
        out = csv.writer(stream, lineterminator="\n")
        out.writerow(["deal_id", "deal_name", "account", "amount", "currency", "created", "owner"])
        for deal in deals:
            created = deal.moves[0][0].date().isoformat()
            money = "" if deal.amount is None else deal.amount
            out.writerow([deal.deal_id, deal.name, deal.company, money, deal.currency, created, deal.owner])
    rows = []
    for deal in deals:
        previous = ""
        for moved_at, stage in deal.moves:
            rows.append([f"{moved_at:%Y-%m-%d %H:%M}", deal.deal_id, previous, stage, deal.owner])
            previous = stage
    rows.sort(key=lambda row: (row[0], row[1]), reverse=True)
    with (SHEETS / "partner_log.csv").open("w", newline="", encoding="utf-8") as stream:
        out = csv.writer(stream, lineterminator="\n")
        out.writerow(["changed_at", "deal_id", "from_stage", "to_stage", "changed_by"])
        out.writerows(rows)


def partners(rng: random.Random, us: list[Deal]) -> list[Deal]:
    """Partner deals in two currencies, five of which the US team holds as well, one stage that no dictionary knows, one win taken back."""
    words = (CITIES, VENUES, PRODUCTS, ["Rae", "Noor", "Sinta"], SOURCES, "Won", "Lost")
    dollars = made_up(rng, PARTNERS, 44, prefix="P", words=words, money=(4_000, 60_000, 500, "USD"))
    words = (NAMA, USAHA, PRODUK, ["Noor", "Sinta"], SUMBER, "Won", "Lost")
    rupiah = made_up(rng, PARTNERS, 24, prefix="PI", words=words, money=(60e6, 900e6, 5_000_000, "IDR"))
    deals = [*dollars, *rupiah]
    shared = [deal for deal in us if deal.amount and deal.moves[0][0].date() > date(2026, 1, 20)][:5]
    for number, deal in enumerate(shared, start=1):
        began = deal.moves[0][0] - timedelta(days=6)
        moves = [(began, "New"), (began + timedelta(days=4), "Discovery")]
        deals.append(deal._replace(deal_id=f"P-US{number}", owner="Rae", moves=moves))
    waiting = [number for number, deal in enumerate(deals) if deal.moves[-1][1] == "Discovery"][:3]
    for number in waiting:
        parked = deals[number].moves[-1][0] + timedelta(days=5)
        if parked.date() <= LAST_DAY:
            deals[number].moves.append((parked, "Bruno's desk"))
    taken_back = next(
        deal for deal in deals if deal.moves[-1][1] == "Won" and deal.moves[-1][0].date() < date(2026, 6, 1)
    )
    taken_back.moves.append((taken_back.moves[-1][0] + timedelta(days=12), "Lost"))
    return deals


def main() -> None:
    """Write all sheets."""
    rng = random.Random(20260630)  # noqa: S311 - sample data
    words = (CITIES, VENUES, PRODUCTS, ["Dana", "Lee", "Morgan"], SOURCES, "Closed Won", "Closed Lost")
    us = made_up(rng, US, 96, prefix="US", words=words, money=(3_000, 90_000, 500, "USD"))
    words = (NAMA, USAHA, PRODUK, ["Ayu", "Budi", "Citra"], SUMBER, "Menang", "Kalah")
    indonesia = made_up(rng, INDONESIA, 88, prefix="ID", words=words, money=(40e6, 1.2e9, 5_000_000, "IDR"))
    write_us(us)
    write_indonesia(indonesia)
    write_partners(partners(rng, us))


if __name__ == "__main__":
    main()
