import type pg from 'pg'
import { WaybillError } from '../core/errors.js'

/** @throws WaybillError `WAYBILL_NOT_FOUND`: an empty answer for a misspelt name would look like good news. */
export async function requireDestination(pool: pg.Pool, name: string): Promise<void> {
  const { destinationNames } = await import('../app/inspect.js')
  const known = await destinationNames(pool)
  if (known.includes(name)) return
  const list = known.length === 0 ? 'none is deployed yet' : `deployed are: ${known.join(', ')}`
  throw new WaybillError('WAYBILL_NOT_FOUND', `no destination is called ${JSON.stringify(name)}; ${list}`)
}
