/**
 * `npm test`: everything, right after a clone. Plain Node.js, because there may be no node_modules yet.
 *
 *   npm test                           dependencies, build, checks, services, all tests
 *   npm test -- test/unit/foo.test.ts  the services and that file
 *   npm test -- --no-checks            all tests, without build and checks
 *
 * Everything else behind `--` goes to `vitest run`.
 */
import { spawn } from 'node:child_process'
import { existsSync, lstatSync, statSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')
const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm'
// What this call starts carries this mark, and only that is stopped at the end.
const owner = `npm-test-${process.pid}`
const given = process.argv.slice(2)
const vitestArguments = given.filter((argument) => argument !== '--no-checks')
const checks = given.length === 0

let child
let interrupted

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    interrupted ??= signal
    // In a terminal the child has got it too; a second one does no harm.
    child?.kill(signal)
  })
}

try {
  await main()
} catch (error) {
  console.error(`\n✗ ${error.message}`)
  process.exitCode = 1
}
if (interrupted !== undefined) process.exitCode = 130

async function main() {
  requireNode()
  // `npm ci` empties the directory first: never through a link into somebody else's
  if (!isLink('node_modules') && dependenciesAreOld())
    await step('dependencies', npm, ['ci', '--no-audit', '--no-fund'])
  if (checks) {
    await step('build', npm, ['run', '--silent', 'build'])
    await step('checks', npm, ['run', '--silent', 'check'])
  }
  try {
    await step('services', process.execPath, services('up'))
    await step('tests', process.execPath, ['node_modules/vitest/vitest.mjs', 'run', ...vitestArguments])
  } finally {
    // Also after an interruption in the middle of `up`: each service is written down before it is ready.
    await run(process.execPath, services('down'))
  }
}

function services(command) {
  return ['--import', 'tsx', 'scripts/services/services.ts', command, '--owner', owner, '--quiet']
}

function requireNode() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major < 20 || (major === 20 && minor < 19)) {
    throw new Error(`Node.js 20.19 or later is needed; this is ${process.versions.node}`)
  }
}

function isLink(file) {
  return lstatSync(join(root, file), { throwIfNoEntry: false })?.isSymbolicLink() === true
}

/** npm writes the hidden lock file at the end of each installation. */
function dependenciesAreOld() {
  const installed = join(root, 'node_modules/.package-lock.json')
  return !existsSync(installed) || statSync(installed).mtimeMs < statSync(join(root, 'package-lock.json')).mtimeMs
}

async function step(title, command, args) {
  console.log(`\n━━ ${title}`)
  const started = Date.now()
  const code = await run(command, args)
  if (interrupted !== undefined) throw new Error(`interrupted by ${interrupted} during: ${title}`)
  if (code !== 0)
    throw new Error(`failed: ${title} (${command === npm ? `npm ${args.join(' ')}` : title}, exit ${code})`)
  console.log(`✓ ${title}, ${((Date.now() - started) / 1000).toFixed(1)} s`)
}

function run(command, args) {
  return new Promise((resolve, reject) => {
    child = spawn(command, args, { cwd: root, stdio: 'inherit' })
    child.once('error', reject)
    child.once('close', (code, signal) => {
      child = undefined
      resolve(code ?? signal)
    })
  })
}
