"""Rows to bytes: JSON (REST, compact or pretty) and CSV (Bulk). Column by column, for tens of thousands of rows a call."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from json.encoder import encode_basestring
from typing import Any

from connectors.sandbox.salesforce.query import Column
from connectors.sandbox.salesforce.schema import COMPOUND_TYPES, RAW_TYPES, Field, SObject
from connectors.sandbox.salesforce.tables import Row

Labels = Callable[[str], str]
_Tree = dict[str, "Column | _Tree"]


def to_json(value: Any, *, pretty: bool = False) -> bytes:
    """Any small answer."""
    if pretty:
        return json.dumps(value, ensure_ascii=False, indent=2, separators=(",", " : ")).encode()
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def json_records(
    entity: SObject, columns: list[Column], rows: list[Row], *, path: str, pretty: bool, labels: Labels
) -> list[str]:
    """One JSON object per row; `path` is the versioned path for `attributes.url`."""
    tree: _Tree = {}
    for column in columns:
        node = tree
        for name in column.names[:-1]:
            below = node.setdefault(name, {})
            assert isinstance(below, dict)  # a name is a column's or a parent's, never both
            node = below
        node[column.names[-1]] = column
    indent = 2 if pretty else None
    return _Json(path, labels).objects(entity.name, tree, rows, [row[0] for row in rows], indent)


@dataclass(frozen=True, slots=True)
class _Json:
    """One rendering: the versioned base path, and how to find the label of a stage value."""

    base: str
    labels: Labels

    def objects(self, name: str, tree: _Tree, rows: list[Row], ids: list[str | None], indent: int | None) -> list[str]:
        cells: list[list[str]] = [[i or "" for i in ids]]
        for node in tree.values():
            if isinstance(node, Column):
                cells.append(_json_cells(node, rows, self.labels))
            else:
                cells.append(self.parents(node, rows, indent))
        url = f"{self.base}/sobjects/{name}/%s"
        if indent is None:
            body = "".join(f',"{key}":%s' for key in tree)
            template = f'{{"attributes":{{"type":"{name}","url":"{url}"}}{body}}}'
        else:
            pad = " " * (indent + 2)
            attributes = f'{{\n{pad}  "type" : "{name}",\n{pad}  "url" : "{url}"\n{pad}}}'
            body = "".join(f',\n{pad}"{key}" : %s' for key in tree)
            template = f'{{\n{pad}"attributes" : {attributes}{body}\n{" " * indent}}}'
        return list(map(template.__mod__, zip(*cells, strict=True)))

    def parents(self, tree: _Tree, rows: list[Row], indent: int | None) -> list[str]:
        """Nested parent objects, or null; each distinct parent is rendered once."""
        get_id, parent = _parent_of(tree)
        ids = [get_id(row) for row in rows]
        first: dict[str | None, int] = {}
        for number, key in enumerate(ids):
            first.setdefault(key, number)
        chosen = {key: rows[number] for key, number in first.items() if key is not None}
        inner = None if indent is None else indent + 2
        texts = self.objects(parent, tree, list(chosen.values()), list(chosen), inner)
        by_id = dict(zip(chosen, texts, strict=True))
        return [by_id.get(key or "", "null") for key in ids]


def _parent_of(tree: _Tree) -> tuple[Callable[[Row], str | None], str]:
    node: Column | _Tree = tree
    depth = 0
    while not isinstance(node, Column):
        node = next(iter(node.values()))
        depth += 1
    chain = node.parents
    return chain[len(chain) - depth]


def _json_cells(column: Column, rows: list[Row], labels: Labels) -> list[str]:
    cells = [row[column.place] for row in rows] if column.place is not None else list(map(column.get, rows))
    kind = column.field.type
    if kind in RAW_TYPES or kind in COMPOUND_TYPES:
        return [cell if cell is not None else "null" for cell in cells]
    if kind == "datetime":
        return ["null" if cell is None else f'"{cell}.000+0000"' for cell in cells]
    if column.label:
        cells = [None if cell is None else labels(cell) for cell in cells]
    return ["null" if cell is None else encode_basestring(cell) for cell in cells]


def json_page(records: list[str], total: int, further: str | None, *, pretty: bool) -> bytes:
    """One page of a query; `further` is the address of the next one."""
    done = "true" if further is None else "false"
    if pretty:
        link = "" if further is None else f'\n  "nextRecordsUrl" : "{further}",'
        return f'{{\n  "totalSize" : {total},\n  "done" : {done},{link}\n  "records" : [ {", ".join(records)} ]\n}}'.encode()
    link = "" if further is None else f'"nextRecordsUrl":"{further}",'
    return f'{{"totalSize":{total},"done":{done},{link}"records":[{",".join(records)}]}}'.encode()


def csv_header(columns: list[Column], delimiter: str, ending: str) -> str:
    """The header row, which every chunk repeats."""
    return delimiter.join(f'"{".".join(column.names)}"' for column in columns) + ending


def csv_rows(columns: list[Column], rows: list[Row], *, delimiter: str, ending: str, labels: Labels) -> bytes:
    """One chunk: header and rows, every value quoted, null and empty alike `""`."""
    cells = [_csv_cells(column, rows, labels) for column in columns]
    between = f'"{delimiter}"'
    lines = [f'"{between.join(line)}"{ending}' for line in zip(*cells, strict=True)]
    return (csv_header(columns, delimiter, ending) + "".join(lines)).encode()


def _csv_cells(column: Column, rows: list[Row], labels: Labels) -> list[str]:
    cells = [row[column.place] for row in rows] if column.place is not None else list(map(column.get, rows))
    kind = column.field.type
    if kind == "datetime":
        return ["" if cell is None else cell + ".000Z" for cell in cells]
    if column.label:
        cells = [None if cell is None else labels(cell) for cell in cells]
    if _is_text(column.field):
        return ["" if cell is None else cell.replace('"', '""') if '"' in cell else cell for cell in cells]
    return [cell or "" for cell in cells]


def _is_text(field: Field) -> bool:
    return field.type not in RAW_TYPES and field.type not in ("id", "reference", "date")
