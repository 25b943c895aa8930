-- One row per input row that did not become a record, with the reason. Rows in = rows kept + rows here.
select
    source_key,
    stream,
    reason,
    detail,
    is_dropped,
    key as row_key,
    source_file,
    source_sheet,
    source_row,
    _read_at as read_at
from landing.rejects
