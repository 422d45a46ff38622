-- What an imported document said beyond what this program knows, packed JSON: it comes out again.

alter table runs add column extra bytea;
