// The same for `expect` imported from @jest/globals. Compiled, never run.
import { expect, test } from '@jest/globals'
import { Client } from 'pg'
import { recorder } from 'waybill/testing'
import { waybillMatchers } from 'waybill/testing/jest'

expect.extend(waybillMatchers)

test('the matcher is known', async () => {
  const tx = new Client()
  const published: Promise<void> = expect(tx).toHavePublished('order.created', { key: 'o1', payload: { cents: 1200 } })
  await published
  await expect(tx).not.toHavePublished('order.paid')
  await expect(await recorder({ tx })).toHavePublished('order.created', { payload: expect.any(Object), delay: '5m' })
  // @ts-expect-error: the topic is missing
  await expect(tx).toHavePublished()
  // @ts-expect-error: no such field
  await expect(tx).toHavePublished('order.created', { paylod: {} })
  // @ts-expect-error: no such matcher
  await expect(tx).toHavePublishd('order.created')
})
