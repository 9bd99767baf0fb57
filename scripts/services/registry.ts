import { kafka } from './kafka.js'
import { pg15 } from './pg15.js'
import { pg18 } from './pg18.js'
import { pgbouncer } from './pgbouncer.js'
import { rabbitmq } from './rabbitmq.js'
import type { Service, ServiceName } from './types.js'

/** Every service, in the order in which they are listed. */
export const services: Readonly<Record<ServiceName, Service>> = {
  pg18,
  pg15,
  pgbouncer18: pgbouncer({
    name: 'pgbouncer18',
    after: 'pg18',
    variable: 'WAYBILL_TEST_PGBOUNCER_URL',
    standardPort: 6432,
  }),
  pgbouncer15: pgbouncer({
    name: 'pgbouncer15',
    after: 'pg15',
    variable: 'WAYBILL_TEST_PGBOUNCER15_URL',
    standardPort: 6433,
  }),
  rabbitmq,
  kafka,
}

/** The names asked for, and whatever those stand on. */
export function withUpstreams(names: readonly ServiceName[]): ServiceName[] {
  const all = new Set<ServiceName>()
  for (const name of names) {
    const { after } = services[name]
    if (after !== undefined) all.add(after)
    all.add(name)
  }
  return [...all]
}
