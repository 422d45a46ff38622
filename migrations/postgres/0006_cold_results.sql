-- As `0010_cold_results.sql` of SQLite, which says why.

create trigger results_changed after update on results
referencing new table as changed for each statement execute function empty_figure_sums();
