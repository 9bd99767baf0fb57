import { inspect } from 'node:util'
import { z } from 'zod'

export const redacted = '[redacted]'

/**
 * A value that must not be seen: a password, a token, a signing key, a URL that carries one. Printing, logging or
 * serialising it gives `[redacted]`; only `reveal` gives the text.
 */
export class Secret {
  readonly #value: string

  constructor(value: string) {
    this.#value = value
  }

  /** The text itself, for the one place that sends it. */
  reveal(): string {
    return this.#value
  }

  toString(): string {
    return redacted
  }

  toJSON(): string {
    return redacted
  }

  [Symbol.toPrimitive](): string {
    return redacted
  }

  [inspect.custom](): string {
    return redacted
  }
}

/** Shared over copies of this package: a configuration file may have loaded another one. */
const environmentBrand: unique symbol = Symbol.for('waybill.env')

/** "The value of this environment variable", to be read when the configuration is resolved. */
export interface EnvReference {
  readonly $env: string
  readonly [environmentBrand]?: true
}

/** A secret as a configuration writes it. */
export type SecretInput = string | EnvReference | Secret

/**
 * Takes a secret from the environment, so that it is not in the configuration file: `password: env('CRM_PASSWORD')`.
 * In a JSON file: `{ "$env": "CRM_PASSWORD" }`. A variable that is not set or is empty is a problem of the configuration.
 */
export function env(name: string): EnvReference {
  return { $env: name, [environmentBrand]: true }
}

/** True for what `env` gives, by any copy of this package, and for `{ "$env": "NAME" }` of a JSON file. */
export function isEnvReference(value: unknown): value is EnvReference {
  if (typeof value !== 'object' || value === null || !('$env' in value) || typeof value.$env !== 'string') return false
  return environmentBrand in value || Object.keys(value).length === 1
}

/** The environment a configuration is read against: `process.env`, or a record of one's own in a test. */
export type Environment = Readonly<Record<string, string | undefined>>

/** An empty variable counts as not set: it is how many systems spell "none". `0` and `false` are values. */
export function readVariable(environment: Environment, name: string): string | undefined {
  const value = Object.hasOwn(environment, name) ? environment[name] : undefined
  return value === '' ? undefined : value
}

/**
 * A copy of `value` with each `env` reference replaced by its `Secret`. References to variables that are not set stay:
 * the `secret` schema reports them, so that they carry the path of the field.
 */
export function resolveEnvReferences(value: unknown, environment: Environment): unknown {
  if (isEnvReference(value)) {
    const found = readVariable(environment, value.$env)
    return found === undefined ? value : new Secret(found)
  }
  if (Array.isArray(value)) return value.map((item) => resolveEnvReferences(item, environment))
  if (!isPlainObject(value)) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, resolveEnvReferences(item, environment)]))
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

function unreadable(input: unknown): string {
  if (isEnvReference(input)) {
    return `environment variable ${input.$env} is not set (or is empty); set it, or change the name in env(...)`
  }
  if (typeof input === 'string' || input instanceof Secret) return 'must not be empty; give the text or env("NAME")'
  return 'must be text or env("NAME")'
}

/**
 * Schema of a secret: non-empty text, `env('NAME')` or a `Secret`; gives a `Secret`. References are replaced by
 * `resolveEnvReferences` before the parse; one that is left over names a variable that is not set. Line breaks at its end
 * are no part of it, whatever the setting: files have one, and `echo … | base64` writes one into a Kubernetes Secret.
 */
export const secret = z
  .custom<SecretInput>((input) => secretText(input) !== '', { error: (issue) => unreadable(issue.input) })
  .transform((input) => new Secret(secretText(input)))

/** Empty for what is no secret. */
function secretText(input: unknown): string {
  const text = input instanceof Secret ? input.reveal() : input
  return typeof text === 'string' ? text.replace(/[\r\n]+$/, '') : ''
}
