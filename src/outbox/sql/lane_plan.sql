-- What a lane may do after its position: whether it is to close, and the deltas that were planned for it.
--   $1 int     lane
--   $2 bigint  n of the delta that its position names: earlier plans were carried out
--   $3 uuid    nonce of the incarnation
-- Gives one row for each planned delta, or one with n null; no row at all on another incarnation, and where rows are hidden.
select l.state = 'closing' as closing, l.state = 'paused' as paused, d.n::text, d.from_snapshot::text, d.from_floor::text,
       d.running::text[], d.running_floors::text[], d.to_snapshot::text, d.to_floor::text, d.ceiling::text, d.generation
  from waybill.incarnation i
  left join waybill.lanes l on l.id = $1::int
  left join waybill.planned_deltas d on d.lane_id = l.id and d.n > $2::bigint
 where i.nonce = $3::uuid
   and not (row_security_active('waybill.lanes'::regclass) or row_security_active('waybill.planned_deltas'::regclass))
 order by d.n
