import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { InputError } from '../../src/core/errors.js'
import { encodeJson } from '../../src/queue-facade/json-encode.js'
import { rawJson } from '../../src/queue-facade/raw-json.js'

function problemsOf(value: unknown): Record<string, string> {
  try {
    encodeJson(value, ['payload'])
  } catch (error) {
    if (!(error instanceof InputError)) throw error
    expect(error.code).toBe('WAYBILL_PAYLOAD_INVALID')
    return Object.fromEntries(error.problems.map((problem) => [problem.path, problem.message]))
  }
  return {}
}

const circle: Record<string, unknown> = { a: 1 }
circle['list'] = [circle]

class Money {
  constructor(readonly cents: number) {}
  toJSON(): string {
    return (this.cents / 100).toFixed(2)
  }
}
class Point {
  constructor(
    readonly x: number,
    readonly y: number,
  ) {}
}

describe('what JSON would change silently is refused, with its path', () => {
  it.each<[string, unknown, string, RegExp]>([
    ['undefined', undefined, 'payload', /is undefined/],
    ['undefined in an array', { a: [1, undefined] }, 'payload.a[1]', /is undefined/],
    ['a hole in an array', [1, , 3], 'payload[1]', /is undefined/], // eslint-disable-line no-sparse-arrays
    ['NaN', { a: { b: NaN } }, 'payload.a.b', /is NaN/],
    ['Infinity', [-Infinity], 'payload[0]', /is -Infinity/],
    ['a BigInt', { 'order id': 1n }, 'payload["order id"]', /BigInt.*convert/],
    ['a function', { f: () => 1 }, 'payload.f', /is a function/],
    ['a symbol', { s: Symbol('x') }, 'payload.s', /is a symbol/],
    ['a Map', { m: new Map([[1, 2]]) }, 'payload.m', /Map.*Object\.fromEntries/],
    ['a Set', { m: new Set([1]) }, 'payload.m', /Set.*\[\.\.\.set\]/],
    ['an Error', { e: new Error('secret') }, 'payload.e', /Error.*name and message/],
    ['a Promise', { p: Promise.resolve(1) }, 'payload.p', /await/],
    ['bytes', { b: new Uint8Array(2) }, 'payload.b', /base64/],
    ['a regular expression', { r: /x/ }, 'payload.r', /RegExp/],
    ['an invalid Date', { d: new Date(NaN) }, 'payload.d', /invalid Date/],
    ['a boxed NaN', { n: new Number(NaN) }, 'payload.n', /is NaN/],
    ['a circle', { deep: circle }, 'payload.deep.list[0]', /refers back to payload\.deep;/],
    ['U+0000', { s: 'a\0b' }, 'payload.s', /U\+0000/],
    ['half a surrogate pair', { s: 'a\ud83d' }, 'payload.s', /half a surrogate pair/],
    ['a name with U+0000', { inner: { 'a\0': 1 } }, 'payload.inner', /name/],
    ['what a toJSON gives', { a: { toJSON: () => ({ b: NaN }) } }, 'payload.a.b', /is NaN/],
  ])('%s', (_name, value, path, message) => {
    const problems = problemsOf(value)
    expect(Object.keys(problems)).toEqual([path])
    expect(problems[path]).toMatch(message)
  })

  it('lists everything that is wrong, and quotes no value', () => {
    const problems = problemsOf({ a: NaN, b: 'secret\0', c: [undefined] })
    expect(Object.keys(problems)).toEqual(['payload.a', 'payload.b', 'payload.c[0]'])
    expect(JSON.stringify(problems)).not.toContain('secret')
  })

  it('refuses what is nested too deep without overflowing the stack', () => {
    const nest = (levels: number): unknown => {
      let value: unknown = 1
      for (let i = 0; i < levels; i++) value = [value]
      return value
    }
    expect(encodeJson(nest(1000), ['payload'])).toHaveLength(2001)
    expect(problemsOf(nest(1001))).toEqual({ payload: 'is nested deeper than 1000 levels' })
    expect(problemsOf(nest(100_000))).toEqual({ payload: 'is nested deeper than 1000 levels' })
  })
})

describe('what JSON has a form for is written as JSON.stringify writes it', () => {
  it.each<[string, unknown]>([
    ['null', null],
    ['a Date', { at: new Date(0) }],
    ['undefined members', { a: undefined, b: 1 }],
    ['toJSON', [new Money(1250)]],
    ['a class instance', new Point(1, 2)],
    ['an object without prototype', Object.assign(Object.create(null) as object, { a: 1 })],
    ['the same object twice', [circle['a'], [1], [1]]],
    ['a Buffer, which has a toJSON', Buffer.from('x')],
    ['a backslash before u0000', { s: '\\u0000 \\\\ud800' }],
    ['other control characters and pairs', { s: '\u0001\u001f\u2028 😀 é' }],
    ['boxed primitives', [new String('x'), new Boolean(false)]],
    ['-0', -0],
  ])('%s', (_name, value) => {
    expect(encodeJson(value, ['payload'])).toBe(JSON.stringify(value))
  })

  it('any JSON value', () => {
    const strings = fc.string({ unit: 'grapheme' })
    const value = fc.letrec((tie) => ({
      value: fc.oneof(
        { depthSize: 'small' },
        strings,
        fc.double({ noNaN: true, noDefaultInfinity: true }),
        fc.boolean(),
        fc.constant(null),
        fc.date({ noInvalidDate: true }),
        fc.array(tie('value')),
        fc.dictionary(strings, fc.option(tie('value'), { nil: undefined })),
      ),
    })).value
    fc.assert(
      fc.property(value, (input) => {
        fc.pre(!/\\u0000/.test(JSON.stringify(input)))
        expect(encodeJson(input, ['payload'])).toBe(JSON.stringify(input))
      }),
    )
  })

  it('any string either as JSON.stringify writes it or, when ill-formed or with U+0000, not at all', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary' }).chain((s) => fc.constantFrom(s, `${s}\\`, `\\${s}\ud800`, `\\\\${s}\0`)),
        (text) => {
          const refused = Object.keys(problemsOf({ text })).length > 0
          expect(refused).toBe(/[\0\p{Surrogate}]/u.test(text))
        },
      ),
    )
  })
})

describe('rawJson', () => {
  it.each(['{"b":1, "a":12345678901234567890.000}', ' null ', '"\\u0000\\ud800"'])('keeps %s', (text) => {
    expect(rawJson(text).text).toBe(text)
  })

  it.each(['', '{', '{a:1}', '1 2', '"\ud800"', 'NaN'])('refuses %j', (text) => {
    expect(() => rawJson(text)).toThrow(InputError)
  })

  it('does not repeat the text in its error', () => {
    expect(() => rawJson('{"card":"4111 1111" oops')).toThrow(/^(?!.*4111)/s)
    expect(() => rawJson(1 as never)).toThrow(/is a number; give JSON text/)
  })
})
