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
      const built = await stat(join(root, 'dist/index.js')).catch(() => undefined)
      if (built === undefined || built.mtimeMs < (await newest(join(root, 'src')))) {
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

async function newest(directory: string): Promise<number> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  const stats = await Promise.all(files.map((file) => stat(file)))
  return Math.max(...stats.map(({ mtimeMs }) => mtimeMs))
}
