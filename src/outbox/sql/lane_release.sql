-- Gives lanes back, so that others need not wait for the lease to end.
--   $1 int[]  lanes
--   $2 uuid   the dispatcher
--   $3 uuid[] holders: only lanes still held by these
update waybill.lanes l
   set holder = null, dispatcher = null
 where l.id = any($1::int[]) and l.dispatcher = $2::uuid and l.holder = any($3::uuid[])
