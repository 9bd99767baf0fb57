-- delivery_retried(): how many parked deliveries will be tried again by themselves, and the milliseconds until the first.
-- What is held counts unless a dead one of its key is in front of it.
select count(*)::float8 as n, (extract(epoch from min(d.next_attempt_at) - clock_timestamp()) * 1000)::float8 as due
  from waybill.deliveries d
  join waybill.destinations x on x.name = d.destination and x.configured
 where d.state in ('retrying', 'in_flight')
    or (d.state = 'held' and not exists (
          select from waybill.deliveries b
           where b.lane_id = d.lane_id and b.key = d.key and b.seq < d.seq and b.state = 'dead' and x.on_dead = 'hold'))
