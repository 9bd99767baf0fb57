// For tests in TypeScript: the matcher's types, for jest's global `expect` (of @types/jest). Compiled, never run.
import { Client } from 'pg'
import { recorder } from 'waybill/testing'
import { waybillMatchers } from 'waybill/testing/jest'
import { topics } from '../src/queue'

expect.extend(waybillMatchers)

test('the matcher is known', async () => {
  const tx = new Client()
  const published: Promise<void> = expect(tx).toHavePublished('order.created', { key: 'o1', payload: { cents: 1200 } })
  await published
  await expect(tx).not.toHavePublished('order.paid')
  await expect(await recorder({ tx, topics })).toHavePublished('order.created', {
    payload: expect.any(Object),
    delay: '5m',
  })
  // @ts-expect-error: the topic is missing
  await expect(tx).toHavePublished()
  // @ts-expect-error: no such field
  await expect(tx).toHavePublished('order.created', { paylod: {} })
  // @ts-expect-error: no such matcher
  await expect(tx).toHavePublishd('order.created')
})

test('payloads have the types of their topics', async () => {
  const recorded = await recorder({ tx: new Client(), topics })
  const { payload } = await recorded.assertPublished('order.created', { payload: { cents: (cents) => cents > 1000 } })
  const cents: number = payload.cents
  expect(cents).toBe(1200)
  // @ts-expect-error: cents is a number
  await recorded.assertPublished('order.created', { payload: { cents: '1200' } })
  // @ts-expect-error: not one of the topics
  await recorded.refutePublished('order.craeted')
})
