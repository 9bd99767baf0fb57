-- sequence_reused($1 low bigint): messages that were written with a seq at which a lane no longer looks, by what it has
-- stored of each delta: whoever had no xid in `to` (xid ≥ its xmax) must lie above `to_floor`, and whoever was running in it
-- above its own floor. One that does not was given a seq that had been used before.
-- Messages up to waybill.cluster.boundary may carry xids of another server and are not accused.
-- $1 bounds the search from below. Every retained delta is asked: for the first rule about the transactions that began
-- between it and the next one, along (xid, seq), so that each is looked at once. Along (seq) it would be the whole log for
-- each delta, whenever there is none to be found. Floors do not fall but where the sequence was set back: the greatest counts.
--   floor  read everything above this that is not visible in `snapshot`
with low as (select greatest($1::bigint, (select c.boundary from waybill.cluster c)) as seq),
asked as (
  select t.*, pg_snapshot_xmax(t.to_snapshot) as first,
         coalesce(lead(pg_snapshot_xmax(t.to_snapshot)) over lane, '18446744073709551615'::xid8) as next,
         max(t.to_floor) over (lane rows unbounded preceding) as greatest_floor
    from waybill.deltas t
    join waybill.lanes l on l.id = t.lane_id and l.state <> 'closed'
  window lane as (partition by t.lane_id order by t.n)
),
suspects as (
  select t.lane_id, t.n, t.to_snapshot, least(r.seq, y.seq) as seq
    from asked t
    cross join lateral (select min(m.seq) as seq
                          from (select b.seq from waybill.messages b where b.xid >= t.first and b.xid < t.next offset 0) m
                         where m.seq > (select low.seq from low) and m.seq <= t.greatest_floor) r
    cross join lateral (select min(m.seq) as seq
                          from pg_snapshot_xip(t.to_snapshot) x(xid)
                          left join unnest(t.running, t.running_floors) k(xid, floor) on k.xid = x.xid
                          join waybill.messages m on m.xid = x.xid
                         where m.seq > (select low.seq from low) and m.seq <= coalesce(k.floor, t.from_floor)) y
   where least(r.seq, y.seq) is not null
)
select s.lane_id, to_json(min(s.seq) - 1) as floor, (array_agg(s.to_snapshot::text order by s.n))[1] as snapshot
  from suspects s group by s.lane_id order by s.lane_id
