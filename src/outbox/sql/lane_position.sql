-- The last stored position of a lane and its delta.
--   $1 int   lane
--   $2 uuid  nonce of the incarnation; null: whoever asks has locked the lane's row, and so is where it is written
-- Gives one row with n null where there is none; no row at all on another incarnation, and where rows are hidden.
select p.n::text, p.after::text, p.delivered::text, d.n::text as delta, d.from_snapshot::text, d.from_floor::text,
       d.running::text[], d.running_floors::text[], d.to_snapshot::text, d.to_floor::text, d.ceiling::text, d.generation
  from (select where ($2::uuid is null or exists (select from waybill.incarnation i where i.nonce = $2::uuid))
                 and not (row_security_active('waybill.positions'::regclass) or row_security_active('waybill.deltas'::regclass)
                          or row_security_active('waybill.messages'::regclass))) seen
  left join (select * from waybill.positions x where x.lane_id = $1::int order by x.n desc limit 1) p on true
  left join waybill.deltas d on d.lane_id = $1::int and d.n = p.delta
