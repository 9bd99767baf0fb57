import { randomBytes } from 'node:crypto'
import { inject } from 'vitest'
import { services } from '../../scripts/services/registry.js'
import type { ServiceName } from '../../scripts/services/types.js'
import { managementVariable, type ServiceUrls } from '../../scripts/services/urls.js'

/** The PostgreSQL servers that tests can ask for. */
export type PostgresServer = 'pg18' | 'pg15'

declare module 'vitest' {
  interface ProvidedContext {
    serviceUrls: ServiceUrls
    templates: Partial<Record<PostgresServer, string>>
  }
}

/** Where a service listens. A test whose service is missing fails here: it never skips. */
export function serviceUrl(name: ServiceName | 'management'): string {
  const url = inject('serviceUrls')[name]
  if (url === undefined) {
    const variable = name === 'management' ? managementVariable : services[name].variable
    throw new Error(`no ${name}: set ${variable}, or leave the variables of its server unset to have one started`)
  }
  return url
}

/** A name that no other test, file or run uses. */
export function uniqueName(prefix: string): string {
  return `${prefix}_${randomBytes(6).toString('hex')}`
}
