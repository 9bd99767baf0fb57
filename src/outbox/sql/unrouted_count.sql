-- Counts, by topic, messages that no configured destination wants, from where the last count ended. Bounded: it goes at
-- most $2 seqs further, and stays behind what was published in the last minute (it may not be visible yet).
--   $1 bigint  the floor of a tick
--   $2 bigint  seqs at most
with range as (
  select coalesce((select c.seq from waybill.unrouted_cursor c), 0) as low,
         least($1::bigint, coalesce((select c.seq from waybill.unrouted_cursor c), 0) + $2::bigint) as high
), counted as (
  insert into waybill.unrouted (topic, n)
  select m.topic, count(*) from range r
    join waybill.messages m on m.seq > r.low and m.seq <= r.high
   where m.destinations is null
     and not exists (select from waybill.destinations d where d.configured and m.topic ~ d.topic_regex)
   group by m.topic
  returning n
), moved as (
  insert into waybill.unrouted_cursor as c (seq) select r.high from range r where r.high > r.low
  on conflict (one) do update set seq = greatest(c.seq, excluded.seq)
)
select coalesce(sum(n), 0)::int as unrouted, (select r.high - r.low from range r)::int as looked from counted
