import dns from 'node:dns'
import { networkInterfaces } from 'node:os'
import { afterAll, describe, expect, test } from 'vitest'
import { guardedConnector } from '../../src/adapters/webhook/connection/connector.js'
import { webhookAdapter } from '../../src/adapters/webhook/index.js'
import { webhookSettings } from '../../src/config/destinations/webhook.js'
import { AddressGuard } from '../../src/core/address-guard.js'
import { startHttpReceiver } from '../support/http-receiver.js'
import { startNameServer } from '../support/name-server.js'
import { blockedAddresses, blockedAnswers, blockedHosts, publicAddresses } from './ssrf-corpus.js'
import { silentLogger } from './rabbitmq-fixture.js'
import { brief, deliverOne, failureText } from './webhook-fixture.js'

// what is refused too late is seen by one of these
const receiver = await startHttpReceiver()
const names = await startNameServer()
const usual = dns.getServers()
dns.setServers([names.address])
afterAll(() => {
  dns.setServers(usual)
  names.close()
})

const base = webhookSettings.parse({ url: 'https://partner.example', allowHttp: true, timeoutMs: 3000 })

/** With a URL that never met the check of the configuration: as a name, or data of a customer, would. */
async function deliverTo(url: string): Promise<ReturnType<typeof deliverOne>> {
  const adapter = webhookAdapter.create({ ...base, url }, { destination: 'partner', logger: silentLogger })
  try {
    return await deliverOne(adapter)
  } finally {
    await adapter.close()
  }
}

function expectRefused(outcome: Awaited<ReturnType<typeof deliverOne>>): void {
  expect(brief(outcome)).toBe('misconfigured ADDRESS_BLOCKED')
  expect(failureText(outcome)).toContain('allowNetworks')
  expect(receiver.openConnections()).toBe(0)
  expect(receiver.received()).toHaveLength(0)
}

const bracketed = (address: string): string => (address.includes(':') ? `[${address}]` : address)

test('the corpus has grown to 250 cases at least, and none is there twice', () => {
  for (const list of [blockedAddresses, blockedHosts, publicAddresses]) expect(new Set(list).size).toBe(list.length)
  expect(blockedAddresses.length * 2 + blockedHosts.length + blockedAnswers.length).toBeGreaterThanOrEqual(250)
})

test.each(blockedAddresses)('%s in a URL is not connected to', async (address) => {
  expectRefused(await deliverTo(`http://${bracketed(address)}:${receiver.port}/`))
})

test.each(blockedAddresses.map((address, index) => [address, `a-${index}.test`] as const))(
  '%s as the answer of a resolver is not connected to',
  async (address, name) => {
    names.set(name, [address])
    const outcome = await deliverTo(`http://${name}:${receiver.port}/`)
    expectRefused(outcome)
    expect(names.asked.some((question) => question.startsWith(`${name} `))).toBe(true)
  },
)

test.each(blockedHosts)('the host %j is not connected to', async (host) => {
  expectRefused(await deliverTo(`http://${host}:${receiver.port}/`))
})

test.each(blockedAnswers.map((addresses, index) => [addresses, `many-${index}.test`] as const))(
  '%j together are not connected to',
  async (addresses, name) => {
    names.set(name, addresses)
    expectRefused(await deliverTo(`http://${name}:${receiver.port}/`))
  },
)

const own = Object.values(networkInterfaces()).flatMap((each) => each ?? [])
test.each(own.map(({ address }) => address))('%s, which this machine has, is not connected to', async (address) => {
  // public or not: as if no list had it
  const guard = Object.assign(new AddressGuard(), { refusal: () => undefined })
  const connect = guardedConnector({ guard, allowHttp: true }, { timeout: 2000 })
  const target = { hostname: address, host: address, protocol: 'http:', port: String(receiver.port) }
  const error = await new Promise<unknown>((resolve) => connect(target, (failed, socket) => resolve(failed ?? socket)))
  expect(error).toMatchObject({ code: 'WAYBILL_ADDRESS_BLOCKED' })
  expect(receiver.openConnections()).toBe(0)
})

describe('what is public passes', () => {
  test.each(publicAddresses)('%s', (address) => {
    expect(new AddressGuard().refusal(address)).toBeUndefined()
  })

  test('of a name with both, only the public address is connected to', async () => {
    names.set('mixed.test', ['127.0.0.1', '192.0.2.1'])
    expectRefused(await deliverTo(`http://mixed.test:${receiver.port}/`))
    // 240 ms an address, and nothing listens there: whatever it says, it is no answer of ours
    names.set('half.test', ['127.0.0.1', '1.1.1.1'])
    const adapter = webhookAdapter.create(
      { ...base, timeoutMs: 500, url: `http://half.test:${receiver.port}/` },
      { destination: 'partner', logger: silentLogger },
    )
    expect(brief(await deliverOne(adapter))).toMatch(/^pause CONNECT|^pause TIMEOUT/)
    await adapter.close()
    expect(receiver.received()).toHaveLength(0)
  })
})
