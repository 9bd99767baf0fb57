import { Socket } from 'node:net'
import { expect, it, onTestFinished, vi } from 'vitest'
import { amqpUrl } from '../support/rabbitmq.js'
import { deliver, growingMessages, idsAndPayloads, message } from './destination.js'
import { rabbitAdapter, rabbitDestination } from './rabbitmq-fixture.js'

it('sends messages of one moment in few packets, each whole and in order', async () => {
  const destination = await rabbitDestination()
  const adapter = rabbitAdapter({ url: amqpUrl(), exchange: destination.exchange })
  onTestFinished(async () => {
    await adapter.close()
    await destination.cleanup()
  })
  const first = message()
  expect((await deliver(adapter, [first])).kinds).toEqual(['delivered'])

  const calls = [vi.spyOn(Socket.prototype, '_write'), vi.spyOn(Socket.prototype, '_writev')]
  const batch = growingMessages(400)
  const { kinds } = await deliver(adapter, batch)
  const packets = calls.reduce((sum, call) => sum + call.mock.calls.length, 0)
  vi.restoreAllMocks()

  expect(new Set(kinds)).toEqual(new Set(['delivered']))
  expect(packets).toBeLessThan(batch.length / 4)
  expect(idsAndPayloads(await destination.received())).toEqual(idsAndPayloads([first, ...batch]))
})
