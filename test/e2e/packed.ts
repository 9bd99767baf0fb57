import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { onFileEnd } from '../support/cleanup.js'
import { ensureBuilt, root } from './built.js'

/** Names of the examples with a `test` script: applications that depend on the published package. */
export async function packedExamples(): Promise<string[]> {
  const folders = await readdir(join(root, 'examples'), { withFileTypes: true })
  const names = folders.filter((entry) => entry.isDirectory()).map(({ name }) => name)
  const tested = await Promise.all(names.map(hasTests))
  return names.filter((_name, n) => tested[n])
}

async function hasTests(name: string): Promise<boolean> {
  const text = await readFile(join(root, 'examples', name, 'package.json'), 'utf8').catch(() => '{}')
  const { scripts } = JSON.parse(text) as { scripts?: Readonly<Record<string, string>> }
  return scripts?.['test'] !== undefined
}

/** The package as it would be published; gives the path of the tarball. */
export async function pack(): Promise<string> {
  await ensureBuilt()
  const folder = await temporaryFolder('packed')
  await npm(root, ['pack', '--silent', '--ignore-scripts', '--pack-destination', folder])
  const [tarball] = await readdir(folder)
  if (tarball === undefined) throw new Error('npm pack made nothing')
  return join(folder, tarball)
}

/** A copy of an example with its dependencies, and the packed package among them. Gives its folder. */
export async function installExample(name: string, tarball: string): Promise<string> {
  const folder = await temporaryFolder(name)
  await cp(join(root, 'examples', name), folder, {
    recursive: true,
    filter: (path) => !['node_modules', 'package-lock.json'].includes(basename(path)),
  })
  await npm(folder, ['install', '--no-package-lock', '--no-audit', '--no-fund', '--prefer-offline', tarball])
  return folder
}

/** Runs npm and gives what it printed; where it fails, that is the error. Whatever it started ends with the test file. */
export async function npm(folder: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<string> {
  // This run's own variables would make the example's test runner believe that it is inside this one.
  const own = Object.entries(process.env).filter(([name]) => !/^(VITEST|WAYBILL|NODE_ENV|NODE_OPTIONS)/.test(name))
  const child = spawn('npm', args, {
    cwd: folder,
    env: { ...Object.fromEntries(own), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const closed = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>
  const forget = onFileEnd(async () => {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
    await closed
  })
  const [code, signal] = await closed
  forget()
  if (code !== 0) throw new Error(`npm ${args.join(' ')} ended with ${code ?? signal}:\n${output}`)
  return output
}

async function temporaryFolder(name: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), `waybill-${name}-`))
  onFileEnd(() => rm(folder, { recursive: true, force: true }))
  return folder
}
