import { checkNesting } from './check-nesting.js'
import { type Environment, readVariable, Secret } from './destinations/secret.js'

/** An environment variable that stands in for a key which the configuration file leaves out. */
export interface Variable {
  readonly name: string
  readonly path: readonly [string, string] | readonly [string]
  readonly type: 'secret' | 'text' | 'number' | 'boolean'
}

/**
 * What can be set without a file. The file wins where it says something; an empty variable counts as not set, `0` and
 * `false` are values. Booleans are `true`/`false`, `1`/`0`, `yes`/`no`, `on`/`off`. `WAYBILL_CONFIG` names the file.
 */
export const variables: readonly Variable[] = [
  { name: 'WAYBILL_DATABASE_URL', path: ['database', 'url'], type: 'secret' },
  { name: 'WAYBILL_DIRECT_URL', path: ['database', 'directUrl'], type: 'secret' },
  { name: 'WAYBILL_POOL_SIZE', path: ['database', 'poolSize'], type: 'number' },
  { name: 'WAYBILL_GENERATION', path: ['generation'], type: 'number' },
  { name: 'WAYBILL_DISPATCHER_NAME', path: ['dispatcher', 'name'], type: 'text' },
  { name: 'WAYBILL_LEASE_MS', path: ['dispatcher', 'leaseMs'], type: 'number' },
  { name: 'WAYBILL_PAGE_SIZE', path: ['dispatcher', 'pageSize'], type: 'number' },
  { name: 'WAYBILL_LISTEN', path: ['dispatcher', 'listen'], type: 'boolean' },
  { name: 'WAYBILL_DRAIN_MS', path: ['dispatcher', 'drainMs'], type: 'number' },
  { name: 'WAYBILL_MAINTENANCE', path: ['dispatcher', 'maintenance'], type: 'boolean' },
  { name: 'WAYBILL_RETENTION', path: ['retention'], type: 'text' },
  { name: 'WAYBILL_MAX_HOLD', path: ['maxHold'], type: 'text' },
  { name: 'WAYBILL_MAX_PAYLOAD_BYTES', path: ['publish', 'maxPayloadBytes'], type: 'number' },
  { name: 'WAYBILL_LOG_LEVEL', path: ['log', 'level'], type: 'text' },
]

export interface Overlaid {
  /** The configuration with the variables that applied filled in; `raw` itself is left alone. */
  readonly config: unknown
  /** Which variable gave the value at a dotted path, for messages. */
  readonly from: ReadonlyMap<string, string>
}

/** Fills keys that `raw` leaves out from the environment. What a variable holds is judged by the schema, like the rest. */
export function overlayVariables(raw: unknown, environment: Environment): Overlaid {
  checkNesting(raw)
  const from = new Map<string, string>()
  if (!isRecord(raw)) return { config: raw, from }
  const config: Record<string, unknown> = { ...raw }
  for (const variable of variables) {
    const value = readVariable(environment, variable.name)
    if (value === undefined) continue
    const [section, key] = variable.path
    if (key === undefined) {
      if (config[section] !== undefined) continue
      config[section] = typed(value, variable.type)
    } else {
      const current = config[section] ?? {}
      // a section that is not an object is a problem of its own, told by the schema
      if (!isRecord(current) || current[key] !== undefined) continue
      config[section] = { ...current, [key]: typed(value, variable.type) }
    }
    from.set(variable.path.join('.'), variable.name)
  }
  return { config, from }
}

const booleans = new Map([
  ...['true', '1', 'yes', 'on'].map((word) => [word, true] as const),
  ...['false', '0', 'no', 'off'].map((word) => [word, false] as const),
])

/** Text that is not of the type stays text, and the schema refuses it. */
function typed(value: string, type: Variable['type']): unknown {
  switch (type) {
    case 'secret':
      return new Secret(value)
    case 'number':
      return /^-?\d+(\.\d+)?$/.test(value.trim()) ? Number(value) : value
    case 'boolean':
      return booleans.get(value.trim().toLowerCase()) ?? value
    case 'text':
      return value
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
