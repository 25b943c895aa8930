-- One row per pair of deals of two sources that share something: links (is_link) and mere candidates.
select
    cast(null as bigint) as deal_no,
    cast(null as bigint) as other_deal_no,
    cast(null as varchar) as reason,
    false as is_link,
    false as is_same_name,
    false as is_same_amount,
    cast(null as double) as days_apart
where false
