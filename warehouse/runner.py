"""Models: found, described, ordered by their own references, run, commented, checked.

A model is one SELECT in `models/<layer>/<table>.sql` with a same-named `.yml`; the rules of both stand in docs/architecture.md.
Nothing here knows a particular table.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, Literal, TypeVar

import duckdb
import msgspec
import yaml

from connectors.sdk.errors import MuaraError

MODELS = Path(__file__).parent / "models"
#: layer folder -> schema of its tables
LAYERS = {"staging": "staging", "core": "main", "marts": "main", "ops": "ops"}

#: libyaml where it is there: sixty descriptions take a tenth of the time.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Severity = Literal["error", "warn"]


class ModelError(MuaraError):
    """A model file is wrong; the message names the file and what to change. For the author of the model."""


class Check(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A query whose returned rows are what is wrong. `severity` error blocks publishing."""

    name: str
    sql: str
    description: str
    severity: Severity = "error"
    table: str = ""


class Example(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A case worked by hand: rows given by table, rows expected of the model."""

    name: str
    expect: list[dict[str, Any]]
    given: dict[str, list[dict[str, Any]]] = {}
    settings: dict[str, Any] = {}
    complete: bool = True


class Description(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a model's `.yml` says. `kept: false` drops the table before publishing."""

    description: str
    grain: list[str] = []
    columns: dict[str, str] = {}
    checks: list[Check] = []
    examples: list[Example] = []
    kept: bool = True


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """One table to build. `reads` are the tables named in its SQL, as `schema.table`."""

    schema: str
    name: str
    layer: str
    sql: str
    about: Description
    reads: frozenset[str]

    @property
    def table(self) -> str:
        """The table as others name it: `schema.table`."""
        return f"{self.schema}.{self.name}"

    def checks(self) -> list[Check]:
        """Its written checks, and before them the one made from its grain."""
        own = [msgspec.structs.replace(check, table=self.table) for check in self.about.checks]
        return [*_key_check(self), *own]


class PythonModel(msgspec.Struct, frozen=True, kw_only=True):
    """A table that a Python function fills: `run(con)` creates it. For what SQL should not do (stage names)."""

    schema: str
    name: str
    reads: frozenset[str]
    run: Callable[[duckdb.DuckDBPyConnection], None]
    about: Description

    @property
    def table(self) -> str:
        """The table as others name it: `schema.table`."""
        return f"{self.schema}.{self.name}"

    def checks(self) -> list[Check]:
        """Python tables are checked by the models that read them."""
        return []


AnyModel = Model | PythonModel
M = TypeVar("M", Model, PythonModel, Model | PythonModel)


class CheckResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a check found. `failing` counts offending rows; `sample` shows up to 20; `source_keys` are the sources they belong to."""

    name: str
    table: str
    severity: Severity
    description: str
    failing: int
    source_keys: tuple[str, ...] | None
    sample: tuple[dict[str, Any], ...] = ()

    @property
    def passed(self) -> bool:
        """True when no row came back."""
        return self.failing == 0


@cache
def load_models(folder: Path = MODELS) -> tuple[Model, ...]:
    """All models below a folder, in an order in which each comes after what it reads. Raises ModelError."""
    found = []
    for layer, schema in LAYERS.items():
        for path in sorted((folder / layer).glob("*.sql")):
            sql = path.read_text(encoding="utf-8").strip().rstrip(";")
            found.append(
                Model(
                    schema=schema,
                    name=path.stem,
                    layer=layer,
                    sql=sql,
                    about=_describe(path.with_suffix(".yml")),
                    reads=frozenset(references(sql, where=path.name)),
                )
            )
    return tuple(in_order(found))


def in_order(models: Sequence[M]) -> list[M]:
    """Models in dependency order; ties by name, so the order never depends on the file system. Raises ModelError on a cycle."""
    by_table = {model.table: model for model in models}
    graph = {table: sorted(by_table.keys() & model.reads) for table, model in sorted(by_table.items())}
    try:
        return [by_table[table] for table in TopologicalSorter(graph).static_order()]
    except CycleError as error:
        raise ModelError(f"models read each other in a circle: {' -> '.join(error.args[1])}") from None


def references(sql: str, *, where: str) -> set[str]:
    """Tables that a SELECT reads, as `schema.table`; CTE names are left out. Raises ModelError when the SQL does not parse."""
    found: set[str] = set()
    _walk_tables(serialized(sql, where=where), found)
    return found


def serialized(sql: str, *, where: str) -> dict[str, Any]:
    """DuckDB's own syntax tree of one SELECT. Raises ModelError when the SQL does not parse."""
    # One connection for all models, and a literal instead of a parameter: binding one makes duckdb look for pandas, which is slow to load.
    answer = _parser().execute(f"select json_serialize_sql({literal(sql)})").fetchone()
    tree: dict[str, Any] = json.loads(answer[0]) if answer else {"error": True, "error_message": "no answer"}
    if tree.get("error"):
        raise ModelError(f"{where}: not one SELECT statement: {tree.get('error_message')}")
    return tree


@cache
def _parser() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


def _walk_tables(node: Any, found: set[str]) -> None:
    if isinstance(node, dict):
        if node.get("type") == "BASE_TABLE" and node.get("schema_name"):
            found.add(f"{node['schema_name']}.{node['table_name']}")
        for value in node.values():
            _walk_tables(value, found)
    elif isinstance(node, list):
        for value in node:
            _walk_tables(value, found)


def _describe(path: Path) -> Description:
    if not path.exists():
        raise ModelError(f"{path.name} is missing: every model is described beside its SQL.")
    try:
        said = yaml.load(path.read_text(encoding="utf-8"), _LOADER)  # noqa: S506 - a safe one either way
        return msgspec.convert(said, Description, strict=False)
    except (msgspec.ValidationError, yaml.YAMLError) as error:
        raise ModelError(f"{path.name}: {error}") from None


def _key_check(model: Model) -> Iterable[Check]:
    if not model.about.grain:
        return []
    keys = ", ".join(model.about.grain)
    # A mart's grain may hold NULL on purpose (period_start of `all`, from_stage of a start); a core key may not.
    nulls = "" if model.layer == "marts" else "".join(f" or {column} is null" for column in model.about.grain)
    return [
        Check(
            name=f"{model.name}_key",
            table=model.table,
            severity="error",
            description=f"A returned row is a key of {model.name} ({keys}) that occurs more than once"
            + (" or is NULL." if nulls else "."),
            sql=f"select {keys}, count(*) as occurrences from {model.table} group by {keys} having count(*) > 1{nulls}",
        )
    ]


def run_models(
    con: duckdb.DuckDBPyConnection,
    models: Sequence[AnyModel],
    *,
    on_model: Callable[[str], None] = lambda table: None,
    after_model: Callable[[str], None] = lambda table: None,
) -> None:
    """Create every table in the given order. A failing model raises ModelError naming it."""
    for model in models:
        on_model(model.table)
        try:
            if isinstance(model, PythonModel):
                model.run(con)
            else:
                con.execute(f"create {_target(model)} as {model.sql}")
        except duckdb.Error as error:
            raise ModelError(f"model {model.table} failed: {error}") from error
        after_model(model.table)


def _target(model: Model) -> str:
    # DuckDB looks a temporary table up under `main` too, and never writes it into the file.
    if model.schema == "main" and not model.about.kept:
        return f'temp table "{model.name}"'
    return f'table "{model.schema}"."{model.name}"'


def add_comments(con: duckdb.DuckDBPyConnection, table: str, about: Description) -> None:
    """Write the description of a table and of its columns into the catalogue. Unknown columns are an error of the `.yml`."""
    schema, name = table.split(".")
    # Asking the catalogue as a whole (`duckdb_columns()`) takes 15 ms a table, a quarter of the time that all comments take.
    unknown = set(about.columns) - set(columns_of(con, f'"{schema}"."{name}"'))
    if unknown:
        raise ModelError(f"{name}.yml describes columns that {table} does not have: {', '.join(sorted(unknown))}")
    con.execute(f'comment on table "{schema}"."{name}" is {literal(_one_line(about.description))}')
    for column, text in about.columns.items():
        con.execute(f'comment on column "{schema}"."{name}"."{column}" is {literal(_one_line(text))}')


def run_check(con: duckdb.DuckDBPyConnection, check: Check, *, sample_size: int = 20) -> CheckResult:
    """Run one check. A check that cannot run raises ModelError: a check that never ran has not passed."""
    try:
        counted = con.execute(f"select count(*) from ({check.sql}) as offending").fetchone()
        failing = int(counted[0]) if counted else 0
        sample: tuple[dict[str, Any], ...] = ()
        blamed: tuple[str, ...] | None = None
        if failing:
            cursor = con.execute(f"select * from ({check.sql}) as offending limit {int(sample_size)}")
            names = [column[0] for column in cursor.description or []]
            sample = tuple(dict(zip(names, row, strict=True)) for row in cursor.fetchall())
            if "source_key" in names:
                keys = con.execute(f"select distinct source_key from ({check.sql}) as offending order by 1").fetchall()
                blamed = tuple(row[0] for row in keys if row[0] is not None)
    except duckdb.Error as error:
        raise ModelError(f"check {check.name} of {check.table} failed to run: {error}") from error
    return CheckResult(
        name=check.name,
        table=check.table,
        severity=check.severity,
        description=_one_line(check.description),
        failing=failing,
        source_keys=blamed,
        sample=sample,
    )


def literal(value: str) -> str:
    """A text as an SQL literal, for statements that take no parameters (comments, settings)."""
    return "'" + value.replace("'", "''") + "'"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def columns_of(con: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    """Column -> type of a table, in order."""
    return {row[0]: row[1] for row in con.execute(f"describe {table}").fetchall()}


_ROWS_A_STATEMENT = 10_000


def insert_rows(
    con: duckdb.DuckDBPyConnection, table: str, types: Mapping[str, str], rows: Iterable[Mapping[str, Any]]
) -> None:
    """Create `table` with the given column types and insert rows; a column a row lacks is NULL. For what Python knows: seeds, reports.

    Values pass as text, one list a column: binding them one by one takes about ten times as long.
    """
    declared = ", ".join(f'"{name}" {kind}' for name, kind in types.items())
    con.execute(f"create table {table} ({declared})")
    columns = ", ".join(f"cast(unnest(cast(? as varchar[])) as {kind})" for kind in types.values())
    given = list(rows)
    for start in range(0, len(given), _ROWS_A_STATEMENT):
        chunk = given[start : start + _ROWS_A_STATEMENT]
        lists = [[None if (value := row.get(name)) is None else str(value) for row in chunk] for name in types]
        con.execute(f"insert into {table} select {columns}", lists)
