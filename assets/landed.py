"""Columns in which the streams land, in words: the same for every source, because every connector yields the same records."""

from __future__ import annotations

import dagster as dg

from warehouse.landing.schema import STREAMS

#: A column means the same in every stream that has it.
_WORDS = {
    "deal_id": "The source's own id of the deal.",
    "name": "Its name as the source shows it.",
    "pipeline_id": "The source's own id of the pipeline.",
    "stage_id": "The source's own id of the stage.",
    "status": "open, won or lost where the source says so beside the stage.",
    "amount": "Amount in `currency`; NULL when unknown, 0 only where the source means zero.",
    "currency": "ISO code of the amount; NULL when the source does not say.",
    "home_amount": "The amount in the account's own currency, as the source converted it.",
    "created_at": "When it was created in the source, UTC.",
    "stage_entered_at": "When the deal entered its present stage, as the source says, UTC.",
    "closed_at": "When it was closed, as the source says, UTC.",
    "expected_close_date": "The close date somebody expects.",
    "owner_id": "The source's own id of the owner.",
    "company_id": "The source's own id of the company.",
    "company_name": "The company's name where the source gives no id.",
    "lead_source": "Where the deal came from, in the source's words.",
    "deal_type": "Kind of deal, in the source's words.",
    "lost_reason": "Why it was lost, in the source's words.",
    "probability": "The source's own probability of winning, 0..1.",
    "last_activity_at": "Last call, mail, meeting or note, UTC; NULL when the source reports none.",
    "next_activity_at": "Next planned activity, UTC.",
    "presence": "present, archived or deleted, where the source lists such rows.",
    "url": "Link that opens it in the source.",
    "source_file": "File it was read from.",
    "source_sheet": "Tab of the workbook.",
    "source_row": "Row in the file, counted from 1.",
    "dates_only": "True when the source's times are dates without a time of day.",
    "foreign_ids": "Ids of the same deal in other systems, JSON.",
    "custom_fields": "Fields without a column of their own by label, JSON.",
    "updated_at": "The source's own time of the last change, UTC: the version of the row.",
    "read_at": "When it was read, where the row itself says so (a dated snapshot), UTC.",
    "raw": "The source's own JSON of this row, whole.",
    "event_id": "Id of the event: stable between readings, unique per deal.",
    "changed_at": "When it changed, UTC.",
    "to_stage_id": "Stage the deal was in from then on.",
    "to_pipeline_id": "Pipeline of that stage.",
    "from_stage_id": "Stage before; NULL where the source does not say.",
    "from_pipeline_id": "Pipeline before; NULL where the source does not say.",
    "to_stage_label": "Label of the stage as it was then, if the source keeps it.",
    "changed_by_id": "The source's own id of who changed it.",
    "sequence": "The source's own order among events of one instant.",
    "evidence": "exact: from the source's history; created: derived from the creation time.",
    "precision": "instant, day or snapshot: how exactly the time is known.",
    "field": "Which field changed.",
    "old_value": "Value before, as text.",
    "new_value": "Value after, as text.",
    "email": "E-mail address.",
    "is_active": "False for one that is not in use any more.",
    "is_deleted": "True when it was deleted in the source.",
    "domain": "Web domain of the company.",
    "country": "Country of the company.",
    "industry": "Industry of the company, in the source's words.",
    "display_order": "Place in the source's own order.",
    "is_archived": "True when it is archived in the source.",
    "outcome": "open, won or lost, as the source flags the stage.",
    "is_synthetic": "True for a stage that the connector makes for a status the source keeps apart.",
    "_key": "Key of the record in this stream.",
    "_read_at": "When Muara read it, UTC.",
    "_sync_seq": "The commit of the landing zone that brought it.",
    "_ordinal": "Order within its sync.",
    "_mapper_version": "Version of the mapping that made the columns from raw; `muara replay` raises it.",
    "_read_ordinal": "The reading of the deal's history that it belongs to.",
    "_hash": "Digest of the content; an equal one is not stored again.",
}


def landed_schema(stream: str) -> dg.TableSchema:
    """The columns in which a stream lands, with their types and what they mean."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(name=name, type=kind, description=_WORDS.get(name)) for name, kind in STREAMS[stream].items()
        ]
    )
