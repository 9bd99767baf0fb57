/** `npm run proof -- --soak`: load at the highest rate that keeps its lag flat, and a fault every 20 s. */
import { writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { ensureInstalled } from '../../../scripts/services/packages.js'
import { services } from '../../../scripts/services/registry.js'
import { runCleanups } from '../../support/cleanup.js'
import { writeInto } from '../report.js'
import { Stage } from '../stage.js'
import { soakTable } from './report.js'
import { soak } from './soak.js'
import { faultNamed, repeatable } from './strikes.js'

const { values } = parseArgs({
  options: {
    soak: { type: 'boolean' },
    minutes: { type: 'string', default: '30' },
    rate: { type: 'string' },
    only: { type: 'string' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1e6)) },
    json: { type: 'string' },
    into: { type: 'string' },
  },
})
const stop = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => stop.abort(new Error(`stopped by ${signal}`)))
}
const say = (text: string): void => console.log(text)

try {
  say(`seed ${values.seed}; servers are started`)
  await ensureInstalled([...services.pg15.needs, ...services.rabbitmq.needs, ...services.kafka.needs], say)
  const result = await soak(await Stage.build(), {
    ...{ seed: values.seed, minutes: positive('minutes', values.minutes), everyMs: 20_000 },
    rate: values.rate === undefined ? undefined : positive('rate', values.rate),
    faults: values.only === undefined ? repeatable : values.only.split(',').map(faultNamed),
    ...{ signal: stop.signal, say },
  })
  if (values.json) await writeFile(values.json, `${JSON.stringify(result, null, 2)}\n`)
  if (values.into) await writeInto(values.into, 'soak', soakTable(result))
  say(`\n${soakTable(result)}\n`)
  for (const complaint of result.complaints) say(`✗ ${complaint}`)
  say(result.complaints.length === 0 ? '✓ The soak passed.' : '✗ The soak failed.')
  process.exitCode = result.interrupted ? 130 : result.complaints.length === 0 ? 0 : 1
} catch (error) {
  console.error(error)
  process.exitCode = 1
}
await runCleanups().catch(console.error)
// Node.js 20 was seen to wait for ever, at full load, for the end of a socket that had been reset
process.exit()

function positive(name: string, text: string): number {
  const value = Number(text)
  if (!(value > 0)) throw new Error(`--${name} is "${text}"; give a number above 0`)
  return value
}
