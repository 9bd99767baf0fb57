import { beforeAll, describe, it } from 'vitest'
import { useDatabase } from '../support/database.js'
import { forms } from './transaction-forms.js'
import { pgForms } from './transaction-forms-pg.js'
import { holds, ownTable } from './transaction-property.js'

const seeds = process.env['WAYBILL_SEED'] ? [Number(process.env['WAYBILL_SEED'])] : [1, 2]

describe('a message is in the log exactly where the row of its transaction is', () => {
  const database = useDatabase({ server: 'pg15' })
  beforeAll(() => database().pool.query(ownTable))

  it.each(Object.entries({ ...pgForms, ...forms }))('%s', { timeout: 60_000 }, async (name, make) => {
    const form = await make(database().url)
    try {
      for (const seed of seeds) await holds(form, database(), name.replace(/\W+/g, '-'), seed, 60)
    } finally {
      await form.close()
    }
  })
})
