import { execFile } from 'node:child_process'
import { readdir, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { withLock } from '../../scripts/services/lock.js'

export const root = join(import.meta.dirname, '../..')
const execute = promisify(execFile)

/** For tests of the package as users get it: builds where the build is missing or older than the source. */
export async function ensureBuilt(): Promise<void> {
  await withLock(
    join(tmpdir(), `waybill-build-${process.getuid?.() ?? 0}.lock`),
    () => undefined,
    async () => {
      // among the last that are written
      const built = await stat(join(root, 'dist/index.d.cts')).catch(() => undefined)
      if (built === undefined || built.mtimeMs < (await newestSource())) {
        await execute('npm', ['run', '--silent', 'build'], { cwd: root })
      }
      await generateClient()
    },
  )
}

/** The example's Prisma client, as the demo makes it. Prisma's schema engine is not needed for that, only looked for. */
async function generateClient(): Promise<void> {
  const schema = join(root, 'examples/orders/prisma/schema.prisma')
  await execute(process.execPath, [join(root, 'node_modules/prisma/build/index.js'), 'generate', '--schema', schema], {
    cwd: root,
    env: { ...process.env, PRISMA_SCHEMA_ENGINE_BINARY: process.execPath, PRISMA_HIDE_UPDATE_MESSAGE: '1' },
  })
}

async function newestSource(): Promise<number> {
  const entries = await readdir(join(root, 'src'), { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  files.push(join(root, 'package.json'), join(root, 'scripts/build-commonjs.mjs'))
  const stats = await Promise.all(files.map((file) => stat(file)))
  return Math.max(...stats.map(({ mtimeMs }) => mtimeMs))
}
