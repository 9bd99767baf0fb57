import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { encodeKey, encodeName, isPlainName, isPlainValue } from '../../src/adapters/webhook/header-text.js'
import { createHeaderBuilder } from '../../src/adapters/webhook/request-headers.js'
import { Secret } from '../../src/config/destinations/secret.js'
import { outbound } from '../contract/webhook-fixture.js'

/** Any text that PostgreSQL can hold: no lone surrogates. */
const text = fc.string({ unit: 'binary' })

describe('encodeKey', () => {
  test('gives what a header can carry, and decodeURIComponent gives the key back', () => {
    fc.assert(
      fc.property(text, (key) => {
        const encoded = encodeKey(key)
        expect(encoded).toMatch(/^[\x21-\x7e]*$/)
        expect(decodeURIComponent(encoded)).toBe(key)
      }),
    )
  })

  test('leaves ordinary keys as they are', () => {
    for (const key of ['', 'customer-1', 'a/b:c=d@e', '0190c0de-7a01']) expect(encodeKey(key)).toBe(key)
    expect(encodeKey('50% é')).toBe('50%25%20%C3%A9')
  })

  test('encodes half a surrogate pair as the replacement character', () => {
    expect(encodeKey('a\ud83d')).toBe('a%EF%BF%BD')
  })
})

test('encodeName gives a header name, and decodeURIComponent gives the text back', () => {
  fc.assert(
    fc.property(
      text.filter((name) => name !== ''),
      (name) => {
        const encoded = encodeName(name)
        expect(encoded).toMatch(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/)
        expect(decodeURIComponent(encoded)).toBe(name)
      },
    ),
  )
})

test.each([
  ['', true],
  ['a', true],
  ['a b', true],
  [' a', false],
  ['a ', false],
  ['a\tb', false],
  ['a\r\nb', false],
  ['ä', false],
  ['100%', true],
])('isPlainValue(%j) is %s', (value, expected) => {
  expect(isPlainValue(value)).toBe(expected)
})

describe('the header builder', () => {
  const build = createHeaderBuilder({
    headers: { 'X-Key': new Secret('ours') },
    secrets: [new Secret('raw')],
    signContext: false,
  })
  const pairs = (list: string[]): [string, string][] =>
    Array.from({ length: list.length / 2 }, (_, n) => [list[2 * n] ?? '', list[2 * n + 1] ?? ''])

  test('writes no name twice, no line break and nothing forged, whatever an application gives', () => {
    const names = fc.oneof(
      text,
      fc.constantFrom(
        'webhook-id',
        'Webhook-Signature',
        'HOST',
        'content-type',
        'x-key',
        'authorization',
        'connection',
        'x-a',
        'X-A',
      ),
    )
    fc.assert(
      fc.property(fc.dictionary(names, text, { noNullPrototype: true }), (headers) => {
        const lower = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
        const message = outbound({ headers: lower })
        const written = pairs(build(message, Buffer.from(message.payload), 1_700_000_000, 'Bearer t'))
        const written1 = written.map(([name]) => name.toLowerCase())
        expect(new Set(written1).size).toBe(written1.length)
        for (const [name, value] of written) {
          expect(isPlainName(name.toLowerCase())).toBe(true)
          expect(isPlainValue(value)).toBe(true)
        }
        const sent = Object.fromEntries(written)
        expect(sent).toMatchObject({ 'webhook-id': message.id, authorization: 'Bearer t', 'x-key': 'ours' })
        expect(sent['content-type']).toBe('application/json')
        expect(written1).not.toContain('host')
        expect(written1).not.toContain('connection')
      }),
    )
  })
})
