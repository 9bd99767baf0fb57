-- scheduled_overdue($1 ms float8): scheduled messages that were due so long ago and are not in the log. Counts up to 1,001.
select count(*)::int as messages,
       extract(epoch from clock_timestamp() - greatest(min(s.run_at), '2000-01-01'::timestamptz))::float8 as seconds
  from (select x.run_at from waybill.scheduled x
         where x.run_at < clock_timestamp() - $1::float8 * interval '1 ms' order by x.run_at limit 1001) s
