-- sequence_reused($1 low bigint): messages that were written with a seq at which a lane no longer looks, by what it has
-- stored of each delta: whoever had no xid in `to` (xid ≥ its xmax) must lie above `to_floor`, and whoever was running in it
-- above its own floor. One that does not was given a seq that had been used before.
-- Messages up to waybill.cluster.boundary may carry xids of another server and are not accused.
-- $1 bounds the search from below; every retained delta is asked, the oldest that still knew better decides.
--   floor  read everything above this that is not visible in `snapshot`
with low as (select greatest($1::bigint, (select c.boundary from waybill.cluster c)) as seq),
suspects as (
  select t.lane_id, t.n, t.to_snapshot, least(r.seq, y.seq) as seq
    from waybill.deltas t
    join waybill.lanes l on l.id = t.lane_id and l.state <> 'closed'
    cross join lateral (select min(m.seq) as seq from waybill.messages m
                         where m.seq > (select low.seq from low) and m.seq <= t.to_floor and m.xid >= pg_snapshot_xmax(t.to_snapshot)) r
    cross join lateral (select min(m.seq) as seq
                          from pg_snapshot_xip(t.to_snapshot) x(xid)
                          left join unnest(t.running, t.running_floors) k(xid, floor) on k.xid = x.xid
                          join waybill.messages m on m.xid = x.xid
                         where m.seq > (select low.seq from low) and m.seq <= coalesce(k.floor, t.from_floor)) y
   where least(r.seq, y.seq) is not null
)
select s.lane_id, min(s.seq)::float8 - 1 as floor, (array_agg(s.to_snapshot::text order by s.n))[1] as snapshot
  from suspects s group by s.lane_id order by s.lane_id
