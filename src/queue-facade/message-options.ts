import { validate as isUuid, v7 as uuidV7 } from 'uuid'
import { parseDuration } from '../core/duration.js'
import { messageOf, type Problem } from '../core/errors.js'
import { headerName, maxHeaders, maxKeyBytes } from '../core/message-syntax.js'
import { activeTraceHeaders } from '../core/open-telemetry.js'
import { shapeOf } from '../core/shape.js'
import type { LogMessage } from '../outbox/publish.js'
import type { MessageOptions } from './options.js'
import { pathText } from './path-text.js'

const maxDedupeKeyBytes = 512
// control characters (C0, DEL, C1); half a surrogate pair would become U+FFFD on the wire, and two keys one
const unsafeText = /[\p{Control}\p{Surrogate}]/u
/** A hundred years: what is later is a mistake in the unit. */
const maxDurationMs = 100 * 365.25 * 86_400_000
const knownOptions: ReadonlySet<string> = new Set([
  ...['topic', 'payload', 'tx', 'key', 'keyLock', 'headers', 'id', 'delay', 'at', 'dedupeKey', 'dedupeWindow', 'to'],
])

/** A message whose topic and payload are still to be filled in: all of it is one object, of one shape. */
export type CheckedOptions = LogMessage & { topic: string; payload: string }

/** Checks the options of one message and adds what has a default. Problems go to `problems`, with paths below `path`. */
export function checkOptions(
  options: MessageOptions,
  path: readonly PropertyKey[],
  problems: Problem[],
): CheckedOptions {
  const report = (field: PropertyKey[], message: string): void => {
    problems.push({ path: pathText([...path, ...field]), message })
  }
  const { key, id, delay, at, dedupeKey, dedupeWindow, keyLock, to } = options
  for (const name of Object.keys(options)) if (!knownOptions.has(name)) report([name], 'is not an option of a message')

  if (key !== undefined && key !== null) checkText(key, 'key', maxKeyBytes, report)
  if (dedupeKey !== undefined) checkText(dedupeKey, 'dedupeKey', maxDedupeKeyBytes, report)
  if (id !== undefined && !isUuid(id)) report(['id'], `is ${shapeOf(id)}, not a uuid; leave it out to have one drawn`)
  if (keyLock !== undefined && typeof keyLock !== 'boolean')
    report(['keyLock'], `is ${shapeOf(keyLock)}; give true or false`)
  if (keyLock === true && (key === undefined || key === null))
    report(['keyLock'], 'locks the key, and there is none; give a key')
  if (delay !== undefined && at !== undefined) report(['at'], 'excludes delay; give one of them')
  if (dedupeWindow !== undefined && dedupeKey === undefined) report(['dedupeWindow'], 'needs a dedupeKey')
  if (at !== undefined) checkTime(at, report)

  return {
    id: id ?? uuidV7(),
    topic: '',
    payload: '',
    key: key ?? null,
    headers: checkHeaders(options.headers, report),
    // copies of what the caller may change before the statement is sent
    at: at === undefined ? null : copyOf(at),
    delayMs: delay === undefined ? null : checkDuration(delay, 'delay', report),
    dedupeKey: dedupeKey ?? null,
    dedupeWindowMs: dedupeWindow === undefined ? null : checkDuration(dedupeWindow, 'dedupeWindow', report),
    destinations: to === undefined ? null : checkDestinations(to, report),
    keyLock: keyLock ?? false,
  }
}

type Report = (field: PropertyKey[], message: string) => void

function checkText(value: unknown, field: string, maxBytes: number, report: Report): void {
  const wrong = (what: string): void =>
    report([field], `${what}; give 1 to ${maxBytes} bytes of text without control characters`)
  if (typeof value !== 'string' || value === '') return wrong(`is ${shapeOf(value)}`)
  const bytes = Buffer.byteLength(value)
  if (bytes > maxBytes) wrong(`has ${bytes} bytes`)
  else if (unsafeText.test(value)) wrong('has a control character or half a surrogate pair')
}

function copyOf(at: Date): Date {
  return at instanceof Date ? new Date(at) : at
}

function checkTime(at: unknown, report: Report): void {
  if (!(at instanceof Date) || Number.isNaN(at.getTime())) return report(['at'], `is ${shapeOf(at)}; give a valid Date`)
  const year = at.getUTCFullYear()
  if (year < 1 || year > 9999) report(['at'], 'is outside the years 1 to 9999')
}

function checkDuration(value: unknown, field: string, report: Report): number | null {
  if (typeof value !== 'number' && typeof value !== 'string') {
    report([field], `is ${shapeOf(value)}; give milliseconds or text such as "30s", "5m", "2h", "7d"`)
    return null
  }
  try {
    const ms = parseDuration(value, field)
    if (ms <= maxDurationMs) return ms
    report([field], 'is more than 100 years')
  } catch (error) {
    report([field], messageOf(error).replace(`${field}: `, ''))
  }
  return null
}

function checkDestinations(to: unknown, report: Report): readonly string[] {
  if (!Array.isArray(to) || to.length === 0) {
    report(['to'], `is ${shapeOf(to)}; name at least one destination, or leave it out to use the routes`)
    return []
  }
  to.forEach((name: unknown, index) => {
    if (typeof name !== 'string' || name === '' || unsafeText.test(name))
      report(['to', index], `is ${shapeOf(name)}; give a destination's name`)
  })
  return [...(to as string[])]
}

/** JSON text of the headers, lower-cased, with the trace context; null when there are none. */
function checkHeaders(given: unknown, report: Report): string | null {
  const trace = activeTraceHeaders()
  if (given === undefined) return trace === undefined ? null : JSON.stringify(trace)
  if (
    typeof given !== 'object' ||
    given === null ||
    Array.isArray(given) ||
    typeof (given as Headers).entries === 'function'
  ) {
    report(['headers'], `is ${shapeOf(given)}; give an object of strings`)
    return null
  }
  const headers = new Map<string, string>()
  for (const [name, value] of Object.entries(given) as [string, unknown][]) {
    const lower = name.toLowerCase()
    if (!headerName.test(lower))
      report(['headers', name], "is not a header name; use up to 128 letters, digits and !#$%&'*+.^_`|~-")
    else if (headers.has(lower)) report(['headers', name], 'is given twice: names are lower-cased')
    else if (typeof value !== 'string') report(['headers', name], `is ${shapeOf(value)}; give a string`)
    else if (unsafeText.test(value))
      report(['headers', name], 'has a control character or half a surrogate pair; remove or encode it')
    else headers.set(lower, value)
  }
  // a tracestate belongs to its own traceparent
  if (trace !== undefined && !headers.has('traceparent')) {
    headers.set('traceparent', trace.traceparent)
    headers.delete('tracestate')
    if (trace.tracestate !== undefined) headers.set('tracestate', trace.tracestate)
  }
  if (headers.size > maxHeaders) report(['headers'], `are ${headers.size}; give up to ${maxHeaders}`)
  return headers.size === 0 ? null : JSON.stringify(Object.fromEntries(headers))
}
