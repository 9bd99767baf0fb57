import { beforeAll, describe, expect, it } from 'vitest'
import { createTestDatabase } from '../support/database.js'
import { installExample, npm, pack, packedExamples } from './packed.js'

// Installing waits for a registry where npm's cache is empty.
const longMs = 900_000

const examples = await packedExamples()
let tarball: string

beforeAll(async () => {
  tarball = await pack()
}, longMs)

describe('examples, with the package as it is published', () => {
  it('are there', () => {
    expect(examples).toContain('commonjs-jest')
    expect(examples).not.toContain('orders')
  })

  it.each(examples)(
    '%s passes its own tests',
    async (name) => {
      const folder = await installExample(name, tarball)
      const { url } = await createTestDatabase()
      await npm(folder, ['test'], { DATABASE_URL: url, WAYBILL_DATABASE_URL: url })
    },
    longMs,
  )
})
