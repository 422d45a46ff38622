-- Statistics of a million runs without reading them.
--
-- `figure_sums` holds what the figures of a model's requests add up to: of a day, of 32 days, of 1,024
-- days (see `measure::tally`). Sums are made when they are asked for and kept. Whatever adds a result or
-- deletes one empties the sums that it belongs to, here in the database, where no statement can pass it
-- by; `changes` lets a sum that was made meanwhile be known for an old one.

create table figure_sums (
    -- 0 a day, 1 32 days, 2 1,024 days.
    level bigint not null,
    -- Which of them since 1970.
    span bigint not null,
    model bigint not null,
    -- How often results came or went.
    changes bigint not null,
    -- Null where it is to be made.
    packed blob,
    primary key (level, span, model)
) without rowid;

create index figure_sums_missing on figure_sums (level, span, model) where packed is null;

create trigger results_added after insert on results begin
    insert into figure_sums (level, span, model, changes)
    values
        (2, new.day >> 10, new.model, 1),
        (1, new.day >> 5, new.model, 1),
        (0, new.day, new.model, 1)
    on conflict (level, span, model) do update set changes = changes + 1, packed = null;
end;

create trigger results_removed after delete on results begin
    insert into figure_sums (level, span, model, changes)
    values
        (2, old.day >> 10, old.model, 1),
        (1, old.day >> 5, old.model, 1),
        (0, old.day, old.model, 1)
    on conflict (level, span, model) do update set changes = changes + 1, packed = null;
end;

-- All figures of a model's day, run by run.
drop index stored_results_figures;
create index results_figures on results (
    day, model, run, position, outcome, time_to_first_chunk, time_per_output_token, request_latency,
    total_time, output_tokens_per_second, bytes_per_second
);

insert into figure_sums (level, span, model, changes)
select distinct 0, day, model, 1 from results union
select distinct 1, day >> 5, model, 1 from results union
select distinct 2, day >> 10, model, 1 from results;

-- Runs that have the same name, models and prompts, one after another.
drop index stored_runs_text;
create index runs_text on runs (text_id, created_at, run);

-- Filters of the history that somebody gave a name.
create table saved_views (
    id text primary key not null,
    created_at bigint not null,
    document text not null
);
