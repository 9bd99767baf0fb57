const pg = require('pg')
const { InputError, WaybillError } = require('waybill')
const { PublishedAssertionError, recorder } = require('waybill/testing')
const { waybillMatchers } = require('waybill/testing/jest')
const { markPaid, placeOrder } = require('../src/orders')
const { queue, topics } = require('../src/queue')

expect.extend(waybillMatchers)

// Each test has a transaction that is rolled back: nothing is left, and tests run side by side.
const tx = new pg.Client({ connectionString: process.env.DATABASE_URL })
beforeAll(() => tx.connect())
beforeEach(() => tx.query('begin'))
afterEach(() => tx.query('rollback'))
afterAll(() => tx.end())

test('a new order is published', async () => {
  const recorded = await recorder({ tx, topics })
  const { id } = await placeOrder(tx, { customer: 'Ada', cents: 1200 })

  await recorded.assertPublished('order.created', { key: id, payload: { customer: 'Ada', cents: (c) => c > 1000 } })
  await recorded.refutePublished('order.paid')
  expect(await recorded.published()).toHaveLength(1)
})

test('the same, with matchers', async () => {
  const { id } = await placeOrder(tx, { customer: 'Ada', cents: 1200 })

  await expect(tx).toHavePublished('order.created', { key: id, payload: expect.objectContaining({ cents: 1200 }) })
  await expect(tx).toHavePublished('order.created', { payload: { id: expect.any(String) } })
  await expect(tx).not.toHavePublished('order.paid')
})

test('an order is paid once', async () => {
  const { id } = await placeOrder(tx, { customer: 'Ada', cents: 1200 })
  const recorded = await recorder({ tx, topics })

  expect(await markPaid(tx, id)).toBe(true)
  expect(await markPaid(tx, id)).toBe(false)
  expect(await recorded.published()).toEqual([
    expect.objectContaining({ topic: 'order.paid', key: id, payload: { id } }),
  ])
})

test('an order that is refused publishes nothing', async () => {
  await tx.query('savepoint before_order')
  await expect(placeOrder(tx, { customer: 'Ada', cents: 0 })).rejects.toThrow('orders_cents_check')
  await tx.query('rollback to before_order')

  await expect(tx).not.toHavePublished('order.created')
})

test('a failing assertion says what was published instead', async () => {
  await placeOrder(tx, { customer: 'Ada', cents: 1200 })
  const recorded = await recorder({ tx })

  const failure = await recorded.assertPublished('order.created').catch((error) => error)
  expect(failure).toBeInstanceOf(PublishedAssertionError)
  await expect(expect(tx).toHavePublished('order.created', { payload: { cents: 1 } })).rejects.toThrow(
    'payload.cents: expected 1, got 1200',
  )
})

test('errors are recognised by class and by brand', async () => {
  const failure = await queue.publish('order.craeted', {}, { tx }).catch((error) => error)
  expect(failure).toBeInstanceOf(InputError)
  expect(WaybillError.isInstance(failure)).toBe(true)
  expect(failure).toMatchObject({ code: 'WAYBILL_UNKNOWN_TOPIC' })
})
