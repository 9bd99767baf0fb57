-- The parked deliveries of a lane, in seq order. All of them: one that the lane does not know of would not hold its key.
--   $1 int   lane
--   $2 uuid  nonce of the incarnation
-- Gives one row with seq null where there is none; no row at all on another incarnation, and where rows are hidden.
select d.seq::text, d.message_id, d.topic, d.key, d.state, d.attempt, d.error_code,
       greatest(0, extract(epoch from d.next_attempt_at - clock_timestamp()) * 1000)::float8 as due_in_ms
  from waybill.incarnation i
  left join waybill.deliveries d on d.lane_id = $1::int
 where i.nonce = $2::uuid and not row_security_active('waybill.deliveries'::regclass)
 order by d.seq, d.message_id
