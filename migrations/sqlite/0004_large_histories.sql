-- A history that stays quick at a million runs.
--
-- Runs get a number, which is what other tables refer to: an index entry of eight bytes, not of
-- twenty-four. `run_facets` holds a row for each way in which a run is looked for (all runs, its status,
-- its models, backends and tags) with everything that lists are sorted by, so that each page of each view
-- is one stretch of one index. Texts that are searched are kept once each, with their trigrams. Documents
-- are packed (see `store::packing`); those written before stay as they are. Chunks have a table of their
-- own, so that a list does not read past them. Figures of requests stand in columns for statistics.

create table texts (
    id integer primary key not null,
    -- SHA-256 of the text, hexadecimal; of texts that stood in the earlier tables, their number.
    hash text not null unique,
    text text not null
);

create virtual table text_trigrams using fts5 (
    text, content = 'texts', content_rowid = 'id', tokenize = 'trigram', detail = 'none'
);

create trigger texts_added after insert on texts begin
    insert into text_trigrams (rowid, text) values (new.id, new.text);
end;

create trigger texts_removed after delete on texts begin
    insert into text_trigrams (text_trigrams, rowid, text) values ('delete', old.id, old.text);
end;

create table stored_runs (
    run integer primary key not null,
    id text not null unique,
    created_at bigint not null,
    status text not null,
    -- The lock that the process running it holds; null once the run has ended.
    owner text,
    -- Name, models and prompts in lower case.
    text_id bigint not null references texts (id),
    -- The response without its results and samples.
    document blob not null
);

create index stored_runs_text on stored_runs (text_id);
create index stored_runs_unfinished on stored_runs (status) where status in ('queued', 'running');

create table facets (
    id integer primary key not null,
    -- `all`, `status`, `model` (also with its backend), `backend` or `tag`.
    kind text not null,
    value text not null,
    unique (kind, value)
);

create table run_facets (
    facet bigint not null,
    run bigint not null references stored_runs (run) on delete cascade,
    created_at bigint not null,
    status text not null,
    first_model text not null,
    -- Best median of the run's models; null where nothing was measured.
    time_to_first_chunk double precision,
    output_tokens_per_second double precision,
    total_time double precision,
    primary key (facet, run)
) without rowid;

create index run_facets_run on run_facets (run);
create index run_facets_created_at on run_facets (facet, created_at, run);
create index run_facets_status on run_facets (facet, status, run);
create index run_facets_first_model on run_facets (facet, first_model, run);
create index run_facets_time_to_first_chunk on run_facets (facet, time_to_first_chunk, run);
create index run_facets_output_tokens_per_second on run_facets (facet, output_tokens_per_second, run);
create index run_facets_total_time on run_facets (facet, total_time, run);

create table models (
    id integer primary key not null,
    model text not null,
    backend text not null,
    unique (model, backend)
);

create table stored_results (
    run bigint not null references stored_runs (run) on delete cascade,
    position bigint not null,
    -- When its run was asked for, days since 1970.
    day bigint not null,
    model bigint not null,
    -- 0 measured, 1 failed, 2 not measured: a warm-up, or a later stage of a sweep.
    outcome bigint not null,
    time_to_first_chunk double precision,
    time_per_output_token double precision,
    request_latency double precision,
    total_time double precision,
    output_tokens_per_second double precision,
    bytes_per_second double precision,
    -- The result without its chunks.
    document blob not null,
    primary key (run, position)
);

create index stored_results_figures on stored_results (
    day, model, outcome, time_to_first_chunk, time_per_output_token, request_latency, total_time,
    output_tokens_per_second, bytes_per_second
);

-- Arrivals and sizes of a result's chunks, packed: see `store::series`.
create table chunks (
    run bigint not null,
    position bigint not null,
    packed blob not null,
    primary key (run, position),
    foreign key (run, position) references stored_results (run, position) on delete cascade
) without rowid;

create table stored_samples (
    run integer primary key not null references stored_runs (run) on delete cascade,
    packed blob not null
);

-- What stood in the earlier tables.

insert into texts (hash, text)
select min(rowid), search from runs group by search;

insert into stored_runs (id, created_at, status, owner, text_id, document)
select runs.id, runs.created_at, runs.status, runs.owner, texts.id, cast(runs.document as blob)
from runs join texts on texts.text = runs.search
order by runs.created_at, runs.id;

insert into facets (kind, value)
select 'all', '' union
select 'status', status from runs union
select 'model', model from run_models union
select 'model', model || '@' || backend from run_models union
select 'backend', backend from run_models union
select 'tag', tag from run_tags;

insert into run_facets (
    facet, run, created_at, status, first_model, time_to_first_chunk, output_tokens_per_second, total_time
)
select distinct
    facets.id, stored_runs.run, runs.created_at, runs.status, runs.first_model, runs.time_to_first_chunk,
    runs.output_tokens_per_second, runs.total_time
from (
    select id as run_id, 'all' as kind, '' as value from runs union all
    select id, 'status', status from runs union all
    select run_id, 'model', model from run_models union all
    select run_id, 'model', model || '@' || backend from run_models union all
    select run_id, 'backend', backend from run_models union all
    select run_id, 'tag', tag from run_tags
) as found
join runs on runs.id = found.run_id
join stored_runs on stored_runs.id = found.run_id
join facets on facets.kind = found.kind and facets.value = found.value;

insert into models (model, backend)
select distinct json_extract(document, '$.model'), json_extract(document, '$.backend') from results
union
select model, backend from run_models;

insert into stored_results (
    run, position, day, model, outcome, time_to_first_chunk, time_per_output_token, request_latency,
    total_time, output_tokens_per_second, bytes_per_second, document
)
select
    stored_runs.run, results.position, stored_runs.created_at / 86400000000, models.id,
    case
        when json_extract(results.document, '$.warmup')
            or coalesce(json_extract(results.document, '$.stage.number'), 0) > 0 then 2
        when json_extract(results.document, '$.success') then 0
        else 1
    end,
    json_extract(results.document, '$.timing.time_to_first_chunk'),
    json_extract(results.document, '$.timing.time_per_output_token'),
    json_extract(results.document, '$.timing.request_latency'),
    json_extract(results.document, '$.timing.total_time'),
    json_extract(results.document, '$.throughput.output_tokens_per_second'),
    json_extract(results.document, '$.throughput.bytes_per_second'),
    cast(results.document as blob)
from results
join stored_runs on stored_runs.id = results.run_id
join models on models.model = json_extract(results.document, '$.model')
    and models.backend = json_extract(results.document, '$.backend');

insert into chunks (run, position, packed)
select stored_runs.run, results.position, results.chunks
from results join stored_runs on stored_runs.id = results.run_id;

insert into stored_samples (run, packed)
select stored_runs.run, machine_samples.packed
from machine_samples join stored_runs on stored_runs.id = machine_samples.run_id;

-- Of the first version, as text: `{"here": …, "elsewhere": []}` is what the packed ones hold.
insert into stored_samples (run, packed)
select stored_runs.run, cast('{"here":' || samples.document || ',"elsewhere":[]}' as blob)
from samples join stored_runs on stored_runs.id = samples.run_id
where stored_runs.run not in (select run from stored_samples);

drop table machine_samples;
drop table samples;
drop table results;
drop table run_tags;
drop table run_models;
drop table runs;
alter table stored_runs rename to runs;
alter table stored_results rename to results;
alter table stored_samples rename to samples;
