-- How well a machine can measure; looked up by machine and version of the program.

create table calibrations (
    id text primary key not null,
    created_at bigint not null,
    machine text not null,
    benchmarker_version text not null,
    document text not null
);

create index calibrations_machine on calibrations (machine, benchmarker_version, created_at);
