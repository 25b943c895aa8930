"""SOQL text to a syntax tree: the honest subset this sandbox understands.

SELECT fields, parent fields, COUNT(), COUNT/MIN/MAX/SUM/AVG/COUNT_DISTINCT, CALENDAR_YEAR/CALENDAR_MONTH/DAY_ONLY,
toLabel(), FIELDS(); WHERE with =, !=, <>, <, <=, >, >=, LIKE, IN, NOT IN (lists and sub-selects), INCLUDES, EXCLUDES, AND,
OR, NOT; GROUP BY; ORDER BY; LIMIT; OFFSET. Real SOQL that is missing here is refused as `SANDBOX_UNSUPPORTED`, so that nobody
takes the sandbox's limits for Salesforce's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

MAX_LENGTH = 100_000
_TOKEN = re.compile(
    r"""\s*(?:
      (?P<datetime>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d))
    | (?P<date>\d{4}-\d\d-\d\d)
    | (?P<number>[+-]?\d+(?:\.\d+)?)
    | (?P<string>'(?:\\.|[^'\\])*')
    | (?P<name>[A-Za-z_][\w.]*(?::\d+)?)
    | (?P<op><=|>=|!=|<>|=|<|>|\(|\)|,)
    )""",
    re.VERBOSE,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
AGGREGATES = {"COUNT", "COUNT_DISTINCT", "MIN", "MAX", "SUM", "AVG"}
DATE_FUNCTIONS = {"CALENDAR_YEAR", "CALENDAR_MONTH", "DAY_ONLY", "DAY_IN_MONTH"}
_KEYWORDS = {"FROM", "WHERE", "GROUP", "ORDER", "LIMIT", "OFFSET", "HAVING", "USING", "WITH", "FOR", "ALL"}
_REAL_BUT_MISSING = {"HAVING", "USING", "WITH", "FOR", "TYPEOF"}


class SoqlError(Exception):
    """A refusal in Salesforce's words: `code` and a message that may point into the query."""

    def __init__(self, code: str, message: str, query: str = "", position: int | None = None) -> None:
        if position is not None and query:
            row = query.count("\n", 0, position) + 1
            column = position - (query.rfind("\n", 0, position) + 1) + 1
            start = max(0, position - 40)
            excerpt = query[start : position + 40].replace("\n", " ")
            message = f"\n{excerpt}\n{' ' * (position - start)}^\nERROR at Row:{row}:Column:{column}\n{message}"
        super().__init__(message)
        self.code, self.message = code, message


@dataclass(frozen=True, slots=True)
class Item:
    """One thing selected, grouped or sorted by: a path, perhaps inside a function."""

    path: str
    position: int
    function: str = ""  # upper case; "" for a plain field
    alias: str = ""


@dataclass(frozen=True, slots=True)
class Literal:
    """A value in a condition. `kind`: string, number, date, datetime, boolean, null, range (date literal)."""

    kind: str
    text: str
    position: int


@dataclass(frozen=True, slots=True)
class Condition:
    """`item operator values`; `select` for a sub-select after IN."""

    item: Item
    operator: str
    values: tuple[Literal, ...]
    select: Select | None = None


@dataclass(frozen=True, slots=True)
class Logic:
    """and / or / not over other conditions."""

    operator: str
    parts: tuple[Condition | Logic, ...]


@dataclass(frozen=True, slots=True)
class Order:
    """One ORDER BY term."""

    item: Item
    descending: bool
    nulls_last: bool


@dataclass(slots=True)
class Select:
    """A whole query."""

    text: str
    items: list[Item] = field(default_factory=list)
    entity: str = ""
    entity_position: int = 0
    where: Condition | Logic | None = None
    group: list[Item] = field(default_factory=list)
    order: list[Order] = field(default_factory=list)
    limit: int | None = None
    offset: int = 0

    @property
    def is_count(self) -> bool:
        """SELECT COUNT() without anything else."""
        return len(self.items) == 1 and self.items[0].function == "COUNT" and not self.items[0].path

    @property
    def is_aggregate(self) -> bool:
        """Answers AggregateResult rows."""
        return bool(self.group) or any(i.function in AGGREGATES for i in self.items)


@dataclass(frozen=True, slots=True)
class _Word:
    kind: str
    text: str
    position: int

    @property
    def upper(self) -> str:
        return self.text.upper()


def parse(text: str) -> Select:
    """The tree of a query; raises SoqlError."""
    if len(text) > MAX_LENGTH:
        raise SoqlError("MALFORMED_QUERY", f"SOQL statements cannot be longer than {MAX_LENGTH} characters.")
    parser = _Parser(text)
    select = parser.select()
    parser.expect_end()
    return select


class _Parser:
    def __init__(self, text: str) -> None:
        self.text, self.place = text, 0
        self.words: list[_Word] = []
        position = 0
        while text[position:].strip():
            match = _TOKEN.match(text, position)
            if match is None:
                place = position + len(text[position:]) - len(text[position:].lstrip())
                raise SoqlError("MALFORMED_QUERY", f"line 1:{place} no viable alternative at character '{text[place]}'")
            kind = match.lastgroup or ""
            self.words.append(_Word(kind, match.group(kind), match.start(kind)))
            position = match.end()

    # --- reading words -----------------------------------------------------------------------------------------

    def peek(self, ahead: int = 0) -> _Word:
        place = self.place + ahead
        return self.words[place] if place < len(self.words) else _Word("end", "<EOF>", len(self.text))

    def next(self) -> _Word:
        word = self.peek()
        self.place += 1
        return word

    def accept(self, *texts: str) -> bool:
        if all(self.peek(n).upper == text for n, text in enumerate(texts)):
            self.place += len(texts)
            return True
        return False

    def unexpected(self, word: _Word) -> SoqlError:
        if word.upper in _REAL_BUT_MISSING:
            return SoqlError("SANDBOX_UNSUPPORTED", f"the sandbox does not know {word.upper}; real Salesforce may")
        return SoqlError("MALFORMED_QUERY", f"unexpected token: '{word.text}'", self.text, word.position)

    def expect(self, text: str) -> _Word:
        word = self.next()
        if word.upper != text:
            raise self.unexpected(word)
        return word

    def expect_kind(self, kind: str) -> _Word:
        word = self.next()
        if word.kind != kind:
            raise self.unexpected(word)
        return word

    def expect_end(self) -> None:
        if self.place < len(self.words):
            raise self.unexpected(self.peek())

    # --- clauses -----------------------------------------------------------------------------------------------

    def select(self) -> Select:
        self.expect("SELECT")
        tree = Select(self.text, items=[self.item(aliases=True)])
        while self.accept(","):
            tree.items.append(self.item(aliases=True))
        self.expect("FROM")
        entity = self.expect_kind("name")
        tree.entity, tree.entity_position = entity.text, entity.position
        if self.accept("WHERE"):
            tree.where = self.logic()
        if self.accept("GROUP", "BY"):
            tree.group = self.items()
        if self.accept("ORDER", "BY"):
            tree.order = [self.ordering()]
            while self.accept(","):
                tree.order.append(self.ordering())
        if self.accept("LIMIT"):
            tree.limit = self.whole_number()
        if self.accept("OFFSET"):
            tree.offset = self.whole_number()
            if tree.offset > 2000:
                raise SoqlError("NUMBER_OUTSIDE_VALID_RANGE", "Maximum SOQL offset allowed is 2000")
        for item in tree.items:
            if item.alias and not tree.is_aggregate:
                raise SoqlError("MALFORMED_QUERY", f"unexpected token: '{item.alias}'", self.text, item.position)
        return tree

    def whole_number(self) -> int:
        word = self.expect_kind("number")
        if not word.text.isdigit():
            raise self.unexpected(word)
        return int(word.text)

    def items(self) -> list[Item]:
        found = [self.item()]
        while self.accept(","):
            found.append(self.item())
        return found

    def item(self, *, aliases: bool = False) -> Item:
        if self.peek().text == "(":
            raise SoqlError("SANDBOX_UNSUPPORTED", "the sandbox does not know child sub-selects; real Salesforce does")
        word = self.expect_kind("name")
        if word.upper in _KEYWORDS:
            raise self.unexpected(word)
        function, path = "", word.text
        if self.accept("("):
            function, path = word.upper, ""
            if self.peek().text != ")":
                path = self.expect_kind("name").text
            self.expect(")")
            if function not in AGGREGATES | DATE_FUNCTIONS | {"FIELDS", "TOLABEL"}:
                raise SoqlError("SANDBOX_UNSUPPORTED", f"the sandbox does not know the function {word.text}()")
            if not path and function != "COUNT":
                raise self.unexpected(word)
        alias = ""
        if aliases and self.peek().kind == "name" and self.peek().upper not in _KEYWORDS:
            alias = self.next().text
        return Item(path, word.position, function, alias)

    def ordering(self) -> Order:
        item = self.item()
        descending = self.accept("DESC")
        if not descending:
            self.accept("ASC")
        nulls_last = self.accept("NULLS", "LAST")  # the default is first, ascending and descending alike
        if not nulls_last:
            self.accept("NULLS", "FIRST")
        return Order(item, descending, nulls_last)

    # --- conditions --------------------------------------------------------------------------------------------

    def logic(self) -> Condition | Logic:
        parts = [self.factor()]
        joined = ""
        while self.peek().upper in ("AND", "OR"):
            word = self.next()
            if joined and word.upper != joined:
                raise self.unexpected(word)  # AND and OR cannot mix without parentheses
            joined = word.upper
            parts.append(self.factor())
        return Logic(joined.lower(), tuple(parts)) if joined else parts[0]

    def factor(self) -> Condition | Logic:
        if self.accept("NOT"):
            return Logic("not", (self.factor(),))
        if self.accept("("):
            inside = self.logic()
            self.expect(")")
            return inside
        return self.condition()

    def condition(self) -> Condition:
        item = self.item()
        word = self.next()
        operator = word.upper
        if operator == "NOT":
            self.expect("IN")
            operator = "NOT IN"
        if operator in ("IN", "NOT IN", "INCLUDES", "EXCLUDES"):
            self.expect("(")
            if self.peek().upper == "SELECT" and operator in ("IN", "NOT IN"):
                inner = self.select()
                self.expect(")")
                return Condition(item, operator, (), inner)
            values = [self.literal()]
            while self.accept(","):
                values.append(self.literal())
            self.expect(")")
            return Condition(item, operator, tuple(values))
        if operator == "<>":
            operator = "!="
        if operator not in ("=", "!=", "<", "<=", ">", ">=", "LIKE"):
            raise self.unexpected(word)
        return Condition(item, operator, (self.literal(),))

    def literal(self) -> Literal:
        word = self.next()
        if word.kind == "string":
            text = re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), word.text[1:-1], flags=re.DOTALL)
            return Literal("string", text, word.position)
        if word.kind in ("number", "date", "datetime"):
            return Literal(word.kind, word.text, word.position)
        if word.kind == "name":
            if word.upper in ("TRUE", "FALSE"):
                return Literal("boolean", word.text.lower(), word.position)
            if word.upper == "NULL":
                return Literal("null", "", word.position)
            return Literal("range", word.upper, word.position)
        raise self.unexpected(word)
