-- Writes down that a lane waits for the stand-by, or that it waits no more. A pause of another kind stands: it says more
-- of what is to be done. Changes a row only where that changes what it says.
--   $1 int  lane, $2 bigint  epoch, $3 uuid  holder: the fence
--   $4 text  why it waits; null: it waits no more
update waybill.lanes l
   set state = case when l.state = 'closing' then 'closing' when $4::text is null then 'active' else 'paused' end,
       pause_kind = case when $4::text is not null then 'standby' end, pause_reason = left($4::text, 2000),
       paused_at = case when $4::text is not null then coalesce(l.paused_at, clock_timestamp()) end
 where l.id = $1::int and l.epoch = $2::bigint and l.holder = $3::uuid and l.state <> 'closed'
   and case when $4::text is null then l.pause_kind = 'standby'
            else l.pause_kind is null or (l.pause_kind = 'standby' and l.pause_reason is distinct from left($4::text, 2000))
       end
