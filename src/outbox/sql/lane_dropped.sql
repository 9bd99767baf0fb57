-- What operators dropped of a lane: its cursor may still lie before some of it.
--   $1 int   lane
--   $2 uuid  nonce of the incarnation
-- Gives one row with seq null where there is nothing; no row at all on another incarnation, and where rows are hidden.
select d.seq::text, d.message_id
  from waybill.incarnation i
  left join waybill.dropped d on d.lane_id = $1::int
 where i.nonce = $2::uuid and not row_security_active('waybill.dropped'::regclass)
