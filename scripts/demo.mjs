/**
 * `npm run demo`, right after a clone. Plain Node.js, because there may be no node_modules yet: installs and builds
 * where that is missing or old, then runs scripts/demo/main.ts with the same arguments.
 */
import { spawn } from 'node:child_process'
import { existsSync, lstatSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')
const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm'

let child
let interrupted = false
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    interrupted = true
    // In a terminal the child has got it too; a second one does no harm.
    child?.kill(signal)
  })
}

try {
  process.exitCode = await main()
} catch (error) {
  console.error(`✗ ${error.message}`)
  process.exitCode = 1
}
if (interrupted) process.exitCode = 130

async function main() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major < 20 || (major === 20 && minor < 19)) {
    throw new Error(`Node.js 20.19 or later is needed; this is ${process.versions.node}`)
  }
  // `npm ci` empties the directory first: never through a link into somebody else's.
  if (!isLink('node_modules') && older('node_modules/.package-lock.json', ['package-lock.json'])) {
    await step('installing dependencies', npm, ['ci', '--no-audit', '--no-fund'])
  }
  if (older('dist/index.js', ['src', 'package.json', 'tsconfig.build.json'])) {
    await step('building', npm, ['run', '--silent', 'build'])
  }
  if (older('examples/orders/generated/client.ts', ['examples/orders/prisma/schema.prisma', 'package-lock.json'])) {
    await step('generating the Prisma client', process.execPath, [join(root, 'scripts/generate.mjs')])
  }
  const main = ['--import', 'tsx', join(root, 'scripts/demo/main.ts'), ...process.argv.slice(2)]
  return run(process.execPath, main, 'inherit')
}

function isLink(file) {
  return lstatSync(join(root, file), { throwIfNoEntry: false })?.isSymbolicLink() === true
}

/** Whether `file` is missing, or older than something in `sources`. */
function older(file, sources) {
  const path = join(root, file)
  return !existsSync(path) || sources.some((source) => newest(join(root, source)) > statSync(path).mtimeMs)
}

function newest(path) {
  const stat = statSync(path)
  if (!stat.isDirectory()) return stat.mtimeMs
  return Math.max(stat.mtimeMs, ...readdirSync(path).map((name) => newest(join(path, name))))
}

async function step(title, command, args) {
  const started = Date.now()
  process.stdout.write(`  ${title} …`)
  const output = []
  const code = await run(command, args, output)
  process.stdout.write(code === 0 ? ` ${((Date.now() - started) / 1000).toFixed(1)} s\n` : '\n')
  if (code === 0) return
  throw new Error(interrupted ? 'interrupted' : `${title} failed (${code}):\n${output.join('')}`)
}

/** Resolves to the exit code. Output goes through, or into a list. */
function run(command, args, output) {
  return new Promise((resolve, reject) => {
    child = spawn(command, args, {
      cwd: root,
      stdio: output === 'inherit' ? 'inherit' : ['ignore', 'pipe', 'pipe'],
    })
    if (Array.isArray(output)) {
      child.stdout.on('data', (chunk) => output.push(chunk.toString()))
      child.stderr.on('data', (chunk) => output.push(chunk.toString()))
    }
    child.once('error', reject)
    child.once('close', (code, signal) => {
      child = undefined
      resolve(code ?? signal)
    })
  })
}
