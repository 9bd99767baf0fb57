import { InputError, type Problem } from '../core/errors.js'
import { looksLikeBareBase64 } from '../core/webhook-keys.js'
import { isTopicPattern } from '../core/topic-pattern.js'
import { deliveryKeys, deliverySettings, type ResolvedDelivery } from './destinations/delivery.js'
import { destinationKinds } from './destinations/registry.js'
import { type Environment, resolveEnvReferences, Secret } from './destinations/secret.js'
import { didYouMean } from './did-you-mean.js'
import { nameHelp, nameSyntax } from './fields.js'
import { parseWith, pathText, unique } from './problems.js'
import { configSchema, destinationSchema, type ParsedConfig, patternHelp, routeSchema } from './schema.js'
import { overlayVariables } from './variables.js'

/** A destination, checked, with every default filled in. */
export interface ResolvedDestination<Settings extends object = object> {
  readonly name: string
  readonly kind: string
  /** The adapter's own settings, as the schema of its kind gives them. */
  readonly settings: Settings
  readonly delivery: ResolvedDelivery
}

export interface ResolvedRoute {
  /** Topic pattern: `order.*`. */
  readonly pattern: string
  /** Names of destinations, each once. */
  readonly destinations: readonly string[]
}

/** A configuration, checked, with every default filled in. Durations are milliseconds. */
export interface ResolvedConfig {
  readonly database: {
    readonly url: Secret
    readonly directUrl: Secret | undefined
    readonly poolSize: number
  }
  readonly generation: number | undefined
  /** In the order of the file. */
  readonly destinations: readonly ResolvedDestination[]
  readonly routes: readonly ResolvedRoute[]
  readonly dispatcher: {
    readonly name: string | undefined
    readonly leaseMs: number
    readonly pageSize: number
    readonly listen: boolean
    readonly drainMs: number
    readonly maintenance: boolean
    readonly durability: 'local' | { readonly replicated: string }
  }
  readonly retentionMs: number
  readonly maxHoldMs: number | undefined
  readonly publish: { readonly maxPayloadBytes: number }
  readonly log: { readonly level: ParsedConfig['log']['level'] }
  /** What is allowed but probably not meant. */
  readonly warnings: readonly Problem[]
}

/**
 * Checks a configuration and fills in defaults; pure: the environment is what is passed. Variables such as
 * `WAYBILL_DATABASE_URL` stand in for keys that `raw` leaves out (`variables.ts` has the list).
 *
 * @throws InputError `WAYBILL_CONFIG_INVALID` with every problem there is, each with its path.
 */
export function resolveConfig(raw: unknown, environment: Environment): ResolvedConfig {
  const overlaid = overlayVariables(raw, environment)
  const config = resolveEnvReferences(overlaid.config, environment)
  const parsed = parseWith(configSchema, config)
  const problems: Problem[] = parsed.ok ? [] : [...parsed.problems]
  const destinations = resolveDestinations(entriesOf(config, 'destinations'), problems)
  const routes = resolveRoutes(entriesOf(config, 'routes'), Object.keys(entriesOf(config, 'destinations')), problems)
  if (!parsed.ok || problems.length > 0) {
    throw invalidConfig(problems, overlaid.from)
  }
  return assemble(parsed.value, destinations, routes)
}

/** `from`: which variable gave the value at a path. */
export function invalidConfig(problems: readonly Problem[], from: ReadonlyMap<string, string>): InputError {
  const told = unique(problems).map((problem) => fromVariable(problem, from))
  const count = told.length === 1 ? 'one problem' : `${told.length} problems`
  return new InputError('WAYBILL_CONFIG_INVALID', `the configuration is not valid (${count}):`, told)
}

function assemble(parsed: ParsedConfig, destinations: ResolvedDestination[], routes: ResolvedRoute[]): ResolvedConfig {
  const { database, dispatcher, generation, publish, log } = parsed
  const { url, directUrl, poolSize } = database
  return {
    database: { url, directUrl, poolSize },
    generation,
    destinations,
    routes,
    dispatcher: { ...dispatcher, name: dispatcher.name },
    retentionMs: parsed.retention,
    maxHoldMs: parsed.maxHold,
    publish,
    log,
    warnings: warningsOf(destinations, routes),
  }
}

function warningsOf(destinations: readonly ResolvedDestination[], routes: readonly ResolvedRoute[]): Problem[] {
  const routed = new Set(routes.flatMap((route) => route.destinations))
  const unlikely = destinations.flatMap(({ name, settings }) => {
    const { secrets = [] } = settings as { readonly secrets?: readonly unknown[] }
    return secrets.flatMap((secret, i) =>
      secret instanceof Secret && looksLikeBareBase64(secret.reveal())
        ? [{ path: pathText(['destinations', name, 'options', 'secrets', i]), message: bareKey }]
        : [],
    )
  })
  const unrouted = destinations
    .filter((destination) => !routed.has(destination.name))
    .map((destination) => ({
      path: pathText(['destinations', destination.name]),
      message: 'no route names it, so nothing is delivered to it',
    }))
  return [...unlikely, ...unrouted]
}

const bareKey =
  'looks like a key in base64 without its prefix, and signs as plain text: receivers that decode it will refuse the signature. Write "whsec_" before it, unless the receiver takes the text as it is'

function resolveDestinations(entries: Record<string, unknown>, problems: Problem[]): ResolvedDestination[] {
  const resolved: ResolvedDestination[] = []
  for (const [name, entry] of Object.entries(entries)) {
    const path = ['destinations', name]
    if (!nameSyntax.test(name)) problems.push({ path: pathText(path), message: `the name ${nameHelp}` })
    const destination = parseWith(destinationSchema, entry, path)
    if (!destination.ok) {
      problems.push(...destination.problems)
      continue
    }
    const { kind, options } = destination.value
    const schema = Object.hasOwn(destinationKinds, kind) ? destinationKinds[kind] : undefined
    if (schema === undefined) {
      const known = Object.keys(destinationKinds)
      const message = `is not a known kind${didYouMean(kind, known)}; known kinds: ${known.join(', ')}`
      problems.push({ path: pathText([...path, 'kind']), message })
      continue
    }
    const isDelivery = (key: string): boolean => deliveryKeys.includes(key)
    const own = pick(options, (key) => !isDelivery(key))
    const settings = parseWith(schema, own, [...path, 'options'], deliveryKeys)
    const delivery = parseWith(deliverySettings, pick(options, isDelivery), [...path, 'options'])
    if (settings.ok && delivery.ok) {
      resolved.push({ name, kind, settings: settings.value, delivery: delivery.value })
      continue
    }
    for (const part of [settings, delivery]) if (!part.ok) problems.push(...part.problems)
  }
  return resolved
}

function resolveRoutes(
  entries: Record<string, unknown>,
  destinations: readonly string[],
  problems: Problem[],
): ResolvedRoute[] {
  const resolved: ResolvedRoute[] = []
  for (const [pattern, entry] of Object.entries(entries)) {
    const path = ['routes', pattern]
    if (!isTopicPattern(pattern)) problems.push({ path: pathText(path), message: patternHelp })
    const route = parseWith(routeSchema, entry, path)
    if (!route.ok) {
      problems.push(...route.problems)
      continue
    }
    for (const target of route.value) {
      if (destinations.includes(target)) continue
      const known = destinations.length === 0 ? '; there is none' : `; known: ${destinations.join(', ')}`
      const message = `no destination is called ${JSON.stringify(target)}${didYouMean(target, destinations) || known}`
      problems.push({ path: pathText(path), message })
    }
    resolved.push({ pattern, destinations: route.value })
  }
  return resolved
}

/** A section's entries as written, also when something else in the configuration is wrong. */
function entriesOf(config: unknown, key: 'destinations' | 'routes'): Record<string, unknown> {
  if (typeof config !== 'object' || config === null) return {}
  const section = (config as Record<string, unknown>)[key]
  if (typeof section !== 'object' || section === null || Array.isArray(section)) return {}
  return section as Record<string, unknown>
}

function pick(options: Record<string, unknown>, wanted: (key: string) => boolean): Record<string, unknown> {
  return Object.fromEntries(Object.entries(options).filter(([key]) => wanted(key)))
}

function fromVariable(problem: Problem, from: ReadonlyMap<string, string>): Problem {
  const variable = from.get(problem.path)
  return variable === undefined ? problem : { path: problem.path, message: `${problem.message} (from ${variable})` }
}
