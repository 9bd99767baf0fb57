import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { benches } from './benches/index.js'
import { asAdmin, dropLeftovers } from './lib/database.js'
import { buildSides } from './lib/build.js'
import { ensurePeers, findNode, serviceUrl } from './lib/environment.js'
import { compare, figure, jsonLine, printComparisons, printTable } from './lib/report.js'
import { type Bench, type Options, type Run, type Side } from './lib/types.js'

const usage = `npm run bench -- <name> [--json] [--strict] [--rounds n] [--messages n] [--seconds n] [--sides a,b] [--profile dir]

${[...benches.values()].map((bench) => `  ${bench.name.padEnd(10)} ${bench.about}`).join('\n')}

--json     the last line is one JSON object
--strict   exit with 1 when a goal was not reached
--rounds, --messages, --seconds   smaller or longer runs; figures of such a run are not the published ones
--sides    only these sides
--profile  CPU profile of Waybill's side, into this directory`

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'boolean', default: false },
    strict: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    messages: { type: 'string' },
    seconds: { type: 'string' },
    sides: { type: 'string' },
    profile: { type: 'string' },
    help: { type: 'boolean' },
  },
})
const progress = (text: string): void => console.error(text)

try {
  const bench = benches.get(positionals[0] ?? '')
  if (values.help === true) console.log(usage)
  else if (!bench || positionals.length !== 1) throw new Error(usage)
  else process.exitCode = await main(bench)
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 2
}

async function main(bench: Bench): Promise<number> {
  const options: Options = {
    rounds: count('rounds'),
    messages: count('messages'),
    seconds: count('seconds'),
    sides: values.sides?.split(','),
    profile: values.profile,
  }
  const server = await serviceUrl('pg18', progress)
  await dropLeftovers(server)
  await ensurePeers(progress)
  const node = await findNode(progress)
  console.log(`bench ${bench.name}: ${bench.about}`)
  console.log(`all sides on Node ${node.version}; ${await serverText(server)}; ${availableParallelism()} cores`)
  const lowered = (['rounds', 'messages', 'seconds', 'sides'] as const).filter((name) => values[name] !== undefined)
  if (lowered.length > 0)
    console.log(`not the full run: ${lowered.map((name) => `--${name} ${values[name]}`).join(' ')}`)

  const endings: (() => Promise<void>)[] = []
  process.once('SIGINT', () => void end(endings).finally(() => process.exit(130)))
  try {
    const build = await buildSides()
    endings.push(() => build.remove())
    const sides = await bench.sides({
      options,
      server,
      node: node.path,
      build: build.directory,
      service: (name) => serviceUrl(name, progress),
      note: (text) => console.log(`note: ${text}`),
      onEnd: (work) => endings.push(work),
    })
    const chosen = sides.filter(({ name }) => options.sides === undefined || options.sides.includes(name))
    const results = await interleaved(chosen, options.rounds ?? bench.rounds, bench.unit)
    const comparisons = compare(bench, results)
    printTable(bench, results)
    printComparisons(comparisons)
    if (values.json) console.log(jsonLine(bench, results, comparisons))
    return values.strict && comparisons.some(({ ok }) => !ok) ? 1 : 0
  } finally {
    await end(endings)
  }
}

/** A B C, A B C, …: what else the machine does meets all of them alike. */
async function interleaved(sides: readonly Side[], rounds: number, unit: string): Promise<Map<string, Run[]>> {
  const results = new Map<string, Run[]>(sides.map(({ name }) => [name, []]))
  for (let round = 1; round <= rounds; round++) {
    // to and fro: no side always comes after the same one, whatever that leaves behind
    for (const side of round % 2 === 1 ? sides : sides.toReversed()) {
      const run = await side.run(round)
      results.get(side.name)?.push(run)
      progress(`round ${round}/${rounds}  ${side.name.padEnd(26)} ${figure(run.value)} ${unit}`)
    }
  }
  return results
}

async function end(endings: (() => Promise<void>)[]): Promise<void> {
  for (const work of endings.splice(0).reverse()) await work().catch((error: unknown) => console.error(error))
}

async function serverText(server: string): Promise<string> {
  const { rows } = await asAdmin(server, (admin) =>
    admin.query<Record<string, string>>(
      `select current_setting('server_version') as version, current_setting('fsync') as fsync,
              current_setting('synchronous_commit') as commit, current_setting('shared_buffers') as buffers`,
    ),
  )
  const { version, fsync, commit, buffers } = rows[0] ?? {}
  if (fsync !== 'on') console.log('note: fsync is off on this server: these figures say nothing about durable commits')
  return `PostgreSQL ${version}, fsync ${fsync}, synchronous_commit ${commit}, shared_buffers ${buffers}`
}

function count(name: 'rounds' | 'messages' | 'seconds'): number | undefined {
  const text = values[name]
  if (text === undefined) return undefined
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1) throw new Error(`--${name} ${text}: give a whole number of at least 1`)
  return value
}
