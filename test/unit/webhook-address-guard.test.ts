import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { AddressGuard, literalAddress, parseNetwork } from '../../src/core/address-guard.js'

const guard = new AddressGuard()

test.each([
  ['127.0.0.1', 'loopback'],
  ['127.255.255.254', 'loopback'],
  ['::1', 'loopback'],
  ['::ffff:127.0.0.1', 'loopback'],
  ['::ffff:7f00:1', 'loopback'],
  ['64:ff9b::127.0.0.1', 'loopback'],
  ['2002:7f00:1::', 'loopback'],
  ['0.0.0.0', 'unspecified'],
  ['::', 'unspecified'],
  ['10.0.0.1', 'private'],
  ['172.16.0.1', 'private'],
  ['172.31.255.255', 'private'],
  ['192.168.0.1', 'private'],
  ['fd12:3456::1', 'private'],
  ['fec0::1', 'private'],
  ['::ffff:10.0.0.1', 'private'],
  ['169.254.169.254', 'cloud metadata'],
  ['168.63.129.16', 'cloud metadata'],
  ['100.100.100.200', 'cloud metadata'],
  ['fd00:ec2::254', 'cloud metadata'],
  ['169.254.1.1', 'link-local'],
  ['fe80::1', 'link-local'],
  ['fe80::1%eth0', 'link-local'],
  ['100.64.0.1', 'shared (carrier-grade NAT)'],
  ['224.0.0.251', 'multicast'],
  ['ff02::1', 'multicast'],
  ['192.88.99.1', 'tunnel'],
  ['2001::1', 'tunnel'],
  ['64:ff9b:1::1', 'tunnel'],
  ['255.255.255.255', 'reserved'],
  ['240.0.0.1', 'reserved'],
  ['198.51.100.7', 'reserved'],
  ['2001:db8::1', 'reserved'],
  ['::127.0.0.1', 'reserved'],
  ['::ffff:0:127.0.0.1', 'reserved'],
  ['4000::1', 'reserved'],
  ['partner.example', 'not an address'],
  ['', 'not an address'],
])('%s is refused as %s', (address, reason) => {
  expect(guard.refusal(address)).toBe(reason)
})

test.each([
  '8.8.8.8',
  '172.15.255.255',
  '172.32.0.0',
  '100.128.0.0',
  '2606:4700::1111',
  '::ffff:8.8.8.8',
  '64:ff9b::8.8.8.8',
  '2002:808:808::1',
])('%s is public', (address) => {
  expect(guard.refusal(address)).toBeUndefined()
})

test('an IPv4 address and its mapped form are treated alike', () => {
  const mine = new AddressGuard(['10.1.0.0/16', '8.8.0.0/16'])
  fc.assert(
    fc.property(fc.ipV4(), (address) => {
      for (const one of [guard, mine]) {
        expect(one.refusal(`::ffff:${address}`)).toBe(one.refusal(address))
        expect(one.isAllowListed(`::ffff:${address}`)).toBe(one.isAllowListed(address))
      }
    }),
  )
})

test('no address that is text of IPv6 makes it throw', () => {
  fc.assert(fc.property(fc.ipV6(), (address) => void guard.refusal(address)))
})

describe('allow-listed', () => {
  const mine = new AddressGuard(['10.1.0.0/16', 'fd00:1::/32', '::1'])
  test.each(['10.1.0.0', '10.1.255.255', '::ffff:10.1.2.3', 'fd00:1::5', '::1'])('%s passes', (address) => {
    expect(mine.refusal(address)).toBeUndefined()
    expect(mine.isAllowListed(address)).toBe(true)
  })
  test.each(['10.2.0.0', 'fd00:2::5', '127.0.0.1', '64:ff9b::10.1.0.1', '2002:a01:1::'])('%s does not', (address) => {
    expect(mine.refusal(address)).toBeTypeOf('string')
    expect(mine.isAllowListed(address)).toBe(false)
  })
  test('a public address passes without being listed', () => {
    expect([mine.refusal('8.8.8.8'), mine.isAllowListed('8.8.8.8')]).toEqual([undefined, false])
  })
})

test.each([
  '',
  '10.0.0.0/33',
  '::/129',
  '10.0.0.0/',
  '10.0.0.0/8/8',
  '10.0.0/8',
  '10.0.0.0/-1',
  'fe80::1%eth0',
  'localhost',
])('%j is not a network', (text) => {
  expect(parseNetwork(text)).toBeUndefined()
  expect(() => new AddressGuard([text])).toThrow(RangeError)
})

test.each([
  ['http://0x7f000001/', '127.0.0.1'],
  ['http://127.1/', '127.0.0.1'],
  ['http://2130706433/', '127.0.0.1'],
  ['http://[::ffff:127.0.0.1]/', '::ffff:7f00:1'],
  ['http://[::1]:80/', '::1'],
  ['http://localhost/', undefined],
])('the host of %s is the address %s', (url, address) => {
  expect(literalAddress(new URL(url))).toBe(address)
})
