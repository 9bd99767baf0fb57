-- log_trim($1 low, $2 high bigint, $3 age in ms, $4 batch int): deletes, of the next messages above `low` and up to `high`,
-- those older than that.
--   looked  how many were looked at, gone  how many of them went, last  seq of the last that went
with next as (
  select m.seq, m.created_at < now() - $3::float8 * interval '1 ms' as old
    from waybill.messages m where m.seq > $1::bigint and m.seq <= $2::bigint order by m.seq limit $4::int
), gone as (
  delete from waybill.messages m
   where m.seq > $1::bigint and m.seq <= $2::bigint and m.seq = any(array(select n.seq from next n where n.old))
     and m.created_at < now() - $3::float8 * interval '1 ms'
  returning m.seq
)
select (select count(*) from next)::int as looked, count(*)::int as gone, to_json(max(g.seq)) as last from gone g
