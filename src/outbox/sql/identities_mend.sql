-- Sets the sequences of identity columns past what their tables hold: logical replication brings rows and no sequences.
select setval(s.name::regclass, s.greatest)
  from (select pg_get_serial_sequence('waybill.lanes', 'id') as name, (select max(x.id) from waybill.lanes x) as greatest
        union all
        select pg_get_serial_sequence('waybill.audit', 'id'), (select max(x.id) from waybill.audit x)
        union all
        select pg_get_serial_sequence('waybill.reshards', 'id'), (select max(x.id) from waybill.reshards x)) s
 where s.greatest > coalesce(pg_sequence_last_value(s.name::regclass), 0)
