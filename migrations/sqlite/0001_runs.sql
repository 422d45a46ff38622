-- Runs, their results as they come in, and saved prompts.
--
-- The record that the program serves is the one that is stored: `document` columns hold its JSON.
-- Beside it stand only the columns that history filters and sorts by. Times are microseconds since
-- 1970 and figures are double precision, so that the same statements work on other databases.

create table runs (
    id text primary key not null,
    created_at bigint not null,
    status text not null,
    -- The lock that the process running it holds; null once the run has ended.
    owner text,
    first_model text not null,
    -- Best median of the run's models; null where nothing was measured.
    time_to_first_chunk double precision,
    output_tokens_per_second double precision,
    total_time double precision,
    -- Name, prompts and models in lower case.
    search text not null,
    -- The response without its results and samples.
    document text not null
);

create index runs_created_at on runs (created_at, id);
create index runs_status on runs (status, id);
create index runs_first_model on runs (first_model, id);
create index runs_time_to_first_chunk on runs (time_to_first_chunk, id);
create index runs_output_tokens_per_second on runs (output_tokens_per_second, id);
create index runs_total_time on runs (total_time, id);

create table run_models (
    run_id text not null references runs (id) on delete cascade,
    position integer not null,
    model text not null,
    backend text not null,
    primary key (run_id, position)
);

create index run_models_model on run_models (model, backend, run_id);
create index run_models_backend on run_models (backend, run_id);

create table run_tags (
    run_id text not null references runs (id) on delete cascade,
    tag text not null,
    primary key (tag, run_id)
);

create index run_tags_run on run_tags (run_id);

-- One row a finished request, in a table of its own: a request that ends adds a row and rewrites
-- nothing.
create table results (
    run_id text not null references runs (id) on delete cascade,
    position integer not null,
    -- The result without its chunks.
    document text not null,
    -- Arrivals and sizes of its chunks, packed: see `store::series`.
    chunks blob not null,
    primary key (run_id, position)
);

create table samples (
    run_id text primary key not null references runs (id) on delete cascade,
    document text not null
);

create table prompts (
    id text primary key not null,
    created_at bigint not null,
    document text not null
);
