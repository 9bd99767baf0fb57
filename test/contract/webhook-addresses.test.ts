import { request } from 'node:http'
import { describe, expect, test } from 'vitest'
import { guardedConnector } from '../../src/adapters/webhook/connection/connector.js'
import { webhookAdapter } from '../../src/adapters/webhook/index.js'
import { type WebhookOptions, webhookSettings } from '../../src/config/destinations/webhook.js'
import { AddressGuard } from '../../src/core/address-guard.js'
import { WaybillError } from '../../src/core/errors.js'
import { startHttpReceiver } from '../support/http-receiver.js'
import { brief, deliverOne, failureText } from './webhook-fixture.js'

const receiver = await startHttpReceiver()

/** A destination whose settings never met the schema's own check of literal addresses. */
async function deliverTo(url: string, options: Partial<WebhookOptions> = {}) {
  const settings = webhookSettings.parse({ url: 'https://partner.example', allowHttp: true, ...options })
  const logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }
  const adapter = webhookAdapter.create({ ...settings, url }, { destination: 'partner', logger })
  try {
    return await deliverOne(adapter)
  } finally {
    await adapter.close()
  }
}

describe('an address that is not public', () => {
  test.each([
    '127.0.0.1',
    '127.1',
    '0x7f000001',
    '0x7f.1',
    '2130706433',
    '017700000001',
    '[::ffff:127.0.0.1]',
    '[::ffff:7f00:1]',
    '[::1]',
    '[::]',
    '0.0.0.0',
    '[64:ff9b::127.0.0.1]',
    '[2002:7f00:1::]',
    '１２７.０.０.１',
    'localhost',
    'LOCALHOST',
  ])('%s is not connected to', async (host) => {
    const before = receiver.openConnections()
    const outcome = await deliverTo(`http://${host}:${receiver.port}/`)
    expect(brief(outcome)).toBe('misconfigured ADDRESS_BLOCKED')
    expect(receiver.openConnections()).toBe(before)
    expect(receiver.received()).toHaveLength(0)
  })

  test.each([
    '10.1.2.3',
    '172.31.0.1',
    '192.168.1.1',
    '169.254.169.254',
    '100.64.0.1',
    '[fe80::1]',
    '[fd00::1]',
    '224.0.0.1',
  ])('%s is refused with a remedy', async (host) => {
    const outcome = await deliverTo(`https://${host}/latest/meta-data`)
    expect(brief(outcome)).toBe('misconfigured ADDRESS_BLOCKED')
    expect(failureText(outcome)).toContain('allowNetworks')
    expect(failureText(outcome)).not.toContain('meta-data')
  })

  test('is reached when its network is allow-listed, by address and by name', async () => {
    const options = { allowNetworks: ['127.0.0.0/8'], allowHttp: false }
    for (const host of ['127.0.0.1', '[::ffff:127.0.0.1]', 'localhost']) {
      receiver.forget()
      expect(brief(await deliverTo(`http://${host}:${receiver.port}`, options))).toBe('delivered')
      expect(receiver.received()).toHaveLength(1)
    }
    expect(brief(await deliverTo(`http://[::1]:${receiver.port}`, options))).toBe('misconfigured ADDRESS_BLOCKED')
  })

  test('another network in the allow-list does not help', async () => {
    receiver.forget()
    const outcome = await deliverTo(`http://localhost:${receiver.port}`, { allowNetworks: ['10.0.0.0/8'] })
    expect(brief(outcome)).toBe('misconfigured ADDRESS_BLOCKED')
    expect(receiver.received()).toHaveLength(0)
  })
})

test('the address of the connected socket is looked at, whatever name resolution said', async () => {
  const asked: string[] = []
  // the first look (the resolved address) passes, the second (the socket) does not: a name that was bound anew
  const guard = Object.assign(new AddressGuard(), {
    refusal: (address: string) => (asked.push(address) > 1 ? 'loopback' : undefined),
    isAllowListed: () => true,
  })
  const connect = guardedConnector({ guard, allowHttp: true }, { timeout: 2000 })
  const target = { hostname: 'localhost', host: 'localhost', protocol: 'http:', port: String(receiver.port) }
  const error = await new Promise((resolve) => connect(target, (failed, socket) => resolve(failed ?? socket)))
  expect(WaybillError.isInstance(error) && error.code).toBe('WAYBILL_ADDRESS_BLOCKED')
  expect(asked).toEqual(['127.0.0.1', '127.0.0.1'])
})

test('plain http needs an allow-listed address', async () => {
  const outcome = await deliverTo(`http://localhost:${receiver.port}`, {
    allowHttp: false,
    allowNetworks: ['10.0.0.0/8'],
  })
  expect(brief(outcome)).toBe('misconfigured ADDRESS_BLOCKED')
  // a public address, which is blocked before anything is sent to it
  const public4 = await deliverTo('http://1.1.1.1/', { allowHttp: false })
  expect(failureText(public4)).toContain('needs https')
})

test.each(['http://127.0.0.1', 'http://localhost'])('the guard holds for the OAuth token endpoint %s', async (host) => {
  receiver.forget()
  const options: WebhookOptions = {
    url: 'https://partner.example',
    auth: { type: 'oauth2', tokenUrl: 'https://login.example', clientId: 'c', clientSecret: 'client-secret' },
  }
  const { auth, ...settings } = webhookSettings.parse(options)
  if (auth.type !== 'oauth2') throw new Error('unreachable')
  const logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }
  const tokenUrl = `${host}:${receiver.port}/token`
  const adapter = webhookAdapter.create(
    { ...settings, auth: { ...auth, tokenUrl } },
    { destination: 'partner', logger },
  )
  const outcome = await deliverOne(adapter)
  await adapter.close()
  expect(brief(outcome)).toBe('misconfigured OAUTH2_ADDRESS_BLOCKED')
  expect(receiver.received()).toHaveLength(0)
})

test('the token request uses no socket that somebody else in the process opened to a blocked address', async () => {
  receiver.forget()
  // Node.js's global agent keeps this one for whoever wants the same host and port
  await new Promise<void>((resolve, reject) => {
    const other = request({ host: 'localhost', port: receiver.port, path: '/application' }, (answer) =>
      answer.resume().once('end', resolve),
    )
    other.once('error', reject).end()
  })
  await new Promise(setImmediate)
  const options: WebhookOptions = {
    url: 'https://partner.example',
    allowHttp: true,
    auth: {
      type: 'oauth2',
      tokenUrl: `http://localhost:${receiver.port}/token`,
      clientId: 'c',
      clientSecret: 'client-secret',
    },
  }
  const logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }
  const adapter = webhookAdapter.create(webhookSettings.parse(options), { destination: 'partner', logger })
  const outcome = await deliverOne(adapter)
  await adapter.close()
  expect(brief(outcome)).toBe('misconfigured OAUTH2_ADDRESS_BLOCKED')
  expect(receiver.received().map(({ url }) => url)).toEqual(['/application'])
})
