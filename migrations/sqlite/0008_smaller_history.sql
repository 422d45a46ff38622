-- A history in less room.
--
-- A model that is looked for without its backend is looked for on each backend, so a run needs one row a
-- model and not two. Statuses are numbers in the order of their names, and figures whole millionths: half
-- the room of a double, twice in each row and index. Half of a text's hash is enough to know it by.

create table smaller_facets (
    facet bigint not null,
    run bigint not null references runs (run) on delete cascade,
    -- Microseconds since 1970.
    created_at bigint not null,
    -- 0 cancelled, 1 completed, 2 failed, 3 interrupted, 4 partial, 5 queued, 6 running.
    status bigint not null,
    first_model text not null,
    -- Best median of the run's models, millionths of a second or of a token a second; null where nothing
    -- was measured.
    time_to_first_chunk bigint,
    output_tokens_per_second bigint,
    total_time bigint,
    primary key (facet, run)
) without rowid;

delete from run_facets where facet in (
    select id from facets as model
    where kind = 'model' and not exists (
        select 1 from facets as backend
        where backend.kind = 'backend'
            and substr(model.value, -length(backend.value) - 1) = '@' || backend.value
    )
);

insert into smaller_facets (
    facet, run, created_at, status, first_model, time_to_first_chunk, output_tokens_per_second, total_time
)
select
    facet, run, created_at,
    case status
        when 'cancelled' then 0
        when 'completed' then 1
        when 'failed' then 2
        when 'interrupted' then 3
        when 'partial' then 4
        when 'queued' then 5
        else 6
    end,
    first_model,
    cast(round(time_to_first_chunk * 1000000) as bigint),
    cast(round(output_tokens_per_second * 1000000) as bigint),
    cast(round(total_time * 1000000) as bigint)
from run_facets;

delete from facets where not exists (select 1 from run_facets where run_facets.facet = facets.id);

drop table run_facets;
alter table smaller_facets rename to run_facets;

create index run_facets_run on run_facets (run);
create index run_facets_created_at on run_facets (facet, created_at, run);
create index run_facets_status on run_facets (facet, status, run);
create index run_facets_first_model on run_facets (facet, first_model, run);
create index run_facets_time_to_first_chunk on run_facets (facet, time_to_first_chunk, run);
create index run_facets_output_tokens_per_second on run_facets (facet, output_tokens_per_second, run);
create index run_facets_total_time on run_facets (facet, total_time, run);

update texts set hash = substr(hash, 1, 32);
