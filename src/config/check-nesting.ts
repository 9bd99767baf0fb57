import { InputError, messageOf } from '../core/errors.js'

const deepest = 100

/**
 * Throws for a configuration that refers to itself or is nested deeper than anything of it can be: whatever walks it later
 * would overflow the stack. What its getters throw is told too.
 * @throws InputError WAYBILL_CONFIG_INVALID
 */
export function checkNesting(raw: unknown): void {
  const depths = new Map<object, number>()
  const walk = (value: unknown, depth: number, path: readonly string[]): void => {
    if (typeof value !== 'object' || value === null || (depths.get(value) ?? -1) >= depth) return
    if (depth > deepest) {
      const message = `refers to itself, or is nested deeper than ${deepest} levels`
      throw refused(path.slice(0, 3).join('.'), message)
    }
    depths.set(value, depth)
    for (const [key, item] of Object.entries(value)) walk(item, depth + 1, [...path, key])
  }
  try {
    walk(raw, 0, [])
  } catch (error) {
    if (InputError.isInstance(error)) throw error
    throw refused('', `can't be read: ${messageOf(error)}`)
  }
}

function refused(path: string, message: string): InputError {
  return new InputError('WAYBILL_CONFIG_INVALID', 'the configuration is not valid:', [{ path, message }])
}
