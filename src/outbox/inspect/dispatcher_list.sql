-- dispatcher_list(): dispatchers seen within one and a half of their leases.
select d.name, d.host, d.version, d.generation, (select max(c.generation) from waybill.configurations c) as deployed
  from waybill.dispatchers d
 where d.seen_at >= clock_timestamp() - d.lease_ms * interval '1.5 ms'
 order by d.name
