import { missing, unwanted } from './assertion-error.js'
import type { ExpectedMessage } from './expectation.js'
import { fromItsBeginning, readPublished } from './published-rows.js'
import { brandOf, isRecorder, runnerOf, select } from './recorder.js'

/** What a custom matcher answers, for vitest and for jest. */
export interface MatcherAnswer {
  readonly pass: boolean
  readonly message: () => string
  readonly actual?: unknown
  readonly expected?: unknown
}

/** What `waybillMatchers` adds to `expect`. */
export interface WaybillAssertions {
  /**
   * Of an open transaction, or of a recorder: a message of the topic that is as expected was published in it (with a
   * recorder: since that was made). Always await it. Rejects as `Recorder.assertPublished`; with `.not`, as
   * `refutePublished`.
   */
  toHavePublished(topic: string, expected?: ExpectedMessage): Promise<void>
}

/**
 * For vitest and jest: `expect.extend(waybillMatchers)`, then
 * `await expect(tx).toHavePublished('order.created', { key: 'o1' })`. Their types are in `waybill/testing/vitest` and
 * `waybill/testing/jest`.
 */
export const waybillMatchers: {
  toHavePublished(received: unknown, topic: string, expected?: ExpectedMessage): Promise<MatcherAnswer>
} = {
  async toHavePublished(received, topic, expected = {}) {
    const read = isRecorder(received)
      ? () => received.published()
      : async () => (await readPublished(runnerOf(received), fromItsBeginning)).messages
    const topics = isRecorder(received) ? brandOf(received).topics : undefined
    const { fitting, published } = await select(read, topic, expected, topics)
    const pass = fitting.length > 0
    const { message, ...values } = pass ? unwanted(topic, expected, fitting) : missing(topic, expected, published)
    return { pass, message: () => message, ...values }
  },
}
