-- sequence_reused(): messages that were written with a seq at which a lane no longer looks, by what it has
-- stored of each delta: whoever had no xid in `to` (xid ≥ its xmax) must lie above `to_floor`, and whoever was running in it
-- above its own floor. One that does not was given a seq that had been used before.
-- Messages up to waybill.cluster.boundary may carry xids of another server and are not accused.
-- Every retained delta is asked: for the first rule about the transactions that began
-- between it and the next one. Floors do not fall but where the sequence was set back: the greatest counts.
-- First it asks whether there is any, by probes along (xid, seq) that end at the first row: on a log of 58 ranges, with 200 lanes of
-- which some are far behind, the least seq of each delta took more than 10 minutes where there was none. Below the floor of
-- a lane's first delta one probe asks for all its deltas at once; each has then only the range or two above that. The
-- comparison of rows and the order keep the planner from (seq), which is all that was published since.
--   floor  read everything above this that is not visible in `snapshot`
with low as materialized (select coalesce((select c.boundary from waybill.cluster c), 0) as seq),
asked as materialized (
  select t.lane_id, t.n, t.to_snapshot, t.from_floor, t.running, t.running_floors,
         pg_snapshot_xmax(t.to_snapshot) as first,
         coalesce(lead(pg_snapshot_xmax(t.to_snapshot)) over lane, '18446744073709551615'::xid8) as next,
         max(t.to_floor) over (lane rows unbounded preceding) as greatest_floor,
         first_value(t.to_floor) over lane as least_floor,
         min(pg_snapshot_xmax(t.to_snapshot)::text::numeric) over (lane rows between unbounded preceding and unbounded following) as oldest
    from waybill.deltas t
    join waybill.lanes l on l.id = t.lane_id and l.state <> 'closed'
  window lane as (partition by t.lane_id order by t.n)
),
-- lanes that share their ticks ask once
spans as (
  select distinct s.first, s.next, greatest(s.low, low.seq) as low, s.high
    from (select a.first, a.next, a.least_floor as low, a.greatest_floor as high from asked a
           union all
          select a.oldest::text::xid8, '18446744073709551615'::xid8, null, a.least_floor from asked a) s
   cross join low
),
hits as materialized (
  select s.*
    from spans s
   cross join lateral (select from waybill.messages m
                        where m.seq > s.low and m.seq <= s.high
                          and (m.xid, m.seq) >= (s.first, 0) and (m.xid, m.seq) < (s.next, 0)
                        order by m.xid, m.seq limit 1) m
),
began as (
  select a.lane_id, a.n, a.to_snapshot,
         (select min(m.seq) from (select m.seq from waybill.messages m
                                   where m.seq > low.seq and m.seq <= a.greatest_floor
                                     and (m.xid, m.seq) >= (a.first, 0) and (m.xid, m.seq) < (a.next, 0)
                                   order by m.xid, m.seq offset 0) m) as seq
    from asked a
   cross join low
   where exists (select from hits) and exists (
           select from hits h
            where (h.first = a.first and h.next = a.next and h.low = greatest(a.least_floor, low.seq) and h.high = a.greatest_floor)
               or (h.first = a.oldest::text::xid8 and h.low = low.seq and h.high = a.least_floor))
),
ran as materialized (
  select a.lane_id, a.n, a.to_snapshot, x.xid, coalesce(k.floor, a.from_floor) as floor,
         -- what it has below the floor of the lane's first delta is found there, when it began later than that
         case when x.xid >= a.oldest::text::xid8 then greatest(a.least_floor, low.seq) else low.seq end as low
    from asked a
   cross join low
   cross join lateral pg_snapshot_xip(a.to_snapshot) x(xid)
    left join lateral unnest(a.running, a.running_floors) k(xid, floor) on k.xid = x.xid
),
wrote as materialized (
  select d.xid, d.low, d.floor, m.seq
    from (select distinct r.xid, r.low, r.floor from ran r where r.floor > r.low) d
   cross join lateral (select m.seq from waybill.messages m
                        where m.seq > d.low and m.seq <= d.floor
                          and (m.xid, m.seq) > (d.xid, d.low) and (m.xid, m.seq) <= (d.xid, d.floor)
                        order by m.xid, m.seq limit 1) m
),
suspects as (
  select b.lane_id, b.n, b.to_snapshot, b.seq from began b where b.seq is not null
  union all
  select r.lane_id, r.n, r.to_snapshot, w.seq
    from wrote w join ran r on r.xid = w.xid and r.low = w.low and r.floor = w.floor
)
select s.lane_id, to_json(min(s.seq) - 1) as floor, (array_agg(s.to_snapshot::text order by s.n))[1] as snapshot
  from suspects s group by s.lane_id order by s.lane_id
