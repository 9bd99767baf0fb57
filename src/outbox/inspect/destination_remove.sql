-- destination_remove($1 name text): a destination and all that is its own. Table by table, although they refer to each other
-- with `on delete cascade`: where session_replication_role is replica nothing cascades, and a destination that comes back
-- under the name would find barriers and routes of the old one.
with own as (select l.id from waybill.lanes l where l.destination = $1::text),
positions as (delete from waybill.positions x using own o where x.lane_id = o.id),
deltas as (delete from waybill.deltas x using own o where x.lane_id = o.id),
planned as (delete from waybill.planned_deltas x using own o where x.lane_id = o.id),
parked as (delete from waybill.deliveries x using own o where x.lane_id = o.id),
dropped as (delete from waybill.dropped x using own o where x.lane_id = o.id),
lanes as (delete from waybill.lanes l where l.destination = $1::text),
barriers as (delete from waybill.barriers b where b.destination = $1::text),
reshards as (delete from waybill.reshards r where r.destination = $1::text),
routes as (delete from waybill.routes r where r.destination = $1::text)
delete from waybill.destinations d where d.name = $1::text
