-- inbox_generations(): how far the inbox's maintenance has come. Ages in seconds, sizes in bytes.
with newest as (
  select g.generation, g.opened_at from waybill.inbox_generations g
   where g.opened_at is not null order by g.generation desc limit 1
), expired as (
  select count(*) as n, coalesce(sum(pg_total_relation_size(to_regclass('waybill.inbox_p' || g.generation))), 0) as bytes
    from waybill.inbox_generations g
   where g.closed_at < clock_timestamp() - (select s.retention from waybill.inbox_settings s) - interval '1 day'
)
select extract(epoch from (select s.retention from waybill.inbox_settings s))::float8 as "retentionSeconds", n.generation::int as newest,
       extract(epoch from clock_timestamp() - n.opened_at)::float8 as "openedAgo",
       -- the newest is not written alone yet while the one before it is not closed
       exists (select from waybill.inbox_generations g
                where g.opened_at is not null and g.closed_at is null and g.generation < n.generation) as changing,
       coalesce((select true from waybill.inbox x where x.generation = n.generation limit 1), false) as used,
       e.n::int as expired, e.bytes::float8 as "expiredBytes"
  from newest n, expired e
