import { randomBytes } from 'node:crypto'
import { expect, test, vi } from 'vitest'
import { webhookAdapter } from '../../src/adapters/webhook/index.js'
import { webhookSettings } from '../../src/config/destinations/webhook.js'

async function warningsFor(secrets: string[]): Promise<unknown[]> {
  const warn = vi.fn()
  const logger = { debug: () => undefined, info: () => undefined, warn, error: () => undefined }
  const settings = webhookSettings.parse({ url: 'https://partner.example', secrets })
  await webhookAdapter.create(settings, { destination: 'crm', logger }).close()
  expect(secrets.some((secret) => JSON.stringify(warn.mock.calls).includes(secret))).toBe(false)
  return warn.mock.calls.map(([fields]: unknown[]) => fields)
}

test('a secret that was meant to be decoded is warned of, by its place and not by its text', async () => {
  const bare = Buffer.from('MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'base64').toString('base64')
  const encoded = randomBytes(32).toString('base64')
  expect(await warningsFor([`whsec_${encoded}`, bare])).toEqual([{ destination: 'crm', setting: 'secrets[1]' }])
})

test.each([
  'a passphrase of some words',
  'c6f1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f',
  'correct-horse-battery-staple',
  `whsec_${Buffer.alloc(32, 7).toString('base64')}`,
  'short1A=',
])('%s is not', async (secret) => {
  expect(await warningsFor([secret])).toEqual([])
})
