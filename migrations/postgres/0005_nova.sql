-- As `0009_nova.sql` of SQLite, which says why.

create table nova_sessions (
    id text primary key,
    updated_at bigint not null,
    document bytea not null
);

create index nova_sessions_updated_at on nova_sessions (updated_at, id);

create table nova_turns (
    id text primary key,
    session text not null references nova_sessions (id) on delete cascade,
    number bigint not null,
    status text not null,
    owner text,
    document bytea not null,
    unique (session, number)
);

create unique index nova_turns_active on nova_turns (session) where status = 'running';

create table nova_steps (
    turn text not null references nova_turns (id) on delete cascade,
    position bigint not null,
    document bytea not null,
    chunks bytea,
    primary key (turn, position)
);

create table nova_memory (
    number bigint generated always as identity primary key,
    id text not null unique,
    session text references nova_sessions (id) on delete cascade,
    words text not null,
    embedding_model text,
    embedding bytea,
    document bytea not null,
    lexemes tsvector generated always as (to_tsvector('simple', words)) stored
);

create index nova_memory_session on nova_memory (session, number);
create index nova_memory_embedding on nova_memory (embedding_model, number);
create index nova_memory_lexemes on nova_memory using gin (lexemes);
