import { pino, stdTimeFunctions, type DestinationStream } from 'pino'

/** The least of a pino logger that Waybill uses, so that pino or anything alike can be passed in. */
export interface Logger {
  debug(fields: object, message?: string): void
  info(fields: object, message?: string): void
  warn(fields: object, message?: string): void
  error(fields: object, message?: string): void
  /** A logger that adds `fields` to every line. */
  child(fields: Record<string, unknown>): Logger
}

export interface LoggerOptions {
  /** Least severe level that is written. Default `info`. */
  readonly level?: 'debug' | 'info' | 'warn' | 'error' | 'silent' | undefined
  /** Where lines go. Default: standard output. */
  readonly destination?: DestinationStream | undefined
}

const hiddenNames = [
  'password',
  'passphrase',
  'secret',
  'secrets',
  'token',
  'authorization',
  'cookie',
  'url',
  'directUrl',
  'connectionString',
  'payload',
]

/** At the top, and one and two levels below: as deep as any line of ours goes. */
const hiddenPaths = hiddenNames.flatMap((name) => [name, `*.${name}`, `*.*.${name}`])

/**
 * JSON lines with ISO times and `service: "waybill"`. Fields called like a secret, a URL or a payload are written as
 * `[redacted]`: a second line of defence, since no line of Waybill's has them.
 */
export function createLogger({ level = 'info', destination }: LoggerOptions = {}): Logger {
  const options = {
    level,
    base: { service: 'waybill' },
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    redact: { paths: hiddenPaths, censor: '[redacted]' },
  }
  return destination ? pino(options, destination) : pino(options)
}

const nothing = (): void => undefined

/** Writes nothing: for tests, and for applications that want no log. */
export const silentLogger: Logger = {
  debug: nothing,
  info: nothing,
  warn: nothing,
  error: nothing,
  child: () => silentLogger,
}
