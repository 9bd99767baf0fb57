-- The last stored position of a lane and its delta.
--   $1 int  lane
select p.n::text, p.after::text, p.delivered::text, d.n::text as delta, d.from_snapshot::text, d.from_floor::text,
       d.running::text[], d.running_floors::text[], d.to_snapshot::text, d.to_floor::text, d.ceiling::text, d.generation
  from (select * from waybill.positions x where x.lane_id = $1::int order by x.n desc limit 1) p
  join waybill.deltas d on d.lane_id = $1::int and d.n = p.delta
