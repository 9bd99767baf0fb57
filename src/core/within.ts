/** Resolves when `work` has settled, or after `ms`. Rejects as `work` does, if that is in time. */
export async function within(ms: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<void>((resolve) => (timer = setTimeout(resolve, ms)))
  await Promise.race([work, timeout]).finally(() => clearTimeout(timer))
}
