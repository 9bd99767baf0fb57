-- What operators dropped of a lane: its cursor may still lie before some of it.
--   $1 int  lane
select d.seq::text, d.message_id from waybill.dropped d where d.lane_id = $1::int
