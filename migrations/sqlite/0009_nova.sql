-- Conversations with agents, and what these remember.

create table nova_sessions (
    id text primary key not null,
    -- When something last happened in it, microseconds since 1970.
    updated_at bigint not null,
    -- The session without its turns.
    document blob not null
) without rowid;

create index nova_sessions_updated_at on nova_sessions (updated_at, id);

create table nova_turns (
    id text primary key not null,
    session text not null references nova_sessions (id) on delete cascade,
    -- From 1, in the order in which they were asked.
    number bigint not null,
    status text not null,
    -- The lock that the process carrying it out holds; null once the turn has ended.
    owner text,
    -- The turn without its steps.
    document blob not null,
    unique (session, number)
) without rowid;

-- One turn of a session goes on at a time, whatever process asks.
create unique index nova_turns_active on nova_turns (session) where status = 'running';

create table nova_steps (
    turn text not null references nova_turns (id) on delete cascade,
    position bigint not null,
    -- The step without its chunks.
    document blob not null,
    chunks blob,
    primary key (turn, position)
) without rowid;

create table nova_memory (
    number integer primary key not null,
    id text not null unique,
    -- The only session that recalls it; null where every one does.
    session text references nova_sessions (id) on delete cascade,
    -- Its words in lower case, parted by spaces: what is looked through.
    words text not null,
    embedding_model text,
    -- 32-bit floating-point numbers, lowest byte first.
    embedding blob,
    document blob not null
);

create index nova_memory_session on nova_memory (session, number);
create index nova_memory_embedding on nova_memory (embedding_model, number);

create virtual table nova_memory_words using fts5 (
    words, content = 'nova_memory', content_rowid = 'number', tokenize = 'unicode61 remove_diacritics 0'
);
-- What is forgotten is not to be found in the file of the database either.
insert into nova_memory_words (nova_memory_words, rank) values ('secure-delete', 1);

create trigger nova_memory_added after insert on nova_memory begin
    insert into nova_memory_words (rowid, words) values (new.number, new.words);
end;

create trigger nova_memory_removed after delete on nova_memory begin
    insert into nova_memory_words (nova_memory_words, rowid, words) values ('delete', old.number, old.words);
end;
