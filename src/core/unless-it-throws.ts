/** What `look` gives; undefined where it throws. For members of what an application gave, which may be getters and Proxies. */
export function unlessItThrows<T>(look: () => T): T | undefined {
  try {
    return look()
  } catch {
    return undefined
  }
}
