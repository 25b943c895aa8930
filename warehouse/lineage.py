"""Which columns each column of a model is computed from, read off the model's own SQL. Nothing is declared by hand but the one Python model.

A column's origins are the columns in the expression that makes it, conditions of its `case` among them. Columns that only choose or order
rows (`where`, `join on`, `group by`, a window's partition and order, an aggregate's filter) are none: every column would come from everything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from warehouse.landing.schema import STAMPS, STREAMS
from warehouse.runner import AnyModel, ModelError, PythonModel, serialized

#: Parts of an expression that only choose or order the rows it is computed over.
_CHOOSING = frozenset({"partitions", "orders", "order_bys", "filter", "filter_expr", "arg_orders"})
#: What the normaliser looks at; its answers come from these columns of the labels.
_LABEL_FACTS = ("label", "system", "pipeline_name", "position", "pipeline_len", "probability", "outcome_flag")


class Origin(NamedTuple):
    """A column of a table named `schema.table`."""

    table: str
    column: str


Columns = Mapping[str, frozenset[Origin]]
_NONE: frozenset[Origin] = frozenset()


def lineage(models: Sequence[AnyModel]) -> dict[str, Columns]:
    """`schema.table` -> column -> columns of the tables that its SQL names. `models` in build order."""
    found: dict[str, Columns] = {}
    for model in models:
        if isinstance(model, PythonModel):
            found[model.table] = _of_python(model, found)
        else:
            found[model.table] = _Query(found, where=model.table).columns(_root(model.sql, model.table))
    return found


def through(found: Mapping[str, Columns], kept: frozenset[str]) -> dict[str, Columns]:
    """The same with every origin in a table that is not in `kept` replaced by what that table's column comes from.

    Tables without lineage of their own (landing, seeds, settings) stay as they are. What landing stamps on a row (`_read_at` ...) decides
    which version counts; it is an origin only of a column that shows it.
    """

    @cache
    def ends(origin: Origin) -> frozenset[Origin]:
        if origin.table in kept or origin.table not in found:
            return frozenset({origin})
        return frozenset(end for inner in found[origin.table].get(origin.column, _NONE) for end in ends(inner))

    def shown(origins: frozenset[Origin]) -> frozenset[Origin]:
        all_ends = frozenset(end for origin in origins for end in ends(origin))
        return frozenset(end for end in all_ends if end.column not in STAMPS) or all_ends

    return {
        table: {name: shown(origins) for name, origins in columns.items()}
        for table, columns in found.items()
        if table in kept
    }


def _of_python(model: PythonModel, found: Mapping[str, Columns]) -> Columns:
    """A column of the same name is passed on; what the function computes comes from the facts it looks at."""
    columns: dict[str, frozenset[Origin]] = {}
    for name in model.about.columns:
        passed_on = {Origin(table, name) for table in model.reads if name in found.get(table, {})}
        computed = {
            Origin(table, fact) for table in model.reads for fact in _LABEL_FACTS if fact in found.get(table, {})
        }
        columns[name] = frozenset(passed_on or computed)
    return columns


def _root(sql: str, where: str) -> Mapping[str, Any]:
    statement: Mapping[str, Any] = serialized(sql, where=where)["statements"][0]["node"]
    return statement


def _base(table: str) -> Columns | None:
    """Columns of a landing view; None for a table whose columns are not known here (settings, seeds)."""
    schema, _, name = table.partition(".")
    if schema != "landing":
        return None
    return {column: frozenset({Origin(table, column)}) for column in ("source_key", *STREAMS[name])}


class _Open(dict[str, frozenset[Origin]]):
    """Columns of a table that nobody listed: whatever is asked for with its alias is there."""

    def __init__(self, table: str) -> None:
        super().__init__()
        self.table = table


class _Scope(NamedTuple):
    """What names mean in one SELECT: tables by alias, then the aliases of its own select list, then the SELECT around it."""

    tables: dict[str, Columns]
    own: dict[str, frozenset[Origin]]
    outer: _Scope | None


class _Query:
    """Reads one model's syntax tree as DuckDB gives it."""

    def __init__(self, catalogue: Mapping[str, Columns], *, where: str) -> None:
        self.catalogue = catalogue
        self.where = where

    def columns(
        self, node: Mapping[str, Any], ctes: Mapping[str, Columns] | None = None, outer: _Scope | None = None
    ) -> dict[str, frozenset[Origin]]:
        """Output columns of a query in order, with their origins."""
        known = dict(ctes or {})
        for entry in node["cte_map"]["map"]:
            made = self.columns(entry["value"]["query"]["node"], known, outer)
            known[entry["key"]] = _renamed(made, entry["value"]["aliases"])
        if node["type"] == "SET_OPERATION_NODE":
            return self._union(node, known, outer)
        if node["type"] != "SELECT_NODE":
            raise ModelError(f"{self.where}: its column lineage cannot be read: {node['type']} is not known here.")
        scope = _Scope({}, {}, outer)
        self._tables(node["from_table"], known, scope)
        for number, item in enumerate(node["select_list"]):
            if item["class"] == "STAR":
                scope.own.update(_starred(item, scope))
            else:
                scope.own[_name(item, number)] = frozenset(self._origins(item, known, scope))
        return scope.own

    def _union(
        self, node: Mapping[str, Any], ctes: Mapping[str, Columns], outer: _Scope | None
    ) -> dict[str, frozenset[Origin]]:
        sides = node.get("children") or [node["left"], node["right"]]
        first, *others = [self.columns(side, ctes, outer) for side in sides]
        by_name = str(node.get("setop_type", "")).endswith("BY_NAME")
        for other in others:
            for (name, origins), mine in zip(other.items(), first, strict=False):
                target = name if by_name else mine
                first[target] = first[target] | origins
        return first

    def _tables(self, node: Mapping[str, Any], ctes: Mapping[str, Columns], scope: _Scope) -> None:
        kind = node["type"]
        if kind == "JOIN":
            self._tables(node["left"], ctes, scope)
            self._tables(node["right"], ctes, scope)
        elif kind == "BASE_TABLE":
            name = node["table_name"]
            table = f"{node['schema_name']}.{name}" if node["schema_name"] else ""
            columns = self._table(table) if table else ctes[name]
            scope.tables[node["alias"] or name] = _renamed(columns, node["column_name_alias"])
        elif kind == "SUBQUERY":
            made = self.columns(node["subquery"]["node"], ctes, scope)
            scope.tables[node["alias"]] = _renamed(made, node["column_name_alias"])
        elif kind == "EXPRESSION_LIST":
            # DuckDB wraps VALUES into a subquery, whose alias names the columns.
            scope.tables[node["alias"]] = {f"col{number}": _NONE for number, _ in enumerate(node["values"][0])}
        elif kind != "EMPTY":
            raise ModelError(f"{self.where}: its column lineage cannot be read: {kind} is not known here.")

    def _table(self, table: str) -> Columns:
        made = self.catalogue.get(table)
        if made is not None:
            return {column: frozenset({Origin(table, column)}) for column in made}
        return _base(table) or _Open(table)

    def _origins(self, node: Any, ctes: Mapping[str, Columns], scope: _Scope) -> Iterator[Origin]:
        if isinstance(node, list):
            for value in node:
                yield from self._origins(value, ctes, scope)
        elif isinstance(node, Mapping):
            if node.get("class") == "COLUMN_REF":
                yield from _looked_up(node["column_names"], scope)
            elif node.get("class") == "SUBQUERY":
                yield from self._origins(node.get("child"), ctes, scope)
                for origins in self.columns(node["subquery"]["node"], ctes, scope).values():
                    yield from origins
            else:
                for part, value in node.items():
                    if part not in _CHOOSING:
                        yield from self._origins(value, ctes, scope)


def _looked_up(names: Sequence[str], scope: _Scope | None) -> frozenset[Origin]:
    """What `alias.column` or `column` stands for. A name that is found nowhere is a lambda's own or a field of a structure: no origin."""
    while scope is not None:
        if len(names) > 1 and names[0] in scope.tables:
            table = scope.tables[names[0]]
            if isinstance(table, _Open):
                return frozenset({Origin(table.table, names[1])})
            return table.get(names[1], _NONE)
        for table in scope.tables.values():
            if names[0] in table:
                return table[names[0]]
        if names[0] in scope.own:
            return scope.own[names[0]]
        unlisted = [table for table in scope.tables.values() if isinstance(table, _Open)]
        if len(names) == 1 and len(unlisted) == 1:
            return frozenset({Origin(unlisted[0].table, names[0])})
        scope = scope.outer
    return _NONE


def _starred(item: Mapping[str, Any], scope: _Scope) -> dict[str, frozenset[Origin]]:
    wanted = [item["relation_name"]] if item["relation_name"] else list(scope.tables)
    left_out = set(item["exclude_list"])
    return {name: origins for alias in wanted for name, origins in scope.tables[alias].items() if name not in left_out}


def _renamed(columns: Columns, names: Sequence[str]) -> Columns:
    if not names:
        return columns
    old = list(columns)
    return {new: columns[old[number]] for number, new in enumerate(names)}


def _name(item: Mapping[str, Any], number: int) -> str:
    """The output name: its alias, else the column's own name."""
    if item["alias"]:
        return str(item["alias"])
    return str(item["column_names"][-1]) if item["class"] == "COLUMN_REF" else f"column{number}"
