-- lane_list($1 destination text): every open lane, how far behind it is, who holds it, and how fast it goes. Null: all.
--   rate        deliveries a second over the last minute, from the lane's last 100 positions at most; null before the first
--   holderGone  its dispatcher has not been seen for one and a half of its leases
select s.lane_id as "laneId", s.destination, s.shard, s.shards, d.kind, d.configured, s.state,
       s.pause_kind as "pauseKind", s.pause_reason as "pauseReason", s.paused_at as "pausedAt",
       s.dispatcher, s.dispatcher_id as "dispatcherId", s.dispatcher_seen_at as "dispatcherSeenAt",
       s.dispatcher_id is null or x.id is null
         or x.seen_at < clock_timestamp() - x.lease_ms * interval '1.5 ms' as "holderGone",
       to_json(s.delivered) as delivered, s.committed_at as "committedAt",
       to_json(s.lag_messages) as "lagMessages", s.lag_seconds as "lagSeconds",
       s.retrying::float8 as retrying, s.held::float8 as held, s.dead::float8 as dead, s.in_flight::float8 as "inFlight",
       s.held_keys::float8 as "heldKeys", s.oldest_parked_at as "oldestParkedAt", r.rate
  from waybill.lane_status s
  join waybill.destinations d on d.name = s.destination
  left join waybill.dispatchers x on x.id = s.dispatcher_id
  left join lateral (
    select case when last.committed_at < clock_timestamp() - interval '1 minute' then 0
                else (last.delivered - base.delivered)
                     / greatest(extract(epoch from clock_timestamp() - greatest(base.committed_at, clock_timestamp() - interval '1 minute')), 1)
           end::float8 as rate
      from (select p.n, p.delivered, p.committed_at from waybill.positions p
             where p.lane_id = s.lane_id order by p.n desc limit 1) last
     cross join lateral (
       select b.delivered, b.committed_at
         from (select p.n, p.delivered, p.committed_at from waybill.positions p
                where p.lane_id = s.lane_id order by p.n desc limit 100) b
        order by (b.committed_at <= clock_timestamp() - interval '1 minute') desc,
                 case when b.committed_at <= clock_timestamp() - interval '1 minute' then -b.n else b.n end
        limit 1) base) r on true
 where $1::text is null or s.destination = $1::text
 order by s.destination, s.shards, s.shard
