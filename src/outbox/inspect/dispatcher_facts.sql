-- dispatcher_facts($1 dispatcher uuid): what a scrape needs beside the lanes.
--   published   greatest seq drawn
--   alive       dispatchers seen within one and a half of their leases
--   beatAge     seconds since this dispatcher's heartbeat was written; null when it has none
--   scheduledAge  seconds since the first scheduled message was due that is not in the log; null when none is
select to_json(case when s.is_called then s.last_value else s.last_value - 1 end) as published,
       (select count(*) from waybill.dispatchers d
         where d.seen_at >= clock_timestamp() - d.lease_ms * interval '1.5 ms')::float8 as alive,
       (select extract(epoch from clock_timestamp() - d.seen_at)::float8 from waybill.dispatchers d where d.id = $1::uuid) as "beatAge",
       (select extract(epoch from clock_timestamp() - greatest(x.run_at, '2000-01-01'))::float8 from waybill.scheduled x
         where x.run_at < clock_timestamp() order by x.run_at limit 1) as "scheduledAge"
  from waybill.message_seq s
