import { z } from 'zod'
import { parseWith } from './problems.js'
import { invalidConfig } from './resolve.js'
import { configSchema, type ParsedConfig } from './schema.js'
import { resolveEnvReferences, type Environment } from './destinations/secret.js'
import { overlayVariables } from './variables.js'

/** Keys of a configuration that stand for themselves: all but destinations and routes. */
export type SettingName = Exclude<keyof ParsedConfig, 'destinations' | 'routes'>

/** Some of a configuration, with defaults; durations are milliseconds. */
export type Settings<Name extends SettingName> = Pick<ParsedConfig, Name>

/**
 * Checks a part of a configuration, for who needs no more: what is wrong elsewhere, such as the secret of a destination
 * that is not there, is in nobody's way. Pure, like `resolveConfig`.
 *
 * @throws InputError `WAYBILL_CONFIG_INVALID` with every problem of that part, and with keys beside it that are not known:
 * it may be there under a misspelt name, and its default is not what was meant.
 */
export function resolveSettings<const Name extends SettingName>(
  raw: unknown,
  environment: Environment,
  names: readonly Name[],
): Settings<Name> {
  const overlaid = overlayVariables(raw, environment)
  const config = resolveEnvReferences(overlaid.config, environment)
  const shape = Object.entries(configSchema.shape).map(([key, schema]): [string, z.ZodType] => {
    return [key, names.some((name) => name === key) ? schema : z.unknown().optional()]
  })
  const parsed = parseWith(z.strictObject(Object.fromEntries(shape)), config)
  if (!parsed.ok) throw invalidConfig(parsed.problems, overlaid.from)
  const wanted = Object.entries(parsed.value).filter(([key]) => names.some((name) => name === key))
  // its keys are just these, which the compiler can't know
  return Object.fromEntries(wanted) as unknown as Settings<Name>
}
