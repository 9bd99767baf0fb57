import type { RunStatement } from '../core/statement.js'
import { notOpen } from './kind.js'

/** How long a statement has no answer before we ask whether it will get one; then twice as long each time. */
const firstPauseMs = 1000
const longestPauseMs = 60_000

/**
 * postgres.js forgets what is sent by a transaction that is over, while its connection works for somebody else: such a
 * promise is never settled (src/index.js, `handler` of `scope`). A statement that waits for a lock looks the same. What
 * tells them apart is that answers come in order: a later statement on the same handle that was answered before says that
 * the earlier one is forgotten. So where there is no answer within a second, such a statement is sent.
 */
export function settled(run: RunStatement, remedy: string): RunStatement {
  return (statement) =>
    new Promise((resolve, reject) => {
      let pause = firstPauseMs
      let timer = setTimeout(ask, pause)
      const overtaken = (): void => {
        // what was answered together is settled first
        setImmediate(() => {
          clearTimeout(timer)
          reject(notOpen('is of a transaction that has ended: what is sent in it now is never answered', remedy))
        })
      }
      function ask(): void {
        pause = Math.min(pause * 2, longestPauseMs)
        timer = setTimeout(ask, pause)
        Promise.resolve(run({ name: 'waybill_ask', text: 'select 1 as one', values: [] })).then(overtaken, overtaken)
      }
      Promise.resolve(run(statement)).then(
        (rows) => {
          clearTimeout(timer)
          resolve(rows)
        },
        (error: unknown) => {
          clearTimeout(timer)
          // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- as the driver rejected
          reject(error)
        },
      )
    })
}
