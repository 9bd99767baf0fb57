-- Writes down that a lane waits, for the stand-by or until it is shown all rows, or that it waits no more. A pause of another kind
-- stands: it says more of what is to be done; but where rows are hidden nothing else has a meaning. Changes a row only where
-- that changes what it says.
--   $1 int  lane, $2 bigint  epoch, $3 uuid  holder: the fence
--   $4 text  kind: standby, hidden
--   $5 text  why it waits; null: it waits no more
update waybill.lanes l
   set state = case when l.state = 'closing' then 'closing' when $5::text is null then 'active' else 'paused' end,
       pause_kind = case when $5::text is not null then $4::text end, pause_reason = left($5::text, 2000),
       paused_at = case when $5::text is not null then coalesce(l.paused_at, clock_timestamp()) end
 where l.id = $1::int and l.epoch = $2::bigint and l.holder = $3::uuid and l.state <> 'closed'
   and case when $5::text is null then l.pause_kind = $4::text
            when l.pause_kind = $4::text then l.pause_reason is distinct from left($5::text, 2000)
            else l.pause_kind is null or $4::text = 'hidden'
       end
