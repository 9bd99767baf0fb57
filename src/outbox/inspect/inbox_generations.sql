-- inbox_generations(): how far the inbox's maintenance has come. Ages in seconds, sizes in bytes.
with newest as (
  select g.generation, g.opened_at from waybill.inbox_generations g
   where g.opened_at is not null order by g.generation desc limit 1
), expired as (
  select count(*) as n, coalesce(sum(pg_total_relation_size(to_regclass('waybill.inbox_p' || g.generation))), 0) as bytes
    from waybill.inbox_generations g, waybill.inbox_settings s
   where g.closed_at < clock_timestamp() - s.retention - interval '1 day'
)
select extract(epoch from s.retention)::float8 as "retentionSeconds", n.generation::int as newest,
       extract(epoch from clock_timestamp() - n.opened_at)::float8 as "openedAgo",
       -- the newest is not written alone yet while the one before it is not closed
       exists (select from waybill.inbox_generations g
                where g.opened_at is not null and g.closed_at is null and g.generation < n.generation) as changing,
       exists (select from waybill.inbox x where x.generation = n.generation) as used,
       e.n::int as expired, e.bytes::float8 as "expiredBytes"
  from waybill.inbox_settings s, newest n, expired e
