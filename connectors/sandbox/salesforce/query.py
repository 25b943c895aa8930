"""Answers parsed SOQL from the tables: checks names, filters, groups, sorts. Rendering is next door."""

from __future__ import annotations

import operator
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from connectors.sandbox.salesforce.compare import (
    COMPARE,
    IDS,
    NUMBERS,
    Getter,
    Test,
    comparable,
    date_part,
    in_range,
    includes,
    is_in,
    like,
    named_range,
    utc_text,
)
from connectors.sandbox.salesforce.ids import to_18
from connectors.sandbox.salesforce.schema import COMPOUND_TYPES, Field, SObject
from connectors.sandbox.salesforce.soql import AGGREGATES, Condition, Item, Literal, Logic, Order, Select, SoqlError
from connectors.sandbox.salesforce.tables import Row, Tables

_HINT = {
    "column": "If you are attempting to use a custom field, be sure to append the '__c' after the custom field name. ",
    "object": "If you are attempting to use a custom object, be sure to append the '__c' after the entity name. ",
    "relation": "If you are attempting to use a custom relationship, be sure to append the '__r' after the custom "
    "relationship name. ",
    "end": "Please reference your WSDL or the describe call for the appropriate names.",
}


@dataclass(frozen=True, slots=True)
class Column:
    """A field reached from an object, over parents if need be. `names`: as the schema spells them."""

    names: tuple[str, ...]
    field: Field
    get: Getter
    place: int | None  # where it stands in the row itself; None over a parent
    parents: tuple[tuple[Getter, str], ...] = ()  # per relation: the id of that parent, and what object it is
    label: bool = False  # toLabel()


@dataclass(slots=True)
class Answer:
    """The outcome of a query: rows of one object under columns, or aggregate records."""

    entity: SObject
    columns: list[Column] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    records: list[dict[str, Any]] | None = None  # aggregate results
    size: int = 0


class Engine:
    """Runs queries for one user. `visible(object, field)` says what field permissions leave."""

    def __init__(self, tables: Tables, visible: Callable[[str, str], bool], *, shuffle: int | None = None) -> None:
        self.tables, self.visible, self.shuffle = tables, visible, shuffle
        self.hidden_objects: set[str] = set()

    # --- running -------------------------------------------------------------------------------------------------

    def run(self, select: Select, *, everything: bool, hidden: set[str]) -> Answer:
        """`everything`: deleted rows too (queryAll). `hidden`: opportunity ids the user may not see."""
        entity = self.entity(select)
        rows = self.rows(entity, everything=everything, hidden=hidden)
        if select.where is not None:
            test = self._test(select.where, entity, select, everything, hidden)
            rows = [row for row in rows if test(row)]
        if select.is_count:
            return Answer(entity, size=len(rows), records=[])
        if select.is_aggregate:
            records = self._aggregate(select, entity, rows)
            return Answer(entity, records=records, size=len(records))
        columns = self.columns(select, entity)
        rows = self._sorted(rows, select.order, entity, select)
        if select.offset or select.limit is not None:
            end = None if select.limit is None else select.offset + select.limit
            rows = rows[select.offset : end]
        return Answer(entity, columns, rows, size=len(rows))

    def entity(self, select: Select) -> SObject:
        """The object of FROM."""
        for name, entity in self.tables.objects.items():
            if name.lower() == select.entity.lower() and name not in self.hidden_objects:
                return entity
        raise SoqlError(
            "INVALID_TYPE",
            f"sObject type '{select.entity}' is not supported. {_HINT['object']}{_HINT['end']}",
            select.text,
            select.entity_position,
        )

    def rows(self, entity: SObject, *, everything: bool, hidden: set[str]) -> list[Row]:
        """All rows of an object that the user sees."""
        rows = list(self.tables.rows[entity.name].values())
        parent = {"Opportunity": "Id"}.get(entity.name, "OpportunityId")
        if hidden and parent in entity.place:
            place = entity.place[parent]
            rows = [row for row in rows if row[place] not in hidden]
        if not everything and "IsDeleted" in entity.place:
            place = entity.place["IsDeleted"]
            rows = [row for row in rows if row[place] == "false"]
        if self.shuffle is not None:
            random.Random(self.shuffle).shuffle(rows)  # noqa: S311  (without ORDER BY no order is promised)
        return rows

    def columns(self, select: Select, entity: SObject) -> list[Column]:
        """The selected columns, FIELDS() spelled out."""
        found: list[Column] = []
        for item in select.items:
            if item.function == "FIELDS":
                found += self._all_fields(select, entity, item)
            elif item.function in ("", "TOLABEL"):
                column = self.column(item, entity, select)
                found.append(replace(column, label=item.function == "TOLABEL"))
            else:
                raise SoqlError("MALFORMED_QUERY", f"unexpected function {item.function}", select.text, item.position)
        names = [column.names for column in found]
        for number, name in enumerate(names):
            if name in names[:number]:
                raise SoqlError("INVALID_FIELD", f"duplicate field selected: {'.'.join(name)}")
        return found

    def _all_fields(self, select: Select, entity: SObject, item: Item) -> list[Column]:
        kind = item.path.upper()
        if kind not in ("ALL", "CUSTOM", "STANDARD"):
            raise SoqlError("MALFORMED_QUERY", f"unexpected token: '{item.path}'", select.text, item.position)
        if kind != "STANDARD" and (select.limit is None or select.limit > 200):
            raise SoqlError("MALFORMED_QUERY", "The SOQL FIELDS function must have a LIMIT of at most 200")
        chosen = [
            f
            for f in entity.fields.values()
            if self.visible(entity.name, f.name) and (kind == "ALL" or f.custom == (kind == "CUSTOM"))
        ]
        return [self.column(Item(f.name, item.position), entity, select) for f in chosen]

    def column(self, item: Item, entity: SObject, select: Select) -> Column:
        """A path to a column; unknown and invisible names are refused alike."""
        *relations, last = item.path.split(".")
        if relations and relations[0].lower() == entity.name.lower() and entity.name.lower() not in entity.relations:
            relations = relations[1:]
        names: list[str] = []
        parents: list[tuple[Getter, str]] = []
        current = entity
        for relation in relations:
            through = current.relations.get(relation.lower())
            if through is None or not self.visible(current.name, through.name):
                raise SoqlError(
                    "INVALID_FIELD",
                    f"Didn't understand relationship '{relation}' in field path. {_HINT['relation']}{_HINT['end']}",
                    select.text,
                    item.position,
                )
            above = through.refers[0]
            names.append(through.relationship or "")
            key: Getter = operator.itemgetter(current.place[through.name])
            if parents:
                key = _over_parent(parents[-1][0], self.tables.rows[current.name], key)
            parents.append((_if_there(key, self.tables.rows[above]), above))
            current = self.tables.objects[above]
        name = current.folded.get(last.lower())
        if name is None or not self.visible(current.name, name):
            raise SoqlError(
                "INVALID_FIELD",
                f"No such column '{last}' on entity '{current.name}'. {_HINT['column']}{_HINT['end']}",
                select.text,
                item.position,
            )
        place = current.place[name]
        get: Getter = operator.itemgetter(place)
        if not parents:
            return Column((name,), current.fields[name], get, place)
        get = _over_parent(parents[-1][0], self.tables.rows[current.name], get)
        return Column((*names, name), current.fields[name], get, None, tuple(parents))

    # --- conditions ----------------------------------------------------------------------------------------------

    def _test(
        self, node: Condition | Logic, entity: SObject, select: Select, everything: bool, hidden: set[str]
    ) -> Test:
        if isinstance(node, Logic):
            tests = [self._test(part, entity, select, everything, hidden) for part in node.parts]
            if node.operator == "not":
                inner = tests[0]
                return lambda row: not inner(row)
            if node.operator == "and":
                return lambda row: (
                    all(test(row) for test in tests) if len(tests) > 2 else tests[0](row) and tests[1](row)
                )
            return lambda row: any(test(row) for test in tests)
        kind, get = self._operand(node.item, entity, select)
        if node.select is not None:
            inner_answer = self.run(node.select, everything=everything, hidden=hidden)
            if len(inner_answer.columns) != 1 or kind not in IDS:
                raise SoqlError("MALFORMED_QUERY", "a semi join sub-select must select one id field, for an id field")
            inner_get = inner_answer.columns[0].get
            wanted: set[str | None] = {inner_get(row) for row in inner_answer.rows} - {None}
            return is_in(get, wanted) if node.operator == "IN" else lambda row: get(row) not in wanted
        return self._comparison(node, kind, get, select)

    def _operand(self, item: Item, entity: SObject, select: Select) -> tuple[str, Getter]:
        column = self.column(Item(item.path, item.position), entity, select)
        if not column.field.filterable:
            raise SoqlError(
                "INVALID_FIELD", f"field '{item.path}' can not be filtered in a query call", select.text, item.position
            )
        get, function = column.get, item.function
        if function in AGGREGATES:
            raise SoqlError("MALFORMED_QUERY", f"Grouped aggregates cannot stand in WHERE: {function}")
        if not function or function == "TOLABEL":
            return column.field.type, get
        return ("date" if function == "DAY_ONLY" else "int"), date_part(function, get)

    def _comparison(self, node: Condition, kind: str, get: Getter, select: Select) -> Test:
        values = [self._value(literal, kind, node.item, select) for literal in node.values]
        sign = node.operator
        if sign in ("IN", "NOT IN"):
            wanted: set[Any] = set(values)
            get_as = comparable(kind, get)
            return is_in(get_as, wanted) if sign == "IN" else lambda row: get_as(row) not in wanted
        if sign in ("INCLUDES", "EXCLUDES"):
            if kind != "multipicklist":
                raise SoqlError("INVALID_QUERY_FILTER_OPERATOR", f"{sign.lower()} needs a multi-select picklist")
            groups = [set(str(v).split(";")) for v in values]
            return includes(get, groups, wanted=sign == "INCLUDES")
        value = values[0]
        if isinstance(value, tuple):
            return in_range(sign, get, *value)
        if sign == "LIKE":
            return like(get, kind, str(value), node.item, select)
        if kind == "boolean" and sign not in ("=", "!="):
            raise SoqlError("INVALID_QUERY_FILTER_OPERATOR", f"invalid operator on boolean field {node.item.path}")
        get_as = comparable(kind, get)
        if sign == "=":
            return lambda row: get_as(row) == value
        if sign == "!=":
            return lambda row: get_as(row) != value
        if value is None:
            return lambda row: False
        compare = COMPARE[sign]
        return lambda row: (cell := get_as(row)) is not None and compare(cell, value)

    def _value(self, literal: Literal, kind: str, item: Item, select: Select) -> Any:
        """A literal in the form cells are compared in."""
        if literal.kind == "null":
            return None
        if literal.kind == "range" and kind in ("date", "datetime"):
            return named_range(literal.text, kind, self.tables.world.now.date(), select)
        fits = {
            "number": NUMBERS,
            "boolean": {"boolean"},
            "date": {"date"},
            "datetime": {"datetime"},
        }.get(literal.kind, set())
        if literal.kind == "string" and kind not in NUMBERS | {"boolean", "date", "datetime"}:
            if kind in IDS and literal.text:
                found = to_18(literal.text)
                if found is None:
                    raise SoqlError("INVALID_QUERY_FILTER_OPERATOR", f"invalid ID field: {literal.text}")
                return found
            return literal.text.lower() or None
        if kind not in fits:
            quotes = "should be enclosed in quotes"
            if kind in NUMBERS | {"boolean", "date", "datetime"}:
                quotes = "should not be enclosed in quotes"
            wanted = {"datetime": "dateTime"}.get(kind, kind)
            raise SoqlError(
                "INVALID_FIELD",
                f"value of filter criterion for field '{item.path}' must be of type {wanted} and {quotes}",
                select.text,
                item.position,
            )
        if literal.kind == "number":
            return Decimal(literal.text)
        if literal.kind == "datetime":
            return utc_text(literal.text)
        return literal.text

    # --- groups and order ----------------------------------------------------------------------------------------

    def _aggregate(self, select: Select, entity: SObject, rows: list[Row]) -> list[dict[str, Any]]:
        groups: dict[tuple[Any, ...], list[Row]] = {}
        keys = [(item, *self._operand_any(item, entity, select)) for item in select.group]
        if keys:
            getters = [get for _, _, get in keys]
            for row in rows:
                groups.setdefault(tuple(get(row) for get in getters), []).append(row)
        else:
            groups[()] = rows
        spots = {(item.function, item.path.lower()): number for number, (item, _, _) in enumerate(keys)}
        names = _result_names(select.items)
        found: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        for key, members in groups.items():
            record: dict[str, Any] = {"attributes": {"type": "AggregateResult"}}
            for name, item in zip(names, select.items, strict=True):
                spot = spots.get((item.function, item.path.lower()))
                if spot is not None:
                    record[name] = _json_value(keys[spot][1], key[spot])
                elif item.function in AGGREGATES:
                    record[name] = self._total(item, entity, select, members)
                else:
                    raise SoqlError("MALFORMED_QUERY", f"Field must be grouped or aggregated: {item.path}")
            found.append((key, record))
        if len(found) > 2000:
            raise SoqlError("EXCEEDED_ID_LIMIT", "Aggregate query has too many rows for direct assignment")
        for order in reversed(select.order):
            spot = spots.get((order.item.function, order.item.path.lower()))
            if spot is None:
                raise SoqlError("MALFORMED_QUERY", f"Ordered field must be grouped or aggregated: {order.item.path}")
            found.sort(key=_by_key(spot, keys[spot][1]), reverse=order.descending)
        records = [record for _, record in found]
        return records[select.offset : None if select.limit is None else select.offset + select.limit]

    def _operand_any(self, item: Item, entity: SObject, select: Select) -> tuple[str, Getter]:
        kind, get = self._operand(item, entity, select)
        if kind == "datetime" or kind in NUMBERS - {"int"}:
            raise SoqlError("MALFORMED_QUERY", f"field '{item.path}' can not be grouped in a query call")
        return kind, get

    def _total(self, item: Item, entity: SObject, select: Select, rows: list[Row]) -> Any:
        if not item.path:
            return len(rows)
        column = self.column(Item(item.path, item.position), entity, select)
        kind = column.field.type
        cells = [cell for cell in map(column.get, rows) if cell is not None]
        if item.function == "COUNT":
            return len(cells)
        if item.function == "COUNT_DISTINCT":
            return len(set(cells))
        allowed = NUMBERS if item.function in ("SUM", "AVG") else NUMBERS | {"date", "datetime", "string", "picklist"}
        if kind not in allowed:
            raise SoqlError(
                "MALFORMED_QUERY",
                f"field {item.path} does not support aggregate operator {item.function}",
                select.text,
                item.position,
            )
        if not cells:
            return None
        if kind not in NUMBERS:
            return _json_value(kind, min(cells) if item.function == "MIN" else max(cells))
        numbers = [Decimal(cell) for cell in cells]
        if item.function in ("MIN", "MAX"):
            return float(min(numbers) if item.function == "MIN" else max(numbers))
        total = sum(numbers, Decimal(0))
        return float(total if item.function == "SUM" else total / len(numbers))

    def _sorted(self, rows: list[Row], orders: list[Order], entity: SObject, select: Select) -> list[Row]:
        for order in reversed(orders):
            column = self.column(order.item, entity, select)
            kind = column.field.type
            if kind in COMPOUND_TYPES or (kind == "textarea" and column.field.custom) or order.item.function:
                raise SoqlError("MALFORMED_QUERY", f"field '{order.item.path}' can not be sorted in a query call")
            get = comparable(kind, column.get)
            keyed = [(get(row), row) for row in rows]
            nulls = [row for key, row in keyed if key is None]
            filled = sorted((pair for pair in keyed if pair[0] is not None), key=_first, reverse=order.descending)
            there = [row for _, row in filled]
            rows = there + nulls if order.nulls_last else nulls + there
        return rows


_first = operator.itemgetter(0)


def _over_parent(key: Getter, parents: dict[str, Row], get: Getter) -> Getter:
    def through(row: Row) -> str | None:
        parent = parents.get(key(row) or "")
        return None if parent is None else get(parent)

    return through


def _if_there(key: Getter, parents: dict[str, Row]) -> Getter:
    return lambda row: found if (found := key(row)) in parents else None


def _result_names(items: list[Item]) -> list[str]:
    names, unnamed = [], 0
    for item in items:
        if item.alias:
            names.append(item.alias)
        elif item.function:
            names.append(f"expr{unnamed}")
            unnamed += 1
        else:
            names.append(item.path.rsplit(".", 1)[-1])
    return names


def _by_key(spot: int, kind: str) -> Callable[[tuple[tuple[Any, ...], dict[str, Any]]], Any]:
    """Sort key of an aggregate row: one of its group values, nulls first, numbers by value."""

    def key(found: tuple[tuple[Any, ...], dict[str, Any]]) -> tuple[bool, Any]:
        cell = found[0][spot]
        return (False, 0) if cell is None else (True, _json_value(kind, cell))

    return key


def _json_value(kind: str, cell: str | None) -> Any:
    if cell is None:
        return None
    if kind in ("int", "boolean"):
        return {"true": True, "false": False}.get(cell) if kind == "boolean" else int(cell)
    if kind == "datetime":
        return cell + ".000+0000"
    return float(cell) if kind in NUMBERS else cell
