/**
 * What a test file opened is closed when the file ends, in reverse order, whatever happened in between.
 * Outside Vitest (a benchmark that borrows a helper) nothing is registered: call `runCleanups` there.
 */
type Cleanup = () => unknown

const cleanups = new Set<Cleanup>()

/** Registers work for the end of the file; the function returned takes it back. */
export function onFileEnd(cleanup: Cleanup): () => void {
  // Wrapped, so that registering one function twice means twice.
  const entry = () => cleanup()
  cleanups.add(entry)
  return () => void cleanups.delete(entry)
}

export async function runCleanups(): Promise<void> {
  const errors: unknown[] = []
  while (cleanups.size > 0) {
    const last = [...cleanups].at(-1)
    if (last === undefined) break
    cleanups.delete(last)
    try {
      await last()
    } catch (error) {
      errors.push(error)
    }
  }
  if (errors.length > 0) throw new AggregateError(errors, `cleaning up failed: ${errors.map(String).join('; ')}`)
}

if (process.env['VITEST'] !== undefined) {
  const { afterAll } = await import('vitest')
  // Registered while the file is imported, so before its own hooks; those run in reverse, hence this one last.
  afterAll(runCleanups)
}
