-- partition_list_time($1 parent regclass): the ranges of attempts or receipts, lowest first; bounds in milliseconds.
-- The bounds are printed and read in one session, so its time zone does not matter. For receipts the name is replaced.
select to_json(p.oid::int8) as oid, p.name, (extract(epoch from p.lower) * 1000)::bigint::text as lower, (extract(epoch from p.upper) * 1000)::bigint::text as upper,
       p.row_estimate, p.bytes, p.detach_pending,
       not exists (select from waybill.attempts m
                    where m.at >= coalesce(p.lower, '-infinity') and (m.at < p.upper or p.upper is null)) as empty
  from (
    select c.oid, c.relname as name, nullif(b.bound[1], 'MINVALUE')::timestamptz as lower,
           nullif(b.bound[2], 'MAXVALUE')::timestamptz as upper,
           greatest(c.reltuples, 0)::float8 as row_estimate, pg_total_relation_size(c.oid) as bytes,
           i.inhdetachpending as detach_pending
      from pg_inherits i
      join pg_class c on c.oid = i.inhrelid
      cross join lateral regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM [(]''?(.+?)''?[)] TO [(]''?(.+?)''?[)]') b(bound)
     where i.inhparent = $1::regclass) p
 order by p.lower nulls first
