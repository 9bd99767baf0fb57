-- What a lane may do after its position: whether it is to close, and the deltas that were planned for it.
--   $1 int     lane
--   $2 bigint  n of the delta that its position names: earlier plans were carried out
-- Gives one row for each planned delta, or one with n null.
select l.state = 'closing' as closing, d.n::text, d.from_snapshot::text, d.from_floor::text, d.running::text[],
       d.running_floors::text[], d.to_snapshot::text, d.to_floor::text, d.ceiling::text, d.generation
  from waybill.lanes l
  left join waybill.planned_deltas d on d.lane_id = l.id and d.n > $2::bigint
 where l.id = $1::int
 order by d.n
