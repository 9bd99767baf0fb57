-- Takes a lane that nobody holds, or whose holder was watched and did not move for a whole lease. The position is read
-- in a later statement: in one, a taker that waited for the old holder's commit would read the old position.
--   $1 int   lane
--   $2 bigint  epoch as it was seen
--   $3 uuid  holder as it was seen, or null
--   $4 uuid  the new holder, drawn for this acquisition
--   $5 uuid  the dispatcher
--   $6 uuid  nonce of the incarnation
--   $7 int   generation of the dispatcher's configuration: where a newer one is deployed it takes nothing
-- Gives the new epoch; no row when somebody was quicker.
update waybill.lanes l
   set epoch = l.epoch + 1, holder = $4::uuid, dispatcher = $5::uuid, acquired_at = clock_timestamp()
 where l.id = $1::int and l.epoch = $2::bigint and l.holder is not distinct from $3::uuid and l.state <> 'closed'
   and exists (select from waybill.incarnation i where i.nonce = $6::uuid)
   and not exists (select from waybill.configurations c where c.generation > $7::int)
returning l.epoch::text
