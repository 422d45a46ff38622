-- What is deleted is overwritten in the tables (`secure_delete`). The trigrams of a deleted text would
-- stay in their index, marked as gone, until it is merged: they go at once from now on. Those that were
-- marked earlier go with `prune --vacuum`.

insert into text_trigrams (text_trigrams, rank) values ('secure-delete', 1);
