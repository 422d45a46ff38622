-- What machines did during runs, compressed: a day of samples would be megabytes as text. Those that
-- stand in `samples` as text stay there and are read as before.

create table machine_samples (
    run_id text primary key not null references runs (id) on delete cascade,
    -- JSON of this machine's samples and of those of other machines, as gzip.
    packed blob not null
);
