import { afterEach, expect, test, vi } from 'vitest'
import { webhookSettings } from '../../src/config/destinations/webhook.js'

afterEach(() => {
  vi.doUnmock('undici')
  vi.resetModules()
})

const context = {
  destination: 'crm',
  logger: { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined },
}

/** What Bun 1.4 has under undici's name: `Client` is a class that does nothing. */
const ofBun = { Client: class {}, buildConnector: () => undefined, errors: {} }

test('where undici is not what it is on Node.js, a webhook says so as it is built, and not message by message', async () => {
  const settings = webhookSettings.parse({ url: 'https://partner.example' })
  vi.resetModules()
  vi.doMock('undici', () => ofBun)
  const { webhookAdapter } = await import('../../src/adapters/webhook/index.js')
  expect(() => webhookAdapter.create(settings, context)).toThrow(
    expect.objectContaining({
      code: 'WAYBILL_RUNTIME_UNSUPPORTED',
      message: expect.stringMatching(/"crm".*Bun.*Node\.js 20\.19/) as string,
    }),
  )
})
