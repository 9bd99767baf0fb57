import type { Problem } from '../core/errors.js'
import { shapeOf } from '../core/shape.js'
import { didYouMean } from './did-you-mean.js'

/** What to say of the names that are no options. */
export function unknownOptions(given: object, known: readonly string[]): { name: string; message: string }[] {
  return Object.keys(given)
    .filter((name) => !known.includes(name))
    .map((name) => ({ name, message: `is not an option${didYouMean(name, known)}` }))
}

/** A problem for each name at `path` that is no option. */
export function checkNames(given: object, path: string, known: readonly string[], problems: Problem[]): void {
  for (const { name, message } of unknownOptions(given, known)) problems.push({ path: `${path}.${name}`, message })
}

/** A time to wait, in milliseconds; undefined is fine. */
export function checkWait(value: unknown, path: string, problems: Problem[]): void {
  if (value === undefined || (Number.isFinite(value) && (value as number) >= 0)) return
  const shape = typeof value === 'number' ? value : shapeOf(value)
  problems.push({ path, message: `is ${shape}; give milliseconds, 0 or more` })
}
