"""Trackers in many languages are read without settings but a locale, and the word lists do not contradict themselves."""

from __future__ import annotations

from collections import defaultdict
from datetime import date
from decimal import Decimal

import pytest

from connectors.spreadsheet import words
from tests.connectors.spreadsheet.sheets import csv_file, read
from tests.connectors.spreadsheet.trackers import TRACKERS

#: What must be understood without settings.
LANGUAGES = (
    *(
        "en",
        "id",
        "es",
        "pt",
        "de",
        "fr",
        "it",
        "nl",
        "pl",
        "cs",
        "sv",
        "da",
        "no",
        "fi",
        "tr",
        "ru",
        "uk",
        "ms",
        "vi",
        "th",
    ),
    *("ja", "zh", "ko", "ar", "he", "hi", "el", "ro", "hu"),
)


@pytest.mark.parametrize("language", TRACKERS)
def test_a_tracker_is_read_in_its_language(tmp_path, language):
    asked = TRACKERS[language]
    path = csv_file(tmp_path, asked.text, encoding=asked.encoding)
    got = read(path, **({"locale": asked.locale} if asked.locale else {}))
    first, won = got.deals.values()
    assert (first.name, first.company_name, first.owner_id) == (asked.name, asked.company, asked.owner)
    assert (first.amount, first.currency) == (Decimal(asked.amount), asked.currency)
    assert (first.probability, first.expected_close_date) == (asked.probability, date.fromisoformat(asked.closes))
    assert (won.amount, won.expected_close_date) == (Decimal(asked.won_amount), date.fromisoformat(asked.won_closes))
    assert words.outcome_of(won.raw[_header_of(got, "stage")]) == "won"
    assert words.outcome_of(first.raw[_header_of(got, "stage")]) is None
    assert not [reject for reject in got.rejects if not reject.is_dropped]


def _header_of(got, field):
    return next(one.code for one in got.all if type(one).__name__ == "FieldDef" and one.raw.get("field") == field)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_names_what_a_pipeline_needs(language):
    known = {field for pairs in words.synonyms().values() for field, its in pairs if its == language}
    needed = {"deal_id", "name", "company", "stage", "status", "amount", "probability", "expected_close_date"}
    assert known >= needed | {"created_at", "owner"}
    if language != "en":
        assert {"changed_at", "from_stage", "to_stage"} <= known


def test_no_month_is_two_months():
    by_word = defaultdict(set)
    for number, names in words._load("words")["months"].items():
        for name in names:
            by_word[words.fold(name)].add(number)
            by_word[words.bare(name)].add(number)
    assert {word: numbers for word, numbers in by_word.items() if len(numbers) > 1} == {}


def test_no_word_is_won_and_lost_or_closed_and_a_step():
    won, lost, still = (words.words(f"outcome_{outcome}") for outcome in ("won", "lost", "open"))
    steps = {words.fold(name) for names in words._load("words")["ladder"].values() for name in names}
    assert won & lost == won & still == lost & still == frozenset()
    assert steps & (won | lost) == frozenset()


def test_only_headers_known_to_be_ambiguous_stand_under_two_fields():
    two = {name for name, pairs in words.synonyms().items() if len({field for field, _ in pairs}) > 1}
    assert two == {
        "peluang",
        "chance",
        "szansa",
        "โอกาส",
        "prospect",
        "nama prospek",
        "tanggal update tahap",
        "kans",
        "vorgang",
        "auftrag",
    }


@pytest.mark.parametrize(
    ("header", "field"),
    [
        ("FECHA CREACION", "created_at"),
        ("MÜŞTERİ ADI", "company"),
        ("💰 Deal Value (USD)", "amount"),
        ("Company / 会社名", "company"),
        ("Nilai Proyek (dalam jutaan rupiah)", "amount"),
        ("売上見込金額", "amount"),
        ("Close Date (DD/MM/YYYY)", "expected_close_date"),
        ("Tahap\n(Stage)", "stage"),
        ("Deal #", "deal_id"),
        ("\u200fالعميل\u200f", "company"),
    ],
)
def test_headers_as_people_dress_them_up(tmp_path, header, field):
    content = {"created_at": "2024-05-13", "expected_close_date": "2024-05-14", "amount": "5", "stage": "Lead"}
    head = {"name": "Deal", "stage": "Stage"} | {field: header}
    cells = {name: content.get(name, "Alpha" if name == "name" else "A-7") for name in head}
    quoted = ['"' + text.replace('"', '""') + '"' for text in head.values()]
    got = read(csv_file(tmp_path, ",".join(quoted) + "\n" + ",".join(cells.values()) + "\n"))
    assert words.fold(_header_of(got, field)) == words.fold(header)
