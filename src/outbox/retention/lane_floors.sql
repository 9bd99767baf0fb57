-- lane_floors(): for each lane that is not closed, the seq up to which it needs nothing any more, by what it has stored.
-- A drained delta is followed by one from its `to`: whoever ran in that has the floor that it had, or that of `from`.
-- Within a delta: what is not read, and the stragglers. Planned deltas may begin further below. A lane without a position
-- needs everything.
--   floor   everything up to here was read
--   parked  lowest seq among its parked deliveries; their payload is read again at each attempt
-- Gives one row with lane_id null where there is no lane; no row at all where row-level security would hide what lanes need.
select l.id as lane_id, l.destination, l.shards, to_json(coalesce(least(f.floor, c.planned_floor), 0)) as floor, to_json(parked.seq) as parked
  from (select where not (row_security_active('waybill.lanes'::regclass) or row_security_active('waybill.positions'::regclass)
                          or row_security_active('waybill.deltas'::regclass) or row_security_active('waybill.planned_deltas'::regclass)
                          or row_security_active('waybill.deliveries'::regclass))) seen
  left join waybill.lanes l on l.state <> 'closed'
  left join lateral (select x.delta, x.after from waybill.positions x where x.lane_id = l.id order by x.n desc limit 1) p on true
  -- offset 0: a probe for each lane, also where statistics are old
  left join lateral (select * from waybill.deltas y where y.lane_id = l.id and y.n = p.delta offset 0) t on true
  left join lateral (
    select case when p.after >= t.ceiling
                then least(t.to_floor, (select min(coalesce(r.floor, t.from_floor))
                                          from pg_snapshot_xip(t.to_snapshot) x(xid)
                                          left join unnest(t.running, t.running_floors) r(xid, floor) on r.xid = x.xid))
                else least(p.after, t.from_floor, (select min(r) from unnest(t.running_floors) r))
           end as floor
     where t.n is not null) f on true
  left join lateral (select * from waybill.lane_cursor y where y.lane_id = l.id offset 0) c on true
  left join lateral (select d.seq from waybill.deliveries d where d.lane_id = l.id order by d.seq limit 1) parked on true
 order by l.id
