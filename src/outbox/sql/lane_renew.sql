-- A holder starts again from what is stored. A commit of before, whose session was hung up on, may still be on its way: it is
-- waited for where it has the row, and from then on its epoch is a former one.
--   $1 int     lane
--   $2 bigint  its epoch as the holder knows it: the answer to an earlier call may have been lost, or a failover put an older one back
--   $3 uuid    holder, drawn for one acquisition
--   $4 uuid    nonce of the incarnation
-- Gives the new epoch, null when the lane is another's; and whether this is that incarnation.
with here as (select from waybill.incarnation i where i.nonce = $4::uuid),
renewed as (
  update waybill.lanes l set epoch = greatest(l.epoch, $2::bigint) + 1
   where l.id = $1::int and l.holder = $3::uuid and l.state <> 'closed' and exists (select from here)
  returning l.epoch::text
)
select (select r.epoch from renewed r) as epoch, exists (select from here) as here
