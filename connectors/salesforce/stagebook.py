"""Which stages a sales process offers. Salesforce keeps one list of stages for the whole org and tells membership in no table.

A stage belongs to a process when the process's picklist offers it (`ui-api`, one call per process, asked for when something is new) or when a
deal of that process, or its history, was ever in it. Stages that the org's list has forgotten are kept as they were known, or by name alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from connectors.salesforce import mapping
from connectors.salesforce.api import WORKERS, Api
from connectors.salesforce.errors import RefusedError
from connectors.salesforce.rows import Row
from connectors.sdk import Checkpoint, Held, Outcome, Record, SweepEnd, Warn, stage_key

#: More processes than this are known by use only.
_MOST_PICKLISTS = 25


class StageBook:
    """Stages by pipeline: what is remembered, what the org offers, what this sync sees in use."""

    def __init__(self, stored: Mapping[str, Any], rows: Iterable[Row]) -> None:
        #: What each process's picklist offers; a process that is not in here could not be asked.
        self._offered = _book(stored.get("offered"))
        #: What deals and histories name.
        self._used = _book(stored.get("used"))
        #: Stages of which nothing but the name was ever known.
        self._nameless = _book(stored.get("nameless"))
        self._known_names = set(stored.get("names") or ())
        self.rows = {mapping.stage_name(row): row for row in rows if mapping.stage_name(row)}
        self._told: set[tuple[str, str]] = set()

    def outcomes(self) -> dict[str, Outcome]:
        """Outcome by stage name, of stages whose flags are to be seen."""
        found = {}
        for name, row in self.rows.items():
            outcome = mapping.outcome_of(row.get("IsClosed"), row.get("IsWon"))
            if outcome is not None:
                found[name] = outcome
        return found

    def learn_offers(
        self, api: Api, record_types: Iterable[Row], pipelines: Mapping[str, str], *, anew: bool
    ) -> list[Warn]:
        """Ask for the picklists of processes where something is new; `anew`: of all, and forget what was remembered."""
        if anew:
            self._offered.clear()
            self._used.clear()
        has_new_stage = bool(self.rows.keys() - self._known_names)
        wanted: dict[str, str] = {}
        for row in record_types:
            pipeline = pipelines.get(row["Id"])
            if pipeline and (has_new_stage or pipeline not in self._offered):
                wanted.setdefault(pipeline, row["Id"])
        if not pipelines:
            active = {name for name, row in self.rows.items() if row.get("IsActive") is not False}
            self._offered[mapping.DEFAULT_PIPELINE] = active
        if not wanted or len(wanted) > _MOST_PICKLISTS:
            return []
        refused: RefusedError | None = None
        for pipeline, offered in api.calls.map(lambda entry: _offer(api, *entry), wanted.items(), workers=WORKERS):
            if isinstance(offered, RefusedError):
                refused = offered
            else:
                self._offered[pipeline] = set(offered)
        if refused is None:
            return []
        words = f"the stages that a sales process offers cannot be read ({refused.code or refused.status}); those in use are taken."
        return [Warn(code="picklists_not_readable", message=words)]

    def use(self, pipeline: str, stage: str) -> None:
        """A deal of `pipeline` is or was in `stage`. Which process a deal was in then, Salesforce does not tell."""
        used = self._used.get(pipeline)
        if used is None:
            used = self._used[pipeline] = set()
        used.add(stage)

    def uses(self, pipeline: str) -> bool:
        """True when a deal of `pipeline` was seen, now or before."""
        return bool(self._used.get(pipeline))

    def stages(self, held: Held) -> Iterator[Record]:
        """Stage records that were not yielded yet in this sync."""
        for pipeline in sorted(self._offered.keys() | self._used.keys()):
            for name in sorted(self._offered.get(pipeline, set()) | self._used.get(pipeline, set())):
                if (pipeline, name) in self._told:
                    continue
                self._told.add((pipeline, name))
                if name in self.rows:
                    yield mapping.stage(pipeline, self.rows[name], is_foreign=self._is_foreign(pipeline, name))
                elif self._is_nameless(pipeline, name, held):
                    yield mapping.vanished_stage(pipeline, name)

    def _is_foreign(self, pipeline: str, name: str) -> bool:
        """True for an active stage that the process does not offer: a deal brought it along from another process."""
        offered = self._offered.get(pipeline)
        return offered is not None and name not in offered and self.rows[name].get("IsActive") is not False

    def _is_nameless(self, pipeline: str, name: str, held: Held) -> bool:
        """False for a stage that is held with all it was: the sweep marks it absent, and its order and outcome are kept."""
        names = self._nameless.setdefault(pipeline, set())
        if name not in names:
            key = stage_key(pipeline, name)
            if held.versions("stages", [key]):
                return False
            names.add(name)
        return True

    def end(self) -> Iterator[Record]:
        """Close the list: what is held and was not yielded is absent; remember the rest."""
        yield SweepEnd(stream="stages", complete=True, missing_as="absent")
        yield Checkpoint(
            stream="stages",
            cursor={
                "offered": _stored(self._offered),
                "used": _stored(self._used),
                "nameless": _stored(self._nameless),
                "names": sorted(self.rows),
            },
        )


def _book(stored: Any) -> dict[str, set[str]]:
    return {pipeline: set(names) for pipeline, names in (stored or {}).items()}


def _stored(book: Mapping[str, set[str]]) -> dict[str, list[str]]:
    return {pipeline: sorted(names) for pipeline, names in sorted(book.items())}


def _offer(api: Api, pipeline: str, record_type_id: str) -> tuple[str, list[str] | RefusedError]:
    path = f"ui-api/object-info/Opportunity/picklist-values/{record_type_id}/StageName"
    try:
        body = api.get(path, what="picklist")
    except RefusedError as error:
        return pipeline, error
    values = body.get("values") if isinstance(body, dict) else None
    return pipeline, [str(value["value"]) for value in values or () if value.get("value")]
