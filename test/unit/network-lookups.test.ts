import { getServers, lookup as systemLookup, setServers } from 'node:dns'
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest'
import { Lookups, type LookupSources } from '../../src/network/lookups.js'
import { SystemLookup } from '../../src/network/system-lookup.js'
import { startNameServer } from '../support/name-server.js'

const server = await startNameServer()
const usual = getServers()
setServers([server.address])
afterAll(() => {
  setServers(usual)
  server.close()
})
afterEach(() => {
  server.asked.length = 0
})

/** Nothing but the name servers knows anything. */
function lookups(sources: Partial<LookupSources> = {}): Lookups {
  const nothing = { find: () => Promise.reject(Object.assign(new Error('no'), { code: 'ENOTFOUND' })) }
  return new Lookups({ system: nothing, ...sources })
}

const codeOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'found',
    (error: unknown) => (error as { code?: unknown }).code,
  )

test('a name is looked up once, however many wait for it, and then remembered', async () => {
  server.set('one.test', ['127.0.0.1', '::1'])
  const names = lookups()
  const all = await Promise.all(Array.from({ length: 50 }, () => names.find('ONE.test')))
  expect(new Set(all.map((found) => JSON.stringify(found)))).toEqual(
    new Set(['[{"address":"127.0.0.1","family":4},{"address":"::1","family":6}]']),
  )
  await names.find('one.test')
  expect(server.asked.sort()).toEqual(['one.test A', 'one.test AAAA'])
})

test('a name that moves is found where it is once its time is over, which is a second at least', async () => {
  server.set('moving.test', ['127.0.0.1'], 0)
  const names = lookups()
  expect((await names.find('moving.test'))[0]?.address).toBe('127.0.0.1')
  server.set('moving.test', ['127.0.0.2'], 0)
  expect((await names.find('moving.test'))[0]?.address).toBe('127.0.0.1')
  await vi.waitFor(async () => expect((await names.find('moving.test'))[0]?.address).toBe('127.0.0.2'), 3000)
})

test('what is not found is asked for again after a second, and not before', async () => {
  const names = lookups()
  const tries = await Promise.all(Array.from({ length: 20 }, () => codeOf(names.find('nowhere.test'))))
  expect(new Set([...tries, await codeOf(names.find('nowhere.test'))])).toEqual(new Set(['ENOTFOUND']))
  expect(server.asked).toHaveLength(2)
  server.set('nowhere.test', ['127.0.0.1'])
  await vi.waitFor(async () => expect(await codeOf(names.find('nowhere.test'))).toBe('found'), 3000)
})

test('one family is enough where name servers say nothing of the other', async () => {
  server.set('half.test', ['127.0.0.9'])
  server.silentFor('AAAA')
  const from = performance.now()
  const found = await lookups()
    .find('half.test')
    .finally(() => server.silentFor(undefined))
  expect(found).toEqual([{ address: '127.0.0.9', family: 4 }])
  expect(performance.now() - from).toBeLessThan(1000)
})

test('name servers that say nothing end the look-up in time, and keep nothing else waiting', async () => {
  const dead = Array.from({ length: 40 }, (_, index) => `dead-${index}.test`)
  for (const name of dead) server.set(name, 'silent')
  server.set('alive.test', ['127.0.0.1'])
  const system = { find: vi.fn(() => Promise.resolve([])) }
  const names = lookups({ system })
  const from = performance.now()
  const gone = dead.map((name) => codeOf(names.find(name)))
  for (let round = 0; round < 20; round++) {
    expect(await codeOf(lookups().find('alive.test'))).toBe('found')
    // the threads are free: this one needs one of them
    await new Promise<void>((resolve, reject) =>
      systemLookup('127.0.0.1', (error) => (error ? reject(error) : resolve())),
    )
  }
  expect(performance.now() - from).toBeLessThan(2000)
  expect(new Set(await Promise.all(gone))).toEqual(new Set(['EAI_AGAIN']))
  expect(performance.now() - from).toBeLessThan(8000)
  expect(system.find).not.toHaveBeenCalled()
}, 20_000)

describe("the system's own look-up", () => {
  test('finds what no name server knows', async () => {
    const system = { find: () => Promise.resolve([{ address: '10.1.1.1', family: 4 }]) }
    expect(await lookups({ system }).find('printer.local')).toEqual([{ address: '10.1.1.1', family: 4 }])
  })

  test.each([2, 5])(
    'is asked, too, where the name servers fail (%i), which is no proof that there is none',
    async (code) => {
      server.set(`broken-${code}.test`, code)
      expect(await codeOf(lookups().find(`broken-${code}.test`))).toBe('EAI_AGAIN')
    },
  )

  test('is used one name at a time, and given up by those whose time is up', async () => {
    const begun: string[] = []
    const ends: (() => void)[] = []
    const look = ((name: string, _: object, done: (error: null, found: unknown[]) => void) => {
      begun.push(name)
      ends.push(() => done(null, [{ address: '127.0.0.1', family: 4 }]))
    }) as unknown as typeof systemLookup
    const system = new SystemLookup(look)
    const hanging = system.find('hangs', 20)
    const late = system.find('late', 20)
    const patient = system.find('patient', 10_000)
    expect(await Promise.all([hanging, late])).toEqual([undefined, undefined])
    expect(begun).toEqual(['hangs'])
    ends.shift()?.()
    expect(begun).toEqual(['hangs', 'patient'])
    ends.shift()?.()
    expect(await patient).toHaveLength(1)
  })
})

test('a socket is given what it asks for', async () => {
  server.set('both.test', ['127.0.0.1', '::1'])
  const { lookup } = lookups()
  const ask = (options: object): Promise<unknown> =>
    new Promise((resolve) => lookup('both.test', options, (...answer) => resolve(answer)))
  expect(await ask({ all: true })).toEqual([
    null,
    [
      { address: '127.0.0.1', family: 4 },
      { address: '::1', family: 6 },
    ],
  ])
  expect(await ask({ family: 6 })).toEqual([null, '::1', 6])
  expect(await ask({})).toEqual([null, '127.0.0.1', 4])
})
