import { parseArgs } from 'node:util'
import { down } from './down.js'
import { servicesDirectory } from './paths.js'
import { services } from './registry.js'
import { isAlive, readStates } from './state.js'
import { serviceNames, type ServiceName } from './types.js'
import { up } from './up.js'
import { asEnvironment, namesToStart, urlsFromEnvironment, urlsFromStates } from './urls.js'

const usage = `npm run services -- <command> [name...] [--json] [--quiet] [--owner <id>]

  up       start what is not running yet, wait until it answers, print where it listens
  down     stop it and delete its data
  status   what runs, and whether it answers
  env      the addresses as shell variables: eval "$(npm run --silent services -- env)"

names: ${serviceNames.join(', ')} (all of them when none is given)
--quiet  says nothing when there was nothing to do
--owner  up: marks what it starts; down: stops only what was started with that mark
A second set beside the first: WAYBILL_SERVICES_DIR=<directory>`

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'boolean', default: false },
    quiet: { type: 'boolean', default: false },
    owner: { type: 'string' },
    help: { type: 'boolean' },
  },
})
const owner = values.owner === undefined ? {} : { owner: values.owner }
const progress = (text: string) => console.error(text)

try {
  await main()
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
}

async function main(): Promise<void> {
  const [command, ...rest] = positionals
  const names = rest.map(serviceName)
  if (values.help === true) console.log(usage)
  else if (command === 'up') await printUp(names)
  else if (command === 'down') await printDown(names)
  else if (command === 'status') await printStatus()
  else if (command === 'env') await printEnvironment()
  else throw new Error(usage)
}

async function printUp(names: readonly ServiceName[]): Promise<void> {
  const given = urlsFromEnvironment()
  const wanted = names.length > 0 ? names : namesToStart(given)
  for (const name of serviceNames) {
    if (given[name] !== undefined && !wanted.includes(name)) progress(`${name}: given by ${services[name].variable}`)
  }
  const results = await up(wanted, { ...owner, progress })
  if (values.json) return console.log(JSON.stringify(results, null, 2))
  if (values.quiet && results.every(({ started }) => !started)) return
  for (const { state, version } of results) {
    print(state.name, state.url, version)
    if (state.managementUrl !== undefined) print('', state.managementUrl, 'management')
  }
}

async function printDown(names: readonly ServiceName[]): Promise<void> {
  const stopped = await down({ names, ...owner, progress })
  if (values.json) console.log(JSON.stringify(stopped))
  else if (stopped.length === 0 && !values.quiet) console.log('nothing was running')
}

/** Exits with 1 when something is down, so that a script can ask. */
async function printStatus(): Promise<void> {
  const states = await readStates()
  const rows = await Promise.all(
    serviceNames.map(async (name) => {
      const state = states.find((candidate) => candidate.name === name)
      if (state === undefined || !isAlive(state)) return { name, ready: false, url: '', detail: 'not running' }
      try {
        return { name, ready: true, url: state.url, detail: await services[name].probe(state) }
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error)
        return { name, ready: false, url: state.url, detail: `runs, but does not answer: ${reason}` }
      }
    }),
  )
  if (values.json) console.log(JSON.stringify({ directory: servicesDirectory(), services: rows }, null, 2))
  else for (const row of rows) print(row.name, row.url, row.detail)
  if (rows.some((row) => !row.ready)) process.exitCode = 1
}

async function printEnvironment(): Promise<void> {
  const environment = asEnvironment({ ...urlsFromStates(await readStates()), ...urlsFromEnvironment() })
  if (values.json) console.log(JSON.stringify(environment, null, 2))
  else for (const [key, value] of Object.entries(environment)) console.log(`export ${key}='${value}'`)
}

function print(name: string, url: string, detail: string): void {
  console.log(`${name.padEnd(12)} ${url.padEnd(50)} ${detail}`)
}

function serviceName(text: string): ServiceName {
  const name = serviceNames.find((candidate) => candidate === text)
  if (name === undefined) throw new Error(`there is no service ${text}; there are ${serviceNames.join(', ')}`)
  return name
}
