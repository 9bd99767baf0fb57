import { z } from 'zod'
import { defineTopics } from '../../src/index.js'

/** Declared for the type of `app.waybill` in test/types/fastify.test-d.ts, for all tests at once. */
export const topics = defineTopics({ 'order.created': z.object({ id: z.string(), cents: z.number().int() }) })

/** Something that a test lets go on. */
export function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  let open = (): void => undefined
  const opened = new Promise<void>((resolve) => (open = resolve))
  return { opened, open: () => open() }
}
