import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { HostsFile, parseHosts } from '../../src/network/hosts-file.js'
import { isOwnAddress } from '../../src/network/own-addresses.js'
import { fullNames, parseSearchList } from '../../src/network/search-list.js'
import { networkInterfaces } from 'node:os'

describe('the hosts file', () => {
  test('gives a name every address, in its order, whatever the case and the comments', () => {
    const text =
      '# 9.9.9.9 comment\r\n127.0.0.1\tlocalhost DB.Internal # 8.8.8.8 x\n::1 localhost\nnonsense localhost\n\n'
    const hosts = parseHosts(text)
    expect(hosts.get('localhost')).toEqual([
      { address: '127.0.0.1', family: 4 },
      { address: '::1', family: 6 },
    ])
    expect(hosts.get('db.internal')).toEqual([{ address: '127.0.0.1', family: 4 }])
    expect([...hosts.keys()]).toEqual(['localhost', 'db.internal'])
  })

  test('is read again when it has changed, and does without where it is not there', () => {
    const path = join(mkdtempSync(join(tmpdir(), 'hosts-')), 'hosts')
    const hosts = new HostsFile(path)
    expect(hosts.find('a.test')).toEqual([])
    writeFileSync(path, '127.0.0.2 a.test\n')
    expect(hosts.find('a.test')).toEqual([{ address: '127.0.0.2', family: 4 }])
    writeFileSync(path, '127.0.0.33 a.test\n')
    expect(hosts.find('a.test')).toEqual([{ address: '127.0.0.33', family: 4 }])
  })
})

describe('names that are not written in full', () => {
  const kubernetes =
    'search shop.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\nnameserver 10.0.0.10\n'
  test('are tried with the domains of Kubernetes first, and those with enough dots last', () => {
    const list = parseSearchList(kubernetes)
    expect(fullNames('crm.partners', list)).toEqual([
      'crm.partners.shop.svc.cluster.local',
      'crm.partners.svc.cluster.local',
      'crm.partners.cluster.local',
      'crm.partners',
    ])
    expect(fullNames('a.b.c.d.e.f', list)[0]).toBe('a.b.c.d.e.f')
    expect(fullNames('crm.example.', list)).toEqual(['crm.example'])
  })
  test.each([
    ['', { domains: [], ndots: 1 }],
    ['domain a.example\nsearch b.example. c.example # x\n', { domains: ['b.example', 'c.example', 'x'], ndots: 1 }],
    ['options ndots:99 rotate\n# search no.example', { domains: [], ndots: 15 }],
  ])('%j', (text, list) => {
    expect(parseSearchList(text)).toEqual(list)
  })
})

test('the addresses of this machine are its own in every spelling, and no others are', () => {
  const all = Object.values(networkInterfaces()).flatMap((each) => each ?? [])
  expect(all.length).toBeGreaterThan(0)
  for (const { address, family } of all) {
    expect(isOwnAddress(address)).toBe(true)
    if (family === 'IPv4') expect(isOwnAddress(`::ffff:${address}`)).toBe(true)
  }
  expect(['8.8.8.8', '2606:4700::1111', '', 'localhost'].some(isOwnAddress)).toBe(false)
})
