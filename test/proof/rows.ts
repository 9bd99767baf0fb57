import { withClient } from '../support/with-client.js'

const batch = 10_000

/** Visits the rows of a query without having all of them in memory. */
export async function eachRow<Row extends object>(url: string, sql: string, visit: (row: Row) => void): Promise<void> {
  await withClient(url, async (client) => {
    await client.query(`begin read only; declare all_rows no scroll cursor for ${sql}`)
    for (;;) {
      const { rows } = await client.query<Row>(`fetch ${batch} from all_rows`)
      rows.forEach(visit)
      if (rows.length < batch) return
    }
  })
}
