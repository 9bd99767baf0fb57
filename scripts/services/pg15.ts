import { probePostgres, startPostgres } from './postgres.js'
import type { Service } from './types.js'

const bin = '/usr/lib/postgresql/15/bin'

/** PostgreSQL 15 from Debian, on a data directory of our own; Debian's cluster `main` is left alone. */
export const pg15: Service = {
  name: 'pg15',
  needs: [
    { label: 'PostgreSQL 15', debianPackage: 'postgresql-15', program: `${bin}/postgres` },
    // no part of PostgreSQL: what reads our metrics in the tests
    { label: 'promtool', debianPackage: 'prometheus', program: 'promtool', optional: true },
  ],
  variable: 'WAYBILL_TEST_PG15_URL',
  readyWithinMs: 60_000,
  stopSignal: 'SIGINT',
  start: (context) => startPostgres('pg15', context, { bin, standardPort: 5433 }),
  probe: probePostgres,
}
