-- partition_list_seq($1 parent regclass): the ranges of the log, lowest first. Reads catalogs, and one index probe for each.
select to_json(p.oid::int8) as oid, p.name, p.lower::text, p.upper::text, p.row_estimate, p.bytes, p.detach_pending,
       not exists (select from waybill.messages m
                    where m.seq >= coalesce(p.lower, -9223372036854775808) and m.seq < coalesce(p.upper, 9223372036854775807)) as empty
  from (
    select c.oid, c.relname as name, nullif(b.bound[1], 'MINVALUE')::bigint as lower, nullif(b.bound[2], 'MAXVALUE')::bigint as upper,
           greatest(c.reltuples, 0)::float8 as row_estimate, pg_total_relation_size(c.oid) as bytes,
           i.inhdetachpending as detach_pending
      from pg_inherits i
      join pg_class c on c.oid = i.inhrelid
      cross join lateral regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM [(]''?(.+?)''?[)] TO [(]''?(.+?)''?[)]') b(bound)
     where i.inhparent = $1::regclass) p
 order by p.lower nulls first
