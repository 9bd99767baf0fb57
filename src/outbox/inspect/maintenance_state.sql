-- maintenance_state(): whether maintenance has ever run, and whether there is anything for it to do.
select m.passes::float8 as passes, exists (select from waybill.messages x where x.seq > 0) as used from waybill.maintenance m
