-- Writes down that a lane paused, or that it goes on. Once for each change, not for each probe. A lane that closes goes
-- on closing.
--   $1 int  lane, $2 bigint  epoch, $3 uuid  holder: the fence
--   $4 text  kind: outage, throttled, misconfigured, parked_limit, standby; null: active again
--   $5 text  reason
update waybill.lanes l
   set state = case when l.state = 'closing' then 'closing' when $4::text is null then 'active' else 'paused' end,
       pause_kind = $4::text, pause_reason = left($5::text, 2000),
       paused_at = case when $4::text is null then null else coalesce(l.paused_at, clock_timestamp()) end
 where l.id = $1::int and l.epoch = $2::bigint and l.holder = $3::uuid and l.state <> 'closed'
