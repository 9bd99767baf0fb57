import type pg from 'pg'

/** The nonce of the server that `pool` is connected to; drawn, as a dispatcher's heartbeat does, where there is none. */
export async function nonceOf(pool: Pick<pg.Pool, 'query'>): Promise<string> {
  await pool.query('insert into waybill.incarnation (nonce) values (gen_random_uuid()) on conflict do nothing')
  const { rows } = await pool.query<{ nonce: string }>('select i.nonce::text as nonce from waybill.incarnation i')
  return rows[0]?.nonce as string
}
