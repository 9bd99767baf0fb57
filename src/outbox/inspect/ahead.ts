import type pg from 'pg'

/** Destinations to which a message is not sent yet, and where it is not parked either: `drop` gets their lanes past it. */
export async function listAhead(db: pg.Pool, message: string, destination: string | undefined): Promise<string[]> {
  const { rows } = await db.query<{ destination: string }>(
    `select distinct b.destination from waybill.lanes_before($1::uuid, $2::text) b
      where not exists (select from waybill.deliveries d
                         where d.destination = b.destination and d.seq = b.seq and d.message_id = $1::uuid)
        and not exists (select from waybill.dropped g
                         where g.lane_id = b.lane_id and g.seq = b.seq and g.message_id = $1::uuid)
      order by 1`,
    [message, destination ?? null],
  )
  return rows.map((row) => row.destination)
}
