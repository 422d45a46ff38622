-- As `0008_smaller_history.sql` of SQLite, which says why.

delete from run_facets where facet in (
    select id from facets as model
    where kind = 'model' and not exists (
        select 1 from facets as backend
        where backend.kind = 'backend' and right(model.value, length(backend.value) + 1) = '@' || backend.value
    )
);

delete from facets where not exists (select 1 from run_facets where run_facets.facet = facets.id);

alter table run_facets
    alter column status type bigint using case status
        when 'cancelled' then 0
        when 'completed' then 1
        when 'failed' then 2
        when 'interrupted' then 3
        when 'partial' then 4
        when 'queued' then 5
        else 6
    end,
    alter column time_to_first_chunk type bigint using round(time_to_first_chunk * 1000000),
    alter column output_tokens_per_second type bigint using round(output_tokens_per_second * 1000000),
    alter column total_time type bigint using round(total_time * 1000000);

update texts set hash = substr(hash, 1, 32);
