-- One row per stage id that exactly one pipeline of its source lists: where an event belongs that names a stage but no pipeline.
select source_key, stage_id, min(pipeline_id) as pipeline_id
from landing.stages
group by source_key, stage_id
having count(distinct pipeline_id) = 1
