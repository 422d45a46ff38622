-- Figures that loading a model is part of are taken from results that turn out to have been cold, when their run
-- ends. Sums that they belong to are emptied then, as by results that come and go.

create trigger results_changed after update on results begin
    insert into figure_sums (level, span, model, changes)
    values
        (2, new.day >> 10, new.model, 1),
        (1, new.day >> 5, new.model, 1),
        (0, new.day, new.model, 1)
    on conflict (level, span, model) do update set changes = changes + 1, packed = null;
end;
