/**
 * Calls a function of the application's whose answer matters to nothing: a hook, a logger. Never throws. `failed` gets what it
 * throws, and what any thenable that it returns rejects with: of another realm, or a library's own. One that never settles
 * is not waited for. `failed` itself must not throw.
 */
export function callListener(call: () => unknown, failed: (error: unknown) => void): void {
  try {
    const result = call()
    if ((typeof result === 'object' && result !== null) || typeof result === 'function') {
      Promise.resolve(result).catch(failed)
    }
  } catch (error) {
    failed(error)
  }
}
