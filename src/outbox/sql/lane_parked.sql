-- The parked deliveries of a lane, in seq order.
--   $1 int  lane
--   $2 int  rows at most
select d.seq::text, d.message_id, d.topic, d.key, d.state, d.attempt, d.error_code,
       greatest(0, extract(epoch from d.next_attempt_at - clock_timestamp()) * 1000)::float8 as due_in_ms
  from waybill.deliveries d
 where d.lane_id = $1::int
 order by d.seq, d.message_id
 limit $2::int
