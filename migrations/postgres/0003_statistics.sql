-- Statistics of a million runs without reading them; `0006_statistics.sql` of SQLite says what the tables
-- are for.

create table figure_sums (
    level bigint not null,
    span bigint not null,
    model bigint not null,
    changes bigint not null,
    packed bytea,
    primary key (level, span, model)
);

create index figure_sums_missing on figure_sums (level, span, model) where packed is null;

-- The longest span first, for everybody: who waits for it holds none of those within, so that two can
-- never wait for each other.
create function empty_figure_sums() returns trigger language plpgsql as $$
begin
    insert into figure_sums (level, span, model, changes)
    select distinct levels.level, changed.day >> (5 * levels.level)::integer, changed.model, 1
    from changed cross join (values (0), (1), (2)) as levels (level)
    order by 1 desc, 3, 2
    on conflict (level, span, model)
    do update set changes = figure_sums.changes + 1, packed = null;
    return null;
end
$$;

create trigger results_added after insert on results
referencing new table as changed for each statement execute function empty_figure_sums();

create trigger results_removed after delete on results
referencing old table as changed for each statement execute function empty_figure_sums();

drop index results_figures;
create index results_figures on results (
    day, model, run, position, outcome, time_to_first_chunk, time_per_output_token, request_latency,
    total_time, output_tokens_per_second, bytes_per_second
);

insert into figure_sums (level, span, model, changes)
select distinct 0, day, model, 1 from results union
select distinct 1, day >> 5, model, 1 from results union
select distinct 2, day >> 10, model, 1 from results;

drop index runs_text;
create index runs_text on runs (text_id, created_at, run);

create table saved_views (
    id text primary key,
    created_at bigint not null,
    document text not null
);
