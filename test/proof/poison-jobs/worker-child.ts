import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { createWorker } from '../../../src/jobs/index.js'
import type { Ending } from './endings.js'

/**
 * A worker of the proof's queue, in a process of its own. Arguments: database URL, lease (ms). A sound job counts itself by its
 * message in `proof_effects`, a poison job ends the process. It prints a line twice a second for its supervisor.
 */
const [url = '', leaseMs = ''] = process.argv.slice(2)

const effects = new pg.Pool({ connectionString: url, max: 2 })
effects.on('error', () => undefined)

const end: Record<Ending, () => void> = {
  killed: () => process.kill(process.pid, 'SIGKILL'),
  exits: () => process.exit(3),
  spins: () => {
    for (;;);
  },
}

const worker = createWorker({
  connectionString: url,
  queues: { proof: { concurrency: 5 } },
  leaseMs: Number(leaseMs),
  pollMs: 50,
  backoff: { baseMs: 1, capMs: 5 },
  handlers: {
    async 'order.changed'({ messageId, args }) {
      const { ends } = args as { readonly ends?: Ending }
      if (ends) return end[ends]()
      await effects.query(
        `insert into proof_effects as e (message_id, times) values ($1, 1)
           on conflict (message_id) do update set times = e.times + 1`,
        [messageId],
      )
      // the longer it runs, the more often it is the neighbour of a poison job
      await sleep(100)
    },
  },
  logger: { debug: () => undefined, info: () => undefined, warn: tell, error: tell },
})
// a terminal's Ctrl-C comes here too; the proof ends its workers itself, and they end with it
process.on('SIGINT', () => undefined)
process.stdin.on('close', () => process.exit(1)).resume()
await worker.start()
tell({}, 'ready')
setInterval(() => tell({}, 'beat'), 500)

function tell(fields: object, msg?: string): void {
  console.log(JSON.stringify({ msg, ...fields }))
}
