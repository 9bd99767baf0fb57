import pg from 'pg'
import { serveSide } from '../lib/side.js'

/** The outbox that one writes by hand: claim, deliver (here: nowhere), delete, commit. At least once, like the others. */
await serveSide<{ url: string; messages: number; batch: number }>(async ({ url, batch }) => {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  const claim = {
    name: 'claim',
    text: `select seq, id, topic, key, payload::text, headers::text, created_at from outbox
            order by seq limit $1::int for update skip locked`,
    values: [batch],
  }
  return {
    async run() {
      let messages = 0
      for (;;) {
        // sent together: one round trip
        const [, { rows }] = await Promise.all([client.query('begin'), client.query<{ seq: string }>(claim)])
        if (rows.length > 0) {
          const gone = { name: 'delete', text: 'delete from outbox where seq = any($1::bigint[])' }
          void client.query({ ...gone, values: [rows.map(({ seq }) => seq)] })
        }
        await client.query('commit')
        messages += rows.length
        if (rows.length === 0) return { messages }
      }
    },
    close: () => client.end(),
  }
})
