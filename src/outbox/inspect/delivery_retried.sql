-- delivery_retried(): how many parked deliveries will be tried again by themselves, and the milliseconds until the first.
-- What is held counts unless a dead one of its key is in front of it.
select count(*)::float8 as n, (extract(epoch from min(d.next_attempt_at) - clock_timestamp()) * 1000)::float8 as due
  from waybill.deliveries d
  join waybill.destinations x on x.name = d.destination and x.configured
  -- grouped once: asked for each that is held, they were all of the lane's rows each time
  left join (select b.lane_id, b.key, min(b.seq) as seq from waybill.deliveries b where b.state = 'dead' group by b.lane_id, b.key) dead
    on dead.lane_id = d.lane_id and dead.key = d.key and dead.seq < d.seq and x.on_dead = 'hold'
 where d.state in ('retrying', 'in_flight') or (d.state = 'held' and dead.seq is null)
