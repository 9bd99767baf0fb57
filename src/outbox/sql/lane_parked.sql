-- The parked deliveries of a lane, in seq order. All of them: one that the lane does not know of would not hold its key.
--   $1 int  lane
select d.seq::text, d.message_id, d.topic, d.key, d.state, d.attempt, d.error_code,
       greatest(0, extract(epoch from d.next_attempt_at - clock_timestamp()) * 1000)::float8 as due_in_ms
  from waybill.deliveries d
 where d.lane_id = $1::int
 order by d.seq, d.message_id
