import { createWorker } from '../../src/jobs/index.js'

/**
 * A worker in a process of its own. Arguments: database URL, queue, lease (ms), concurrency, and `sticks` or nothing.
 * `quick` jobs end at once, `stuck` ones too but in a worker that sticks, `slow` ones after 20 ms, `endless` ones when their signal aborts, `poison` kills the process,
 * `exits` ends it, `spins` never gives its thread back.
 */
const [url = '', queue = '', leaseMs = '', concurrency = '', sticks] = process.argv.slice(2)

const tell = (message: object): void => void process.stdout.write(`${JSON.stringify(message)}\n`)

const worker = createWorker({
  connectionString: url,
  queues: { [queue]: { concurrency: Number(concurrency) } },
  leaseMs: Number(leaseMs),
  pollMs: 50,
  backoff: { baseMs: 1, capMs: 5 },
  handlers: {
    quick: ({ id }) => tell({ ran: id }),
    stuck: ({ id, attempt }) => {
      tell({ began: id, attempt })
      if (sticks !== undefined) return new Promise(() => undefined)
      return tell({ ran: id })
    },
    slow: async ({ id }) => {
      tell({ began: id })
      await new Promise((resolve) => setTimeout(resolve, 20))
      tell({ ran: id })
    },
    endless: ({ id, attempt }, { signal }) => {
      tell({ began: id, attempt })
      return new Promise((resolve) =>
        signal.addEventListener('abort', () => {
          tell({ aborted: id, attempt, reason: (signal.reason as Error).name })
          // a zombie that believes that it has done its work
          resolve(undefined)
        }),
      )
    },
    exits: () => process.exit(3),
    spins: () => {
      for (;;);
    },
    poison: () => process.kill(process.pid, 'SIGKILL'),
  },
  logger: {
    debug: () => undefined,
    info: () => undefined,
    warn: (fields, message) => tell({ log: message, ...fields }),
    error: (fields, message) => tell({ log: message, ...fields }),
  },
})
await worker.start()
tell({ ready: true })
process.once('SIGTERM', () => void worker.stop({ drainMs: 5_000 }).then(() => process.exit(0)))
