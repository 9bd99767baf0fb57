import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { servicesDirectory } from './paths.js'
import { processStarted } from './processes.js'
import { serviceNames, type ServiceName, type ServiceState } from './types.js'

/** One file for each service, so that services which start side by side never rewrite each other's. */
const stateFile = (name: ServiceName) => join(servicesDirectory(), `${name}.json`)

export async function readState(name: ServiceName): Promise<ServiceState | undefined> {
  try {
    return JSON.parse(await readFile(stateFile(name), 'utf8')) as ServiceState
  } catch {
    return undefined
  }
}

export async function readStates(): Promise<ServiceState[]> {
  const states = await Promise.all(serviceNames.map(readState))
  return states.filter((state) => state !== undefined)
}

export async function writeState(state: ServiceState): Promise<void> {
  await mkdir(servicesDirectory(), { recursive: true })
  const draft = `${stateFile(state.name)}.draft`
  await writeFile(draft, `${JSON.stringify(state, null, 2)}\n`)
  await rename(draft, stateFile(state.name))
}

/** Forgets a service and deletes its data; the directory of the set goes with the last of them. */
export async function forget(name: ServiceName): Promise<void> {
  await rm(stateFile(name), { force: true })
  await rm(join(servicesDirectory(), name), { recursive: true, force: true })
  const left = await readdir(servicesDirectory()).catch(() => ['unknown'])
  if (left.length === 0) await rm(servicesDirectory(), { recursive: true, force: true })
}

export function isAlive(state: ServiceState): boolean {
  return processStarted(state.pid) === state.pidStarted
}
