import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { createTestDatabase } from '../support/database.js'

const debian = '/usr/lib/postgresql/15/bin/pg_dump'

/** What differs from one build of pg_dump to the next, or says nothing. */
const noise = /^(--.*|SET .*|SELECT pg_catalog\.set_config.*|\\(un)?restrict .*)?$/
/** A server from 15.20 on notes it at each column; a pg_dump from before shows it. */
const versions = /^ALTER TABLE .* SET \(pg_attver=\d+\);\n/gm

// To accept a change that you meant: npx vitest run test/integration/migrate-schema.test.ts -u
it('the migrations make the schema that is written down in test/fixtures/schema.sql', async () => {
  const db = await createTestDatabase({ server: 'pg15' })
  const { stdout } = await promisify(execFile)(
    existsSync(debian) ? debian : 'pg_dump',
    ['--schema-only', '--schema=waybill', '--no-owner', db.url],
    { maxBuffer: 64 * 1024 * 1024 },
  )
  const schema = stdout
    .replaceAll(versions, '')
    .split('\n')
    .filter(
      (line, i, lines) => !noise.test(line) || (line === '' && lines[i - 1] !== '' && !noise.test(lines[i - 1] ?? '')),
    )
  await expect(`${schema.join('\n').trim()}\n`).toMatchFileSnapshot('../fixtures/schema.sql')
})
