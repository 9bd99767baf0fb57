-- inbox_generations(): how far the inbox's maintenance has come. Ages in seconds, sizes in bytes.
select extract(epoch from s.retention)::float8 as "retentionSeconds",
       (select max(g.generation) from waybill.inbox_generations g where g.opened_at is not null)::int as newest,
       extract(epoch from clock_timestamp() - (select max(g.opened_at) from waybill.inbox_generations g))::float8 as "openedAgo",
       -- the newest is not written alone yet while the one before it is not closed
       exists (select from waybill.inbox_generations g
                where g.closed_at is null and g.opened_at is not null
                  and g.generation < (select max(n.generation) from waybill.inbox_generations n where n.opened_at is not null)
       ) as changing,
       exists (select from waybill.inbox x where x.generation =
         (select max(n.generation) from waybill.inbox_generations n where n.opened_at is not null)) as used,
       p.expired::int as expired, p.bytes::float8 as "expiredBytes"
  from waybill.inbox_settings s, lateral (
    select count(*) as expired, coalesce(sum(pg_total_relation_size(to_regclass('waybill.inbox_p' || g.generation))), 0) as bytes
      from waybill.inbox_generations g
     where g.closed_at < clock_timestamp() - s.retention - interval '1 day'
  ) p
