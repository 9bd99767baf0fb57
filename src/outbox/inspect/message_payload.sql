-- message_payload($1 id uuid): payload and headers as they were published. Takes the right to read them.
select m.payload::text as payload, m.headers::text as headers from waybill.messages m where m.id = $1::uuid
union all
select s.payload::text, s.headers::text from waybill.scheduled s where s.id = $1::uuid
limit 1
