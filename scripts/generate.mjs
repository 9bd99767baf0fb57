/** Generates the Prisma client of the orders example. Plain Node.js: the demo and the checks both begin with it. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')
const { status, stdout, stderr } = spawnSync(
  process.execPath,
  [
    join(root, 'node_modules/prisma/build/index.js'),
    'generate',
    '--schema',
    join(root, 'examples/orders/prisma/schema.prisma'),
  ],
  {
    cwd: root,
    encoding: 'utf8',
    // Generating a client does not need Prisma's schema engine, only looks for it: any file will do.
    env: { ...process.env, PRISMA_SCHEMA_ENGINE_BINARY: process.execPath, PRISMA_HIDE_UPDATE_MESSAGE: '1' },
  },
)
if (status !== 0) process.stderr.write(`${stdout}${stderr}`)
process.exitCode = status ?? 1
