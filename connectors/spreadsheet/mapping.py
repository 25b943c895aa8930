"""Which column is which field: settings first, then whole headers, then words in headers, always checked against what the column holds.

Two columns that could be the same field are never chosen between in silence: for the fields that numbers rest on the table is refused
with both names, for the others both stay plain columns and a note says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import msgspec

from connectors.sdk.errors import ConfigError
from connectors.spreadsheet import columns, flags, units, words
from connectors.spreadsheet.grid import Cell, letter_index, text_of
from connectors.spreadsheet.header import Head, Header
from connectors.spreadsheet.settings import Table

DATE_FIELDS = frozenset(
    {
        "created_at",
        "closed_at",
        "expected_close_date",
        "last_activity_at",
        "next_activity_at",
        "stage_entered_at",
        "updated_at",
        "changed_at",
    }
)
MONEY_FIELDS = frozenset({"amount", "weighted"})
LOG_FIELDS = frozenset({"changed_at", "from_stage", "to_stage", "changed_by"})
#: Fields for which two candidates are refused instead of left alone.
CRITICAL = frozenset({"stage", "amount", "to_stage", "changed_at", "expected_close_date"})


class Profile:
    """What a column holds, from a sample: shares of amounts, of days, how many different texts."""

    def __init__(self) -> None:
        self.filled = 0
        self.numbers = 0
        self.dates = columns.DateColumn()
        self.money = columns.MoneyColumn()
        self.texts: dict[str, int] = {}

    def see(self, row: int, cell: Cell) -> None:
        """Count one cell."""
        if cell is None or (isinstance(cell, str) and words.fold(cell) in words.nothing("text")):
            return
        self.filled += 1
        if isinstance(cell, int | float) and not isinstance(cell, bool):
            self.numbers += 1
        self.dates.see(row, cell)
        self.money.see(row, cell)
        text = text_of(cell)
        if len(self.texts) < 500 or text in self.texts:
            self.texts[text] = self.texts.get(text, 0) + 1

    @property
    def is_count(self) -> bool:
        """Whether the column may only number its rows: whole numbers, none far above the number of rows. A row number is no key."""
        plain = [text for text in self.texts if text.isdecimal()]
        return len(plain) == len(self.texts) and all(int(text) <= 2 * self.filled + 10 for text in plain)

    @property
    def has_figures(self) -> bool:
        """Whether some cells are amounts and most of the others have figures in them ("~5000", "5-10k")."""
        figures = sum(1 for text in self.texts if any(ch.isdigit() for ch in text))
        return self.money.readable_share > 0 and figures >= 0.7 * len(self.texts)

    @property
    def is_code(self) -> bool:
        """Whether every text has a figure and no blank in it, as numbers of deals have."""
        return bool(self.texts) and all(" " not in text and any(ch.isdigit() for ch in text) for text in self.texts)

    @property
    def is_dates(self) -> bool:
        """Mostly days or instants."""
        return self.filled > 0 and self.dates.readable_share >= 0.5

    @property
    def is_money(self) -> bool:
        """Mostly amounts."""
        return self.filled > 0 and self.money.readable_share >= 0.5 and not self.is_dates

    @property
    def is_text(self) -> bool:
        """Mostly neither."""
        return self.filled > 0 and not self.is_dates and not self.is_money

    @property
    def is_percent(self) -> bool:
        """Amounts that may be shares: percent signs, or nothing above 100."""
        if not self.is_money:
            return False
        return self.money.counts.get("percent", 0) > 0 or (self.money.max_plain <= 100 and not self.money.signs)


class Mapping_(msgspec.Struct, frozen=True, kw_only=True):  # noqa: N801  (Mapping is taken by typing)
    """What the columns of one table are. Indexes from 0."""

    fields: dict[str, int]
    stage_dates: tuple[tuple[str, int], ...] = ()
    #: Settings that name a header which this table does not have: (setting, header).
    missing: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    #: Columns of ticks that tell the outcome: won, lost, closed -> index. They stay plain columns as well.
    flags: dict[str, int] = {}
    matched: dict[str, str] = {}


def profiles(head: Head, rows: Iterable[tuple[int, Sequence[Cell]]]) -> list[Profile]:
    """One profile per column of the header."""
    found = [Profile() for _ in head.headers]
    for number, cells in rows:
        for profile, cell in zip(found, cells, strict=False):
            profile.see(number, cell)
    return found


def find_column(head: Head, name: str, where: str, setting: str) -> int | None:
    """The column that a setting names: by header (as written, then folded), or by letter. Raises ConfigError for a repeated header."""
    for key in (lambda text: text, words.fold, words.fold_header):
        hits = [header for header in head.headers if header.given and key(header.given) == key(name)]
        hits = hits or [header for header in head.headers if header.lower and key(header.lower) == key(name)]
        hits = hits or [header for header in head.headers if key(header.text) == key(name)]
        if len(hits) > 1:
            raise ConfigError(
                f"{where}: {setting} names {name!r}, which heads columns {' and '.join(hit.letter for hit in hits)}. "
                f"Name one as {hits[1].text!r} or by its letter."
            )
        if hits:
            return hits[0].index
    index = letter_index(name.removeprefix("column ").removeprefix("Column "))
    return index if index is not None and index < len(head.headers) else None


def map_columns(head: Head, table: Table, held: list[Profile], where: str, *, is_log: bool) -> Mapping_:
    """Every column's field. Raises ConfigError for settings that name a repeated header; what is missing is returned, not raised."""
    fields: dict[str, int] = {}
    missing: list[tuple[str, str]] = []
    matched: dict[str, str] = {}
    for field, name in table.columns.items():
        if name is None:
            continue
        index = find_column(head, name, where, f"columns.{field}")
        if index is None:
            missing.append((f"columns.{field}", name))
        else:
            fields[field], matched[field] = index, "settings"
    stage_dates: list[tuple[str, int]] = []
    for stage, name in table.stage_dates.items():
        index = find_column(head, name, where, f"stage_dates.{stage}")
        if index is None:
            missing.append((f"stage_dates.{stage}", name))
        else:
            stage_dates.append((stage, index))
    for name in table.key:
        if name not in table.columns and find_column(head, name, where, "key") is None:
            missing.append(("key", name))
    claimed = set(fields.values()) | {index for _, index in stage_dates}
    if not stage_dates and not is_log and table.layout in (None, "wide"):
        stage_dates = wide_columns(head, held, claimed, is_asked=table.layout == "wide")
        claimed |= {index for _, index in stage_dates}
    notes: list[str] = []
    conflicts: list[str] = []
    refused = {field for field, name in table.columns.items() if name is None}
    doubted: set[str] = set()
    for field, found, how in _by_words(head, held, claimed, set(fields) | refused, is_log=is_log):
        if len(found) > 1:
            text = f"columns {' and '.join(repr(header.text) for header in found)} may both be {field!r}"
            (conflicts if field in CRITICAL else notes).append(text)
            doubted.add(field)
            continue
        fields[field], matched[field] = found[0].index, how
        claimed.add(found[0].index)
    if is_log:
        _settle_log(head, held, fields, matched)
    notes += _misnamed(head, held, claimed, set(fields) | refused | doubted)
    return Mapping_(
        fields=fields,
        stage_dates=tuple(stage_dates),
        missing=tuple(missing),
        notes=tuple(notes),
        conflicts=tuple(conflicts),
        flags={} if is_log or "status" in refused else _flags(head, held, claimed),
        matched=matched,
    )


def _flags(head: Head, held: list[Profile], claimed: set[int]) -> dict[str, int]:
    texts = {header.index: tuple(held[header.index].texts) for header in head.headers if header.index not in claimed}
    return flags.columns(head.headers, texts)


def _misnamed(head: Head, held: list[Profile], claimed: set[int], taken: set[str]) -> list[str]:
    """Notes on columns whose header plainly names a field that their cells cannot be ("Close date" full of clock times)."""
    notes = []
    for header in head.headers:
        name = words.fold_header(header.given)
        meant = [field for field, _ in words.synonyms().get(name, ()) if field in _WORTH_A_WORD and field not in taken]
        if meant and header.index not in claimed and held[header.index].filled and name not in words.weak_headers():
            notes.append(f"column {header.text!r} is named like {meant[0]!r} but holds something else")
    return notes


_WORTH_A_WORD = frozenset({"amount", "stage", "probability", "created_at", "closed_at", "expected_close_date"})


def _settle_log(head: Head, held: list[Profile], fields: dict[str, int], matched: dict[str, str]) -> None:
    """A log whose time of change has another name: the plain date column, or the only column of dates there is."""
    if "changed_at" in fields:
        return
    dated = [header.index for header in head.headers if held[header.index].is_dates or _partly(held[header.index])]
    plain = fields.pop("created_at", None)
    if plain is None and len(dated) == 1:
        plain = dated[0]
    if plain is not None:
        fields["changed_at"], matched["changed_at"] = plain, "the date column of a log"


def _by_words(
    head: Head, held: list[Profile], claimed: set[int], taken: set[str], *, is_log: bool
) -> list[tuple[str, list[Header], str]]:
    """(field, columns that may be it, how they matched), the best match of each field only, each column used once."""
    offers: dict[str, dict[int, list[Header]]] = {}
    choices: dict[int, int] = {}
    for header in head.headers:
        if header.index in claimed or not header.given:
            continue
        offered = [pair for pair in _offers(header, held[header.index], is_log=is_log) if pair[0] not in taken]
        choices[header.index] = len(offered)
        for field, rank in offered:
            offers.setdefault(field, {}).setdefault(rank, []).append(header)
    used: set[int] = set()
    found: list[tuple[str, list[Header], str]] = []
    for rank, how in ((0, "header"), (1, "header (a general word)"), (2, "word in the header")):
        for field in words.fields():
            columns = [header for header in offers.get(field, {}).get(rank, []) if header.index not in used]
            if not columns or field in taken:
                continue
            if field in ("status", "stage") and len(columns) > 1:
                columns = _telling(columns, held)
            if len(columns) > 1:
                columns = _only(columns, held, choices)
            found.append((field, columns, how))
            taken.add(field)
            used |= {header.index for header in columns}
    return found


def _only(columns: list[Header], held: list[Profile], choices: dict[int, int]) -> list[Header]:
    """Of several columns that may be a field: the one that holds something, or that can be nothing else; all of them if it stays open."""
    filled = [header for header in columns if held[header.index].filled]
    for narrowed in (filled, [header for header in filled or columns if choices[header.index] == 1]):
        if len(narrowed) == 1:
            return narrowed
    return columns


def _telling(columns: list[Header], held: list[Profile]) -> list[Header]:
    """Of several columns that may be the stage or status, the one that holds words for stages and outcomes, if only one does."""
    known = []
    for header in columns:
        texts = held[header.index].texts
        hits = sum(1 for text in texts if words.near_rung(text) is not None or words.outcome_of(text))
        if texts and hits >= len(texts) / 2:
            known.append(header)
    return known if len(known) == 1 else columns


def _offers(header: Header, held: Profile, *, is_log: bool) -> list[tuple[str, int]]:
    """Fields that a column may be, with rank: 0 whole header, 1 whole header of a general word, 2 by a word in it."""
    names = _names(header)
    for name in names:
        found = [field for field, _ in words.synonyms().get(name, ())]
        fits = [field for field in dict.fromkeys(found) if _fits(field, held, is_log=is_log, name=name)]
        if fits:
            rank = 1 if name in words.weak_headers() else 0
            return [(field, rank) for field in _settle(fits, held)]
        if found:
            return []
    pieces = [field for name in _pieces(header) for field, _ in words.synonyms().get(name, ())]
    hits = pieces + [field for name in names[:2] for field in _within(name)]
    return [(field, 2) for field in hits if _fits(field, held, is_log=is_log)][:1]


_BRACKETED = re.compile(r"[(\[{（【<][^)\]}）】>]*[)\]}）】>]?")
_PARTS = re.compile(r"\s*[/|\n]\s*")


def _names(header: Header) -> list[str]:
    """A header in the ways it may be looked up: whole, its lower row, without an export's prefix, without units, either language of two."""
    texts = [header.given, header.lower]
    names = [words.fold_header(text) for text in texts if text]
    names += [
        name.removeprefix(prefix).strip()
        for name in names
        for prefix in ("deal - ", "deal – ", "deal ")
        if name.startswith(prefix)
    ]
    names += [_without_currency(name) for name in names]
    names += [_without_currency(words.fold_header(_BRACKETED.sub(" ", text))) for text in texts]
    return list(dict.fromkeys(name for name in names if name))


def _pieces(header: Header) -> list[str]:
    """The halves of a header in two languages ("Company / 会社名", "客户 (Customer)"), without general words."""
    found = []
    for text in (header.given, header.lower):
        plain = _BRACKETED.sub(" ", text)
        inside = [] if text.isascii() else _BRACKET_INSIDE.findall(text)
        found += [_without_currency(words.fold_header(piece)) for piece in (*_PARTS.split(plain), *inside)]
    return [name for name in found if name and name not in words.weak_headers()]


_BRACKET_INSIDE = re.compile(r"[(（【]([^)）】]{3,})[)）】]")


def _without_currency(name: str) -> str:
    """A header without the currency or unit behind or before it ("deal value usd", "nilai proyek rp juta", "usd amount")."""
    parts = name.split(" ")
    while len(parts) > 1 and (units.is_unit(parts[-1]) or parts[-1] in ("in", "en", "w", "v", "i", "dalam", "в")):
        parts.pop()
    while len(parts) > 1 and (parts[0].upper() in words.currency_codes() or parts[0] in ("est", "total")):
        parts = parts[1:]
    return " ".join(parts)


def _settle(fits: list[str], held: Profile) -> list[str]:
    """One field for a header that may be two, by what it holds: "Chance" is a deal or a probability, "Vorgang" a deal or its number."""
    if {"deal_id", "name"} <= set(fits):
        return ["deal_id" if held.is_code else "name"]
    if len(fits) > 1 and "probability" in fits:
        return ["probability"] if held.is_percent else [field for field in fits if field != "probability"]
    return fits


def _within(name: str) -> list[str]:
    """Fields whose synonym stands inside a longer header as whole words, the longest synonym first."""
    parts = name.split(" ")
    if len(parts) == 1:
        return _at_the_end(name)
    if not 2 <= len(parts) <= 5 or words.never_within() & set(parts):
        return []
    hits: list[tuple[int, str]] = []
    for size in range(len(parts) - 1, 0, -1):
        for start in range(len(parts) - size + 1):
            piece = " ".join(parts[start : start + size])
            if piece in words.weak_headers() or len(piece) < 3:
                continue
            hits += [(size, field) for field, _ in words.synonyms().get(piece, ())]
    if not hits:
        return []
    longest = hits[0][0]
    return list(dict.fromkeys(field for size, field in hits if size == longest))


def _at_the_end(name: str) -> list[str]:
    """Fields whose synonym ends a header in a script without blanks ("売上見込金額" ends with 金額): the longest one counts."""
    for start in range(1, len(name) - 1):
        piece = name[start:]
        if piece.isascii() or not words.has_no_blanks(piece):
            return []
        if piece in words.synonyms() and piece not in words.weak_headers():
            return [field for field, _ in words.synonyms()[piece]]
    return []


def _fits(field: str, held: Profile, *, is_log: bool, name: str = "") -> bool:
    """Whether a column's content can be this field; an empty column can be anything."""
    if field in LOG_FIELDS and not is_log:
        return False
    if field == "deal_id" and name in words.counters() and held.is_count:
        return False
    if held.filled == 0:
        return True
    if field in DATE_FIELDS:
        return held.is_dates or _partly(held)
    if field in MONEY_FIELDS:
        return not held.is_dates and (held.money.readable_share >= 0.3 or held.has_figures)
    if field == "probability":
        return held.is_money or len(held.texts) <= 12
    if field in ("stage", "status", "from_stage", "to_stage", "pipeline"):
        return not held.is_dates and (held.is_text or len(held.texts) <= 30) and held.numbers < held.filled
    if field in ("owner", "name", "changed_by"):
        return not held.is_dates and held.numbers <= held.filled / 2
    if field == "company":
        return not held.is_dates
    return field != "deal_id" or not held.is_dates


def _partly(held: Profile) -> bool:
    serials = held.dates.counts.get("serial", 0)
    partial = held.dates.counts.get("partial", 0)
    return serials + partial + held.dates.readable_share * held.dates.filled >= held.filled / 2


def stage_name(header: str) -> str | None:
    """The stage in a header of stage dates: without the words for "date". None when nothing is left."""
    parts = header.replace("_", " ").split()
    if len(parts) == 1 and words.has_no_blanks(parts[0]):
        parts = [_without_glued_date(parts[0])]
    date_words = words.words("date_words")
    while parts and words.fold(parts[-1]).strip(".:") in date_words and words.rung(" ".join(parts)) is None:
        parts.pop()
    while parts and words.fold(" ".join(parts[:2])) in date_words:
        parts = parts[2:]
    while parts and words.fold(parts[0]).strip(".:") in date_words:
        parts = parts[1:]
    return " ".join(parts) or None


def _without_glued_date(header: str) -> str:
    """A header of a script without blanks, without the word for "date" at its end or start ("提案日", "วันที่เสนอราคา")."""
    if words.rung(header) is not None:
        return header
    for word in sorted(words.words("date_words"), key=len, reverse=True):
        if words.has_no_blanks(word) and len(word) < len(header):
            if header.endswith(word):
                return header.removesuffix(word)
            if len(word) > 1 and header.startswith(word):
                return header.removeprefix(word)
    return header


def wide_columns(head: Head, held: list[Profile], claimed: set[int], *, is_asked: bool) -> list[tuple[str, int]]:
    """Columns with the day on which a deal entered a stage: three or more dated columns named after stages, else none.

    `is_asked` (layout: wide): any dated column that is not plainly another date counts, and one is enough.
    """
    found: list[tuple[str, int]] = []
    for header in head.headers:
        name = stage_name(header.lower or header.given)
        if header.index in claimed or name is None:
            continue
        profile = held[header.index]
        if profile.filled and not (profile.is_dates or _partly(profile)):
            continue
        known = words.rung(name) is not None and not _is_plan(header)
        if known or (is_asked and profile.filled and not _is_other_date(header)):
            found.append((name, header.index))
    dated = sum(1 for _, index in found if held[index].filled)
    if is_asked:
        return found
    return _between(head, held, claimed, found) if len(found) >= 3 and dated >= min(2, len(found)) else []


def _between(head: Head, held: list[Profile], claimed: set[int], found: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Stage dates with the dated columns among them whose names are no known words ("Security review"): their stages count, too."""
    known = {index: stage for stage, index in found}
    for header in head.headers[min(known) : max(known)]:
        name = stage_name(header.lower or header.given)
        is_date = held[header.index].is_dates and not _is_other_date(header)
        if name is not None and header.index not in known and header.index not in claimed and is_date:
            known[header.index] = name
    return [(known[index], index) for index in sorted(known)]


def _is_plan(header: Header) -> bool:
    """Whether a header is the name of a date ahead ("Data de fechamento"), though a stage's name stands in it."""
    name = words.fold_header(header.given)
    found = {field for field, _ in words.synonyms().get(name, ()) if name not in words.weak_headers()}
    return bool(found & {"expected_close_date", "last_activity_at", "next_activity_at", "updated_at"})


def _is_other_date(header: Header) -> bool:
    return any(field in DATE_FIELDS for field, _ in words.synonyms().get(words.fold_header(header.given), ()))


def is_log(head: Head, held: list[Profile]) -> bool:
    """Whether the headers are those of a change log: a new stage, and when."""
    names = {field for header in head.headers for field, _ in words.synonyms().get(words.fold_header(header.given), ())}
    strong = {
        field
        for header in head.headers
        if (name := words.fold_header(header.given)) not in words.weak_headers()
        and (not held[header.index].is_money or _partly(held[header.index]))
        for field, _ in words.synonyms().get(name, ())
    }
    has_time = any(profile.is_dates or _partly(profile) for profile in held)
    if "stage" in strong and "from_stage" not in strong:
        return False  # a stage of now beside the planned next one
    return has_time and ("to_stage" in strong or ("to_stage" in names and "from_stage" in names))


def is_kanban(head: Head, held: list[Profile]) -> bool:
    """Whether the headers are stages and the cells are cards."""
    named = [header for header in head.headers if header.given]
    stages = [header for header in named if words.rung(header.given) is not None]
    cards = [header for header in named if held[header.index].is_text or not held[header.index].filled]
    return len(stages) >= 3 and min(len(stages), len(cards)) >= 0.7 * len(named)
