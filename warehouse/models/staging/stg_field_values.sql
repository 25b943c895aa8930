-- One row per past value of a deal's owner, amount or currency: it held at every instant in (valid_after, valid_to].
select
    deal_no,
    field,
    coalesce(before_at, timestamp '1970-01-01') as valid_after,
    changed_at as valid_to,
    old_value as value
from staging.stg_field_changes
where field in ('owner', 'amount', 'currency')
