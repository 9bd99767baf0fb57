-- receipt_list($1 message uuid): proofs of delivery, oldest first.
select r.at, r.destination, r.attempt, r.duration_ms as "durationMs", r.receipt
  from waybill.receipts r where r.message_id = $1::uuid order by r.at, r.destination
