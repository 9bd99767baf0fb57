import { Argument, InvalidArgumentError, Option } from 'commander'
import { WaybillError } from '../core/errors.js'
import { parseDuration } from '../core/duration.js'

/** Options and arguments of a command, typed and checked before the command runs. */

interface Shared {
  readonly summary: string
  /** Name of the value in help: `--limit <count>`. Default: the kind of value. */
  readonly value?: string
  /** One letter: `n` for `-n`. */
  readonly short?: string
}

type Presence<T> = { readonly default?: T; readonly required?: boolean }

/** T where the specification has a default or demands the option, else T or undefined. */
type Given<Spec, T> = Spec extends { readonly default: T } | { readonly required: true } ? T : T | undefined

/** One option: `--name <value>` after its key in the command's `options`. `T` is what `run` gets. */
export interface OptionSpec<T> extends Shared {
  readonly kind: 'flag' | 'single' | 'list'
  readonly parse: (text: string) => unknown
  readonly presence: Presence<unknown>
  readonly choices?: readonly string[]
  /** Only for the compiler. */
  readonly type?: T
}

function refuse(message: string): never {
  throw new InvalidArgumentError(message)
}

/** The builders of options: `options: { limit: option.number({ summary: '…', min: 1, max: 1000, default: 100 }) }`. */
export const option = {
  /** Given or not. */
  flag: (spec: { readonly summary: string; readonly short?: string }): OptionSpec<boolean> => ({
    ...spec,
    kind: 'flag',
    parse: (text) => text,
    presence: { default: false },
  }),

  /** Text that is not empty. */
  text: <const Spec extends Shared & Presence<string>>(spec: Spec): OptionSpec<Given<Spec, string>> => ({
    value: 'text',
    ...spec,
    kind: 'single',
    parse: (text) => text || refuse('Give a text that is not empty.'),
    presence: spec,
  }),

  /** One of some words. */
  choice: <const Words extends readonly string[], const Spec extends Shared & Presence<Words[number]>>(
    words: Words,
    spec: Spec,
  ): OptionSpec<Given<Spec, Words[number]>> => ({
    value: 'word',
    ...spec,
    kind: 'single',
    choices: words,
    parse: (text) => (words.includes(text) ? text : refuse(`Allowed choices are ${words.join(', ')}.`)),
    presence: spec,
  }),

  /** A whole number within bounds, both included. */
  number: <const Spec extends Shared & Presence<number> & { readonly min: number; readonly max: number }>(
    spec: Spec,
  ): OptionSpec<Given<Spec, number>> => ({
    value: 'number',
    ...spec,
    kind: 'single',
    parse: (text) => wholeNumber(text, spec.min, spec.max),
    presence: spec,
  }),

  /** A duration such as `30s` or `7d`; `run` gets milliseconds, and `default` is milliseconds. */
  duration: <const Spec extends Shared & Presence<number>>(spec: Spec): OptionSpec<Given<Spec, number>> => ({
    value: 'duration',
    ...spec,
    kind: 'single',
    parse: milliseconds,
    presence: spec,
  }),

  /** A time with its zone, or a duration that counts back from now: `2026-01-31T08:00:00Z`, `2h`. */
  time: <const Spec extends Shared & { readonly required?: boolean }>(spec: Spec): OptionSpec<Given<Spec, Date>> => ({
    value: 'time',
    ...spec,
    kind: 'single',
    parse: time,
    presence: spec,
  }),

  /** A time with its zone: `2026-01-31T08:00:00Z`. */
  timestamp: <const Spec extends Shared & { readonly required?: boolean }>(
    spec: Spec,
  ): OptionSpec<Given<Spec, Date>> => ({ value: 'time', ...spec, kind: 'single', parse: timestamp, presence: spec }),

  /** May be given several times. Never undefined: an empty list when it is not given. */
  list: (spec: Shared): OptionSpec<readonly string[]> => ({
    value: 'text',
    ...spec,
    kind: 'list',
    parse: (text) => text || refuse('Give a text that is not empty.'),
    presence: { default: [] },
  }),
} as const

function wholeNumber(text: string, min: number, max: number): number {
  const value = /^-?\d+$/.test(text) ? Number(text) : Number.NaN
  return value >= min && value <= max ? value : refuse(`Give a whole number from ${min} to ${max}.`)
}

function milliseconds(text: string): number {
  try {
    return parseDuration(/^\d+$/.test(text) ? Number(text) : text)
  } catch (error) {
    if (!WaybillError.isInstance(error)) throw error
    return refuse('Give milliseconds, or text such as 500ms, 30s, 5m, 2h, 7d.')
  }
}

function time(text: string): Date {
  if (/^\d+(\.\d+)?(ms|s|m|h|d)$/.test(text)) return new Date(Date.now() - parseDuration(text))
  return (
    zonedTime(text) ?? refuse('Give a time with its zone such as 2026-01-31T08:00:00Z, or how long ago, such as 2h.')
  )
}

function timestamp(text: string): Date {
  return zonedTime(text) ?? refuse('Give a time with its zone such as 2026-01-31T08:00:00Z.')
}

function zonedTime(text: string): Date | undefined {
  const zoned = /^\d{4}-\d{2}-\d{2}T[\d:.]+(Z|[+-]\d{2}:?\d{2})$/.test(text)
  const date = new Date(text)
  return zoned && !Number.isNaN(date.getTime()) ? date : undefined
}

/** One positional argument, in the order of the command's `arguments`. `T` is what `run` gets. */
export interface ArgumentSpec<T> {
  readonly kind: 'required' | 'optional' | 'list'
  readonly summary: string
  readonly type?: T
}

/** The builders of arguments: `arguments: { id: argument.text('uuid of the message') }`. */
export const argument = {
  text: (summary: string): ArgumentSpec<string> => ({ kind: 'required', summary }),
  optional: (summary: string): ArgumentSpec<string | undefined> => ({ kind: 'optional', summary }),
  /** One or more; only as the last. */
  list: (summary: string): ArgumentSpec<readonly string[]> => ({ kind: 'list', summary }),
} as const

export type OptionSpecs = Readonly<Record<string, OptionSpec<unknown>>>
export type ArgumentSpecs = Readonly<Record<string, ArgumentSpec<unknown>>>
export type Values<Specs extends Readonly<Record<string, { readonly type?: unknown }>>> = {
  readonly [Name in keyof Specs]: Specs[Name] extends OptionSpec<infer T> | ArgumentSpec<infer T> ? T : never
}

/** `dryRun` → `--dry-run`. */
function dashed(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}

/** The option for commander. */
export function toOption(key: string, spec: OptionSpec<unknown>): Option {
  const short = spec.short === undefined ? '' : `-${spec.short}, `
  const value = spec.kind === 'flag' ? '' : ` <${spec.value ?? 'value'}>`
  const made = new Option(`${short}--${dashed(key)}${value}`, spec.summary)
  if (spec.kind === 'single') made.argParser(spec.parse)
  if (spec.kind === 'list') made.argParser((text, before) => [...(before as readonly unknown[]), spec.parse(text)])
  if (spec.choices) made.choices(spec.choices).argParser(spec.parse)
  if (spec.presence.default !== undefined) {
    made.default(spec.presence.default, spec.kind === 'list' ? 'none' : undefined)
  }
  return spec.presence.required ? made.makeOptionMandatory() : made
}

/** The argument for commander. */
export function toArgument(key: string, spec: ArgumentSpec<unknown>): Argument {
  const name = dashed(key)
  const shapes = { required: `<${name}>`, optional: `[${name}]`, list: `<${name}...>` }
  return new Argument(shapes[spec.kind], spec.summary)
}
