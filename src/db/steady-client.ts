import pg from 'pg'
import { databaseUrlProblem, urlForPg } from '../core/database-url.js'
import { InputError } from '../core/errors.js'

/** What pg sends first; a method of its client's that its types leave out. */
interface Starting {
  getStartupConf(): Record<string, string>
}

/**
 * A client for Waybill's own sessions, in which dates and times come in the form that pg reads, whatever DateStyle its
 * database or its user has: in any other form pg takes `03.12.2026 10:00:00 CET` for no date, or for another one, and
 * names of zones mean different zones to different servers. Sent with the first packet, so it costs nothing and holds
 * through poolers: PgBouncer and its like keep DateStyle for each client (they refuse most other settings there). Where
 * other settings could change a result, the statements themselves are written so that they do not.
 * @throws InputError WAYBILL_CONFIG_INVALID for a connection string that is no PostgreSQL URL
 */
export class SteadyClient extends pg.Client {
  constructor(config: pg.ClientConfig) {
    const { connectionString } = config
    super(connectionString === undefined ? config : { ...config, connectionString: checkedUrl(connectionString) })
  }

  getStartupConf(): Record<string, string> {
    const base = Object.getPrototypeOf(SteadyClient.prototype) as Starting
    return { ...base.getStartupConf.call(this), DateStyle: 'ISO, MDY' }
  }
}

/**
 * The URL as pg is to get it.
 * @throws InputError WAYBILL_CONFIG_INVALID, which shows nothing of what was given
 */
export function checkedUrl(connectionString: string): string {
  const message = databaseUrlProblem(connectionString)
  if (message === undefined) return urlForPg(connectionString)
  throw new InputError('WAYBILL_CONFIG_INVALID', "the database's URL is not usable:", [
    { path: 'connectionString', message },
  ])
}
