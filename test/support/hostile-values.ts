import { runInNewContext } from 'node:vm'

const fail = (): never => {
  throw new Error('a member of the value throws')
}

const throwing = new Proxy(
  {},
  Object.fromEntries(
    ['get', 'has', 'getPrototypeOf', 'ownKeys', 'getOwnPropertyDescriptor', 'set', 'apply'].map((trap) => [trap, fail]),
  ),
)

function revoked(target: object): object {
  const { proxy, revoke } = Proxy.revocable(target, {})
  revoke()
  return proxy
}

function errorWith(members: PropertyDescriptorMap): Error {
  return Object.defineProperties(new Error('x'), members)
}

function cyclic(): Error {
  const error = new Error('circle')
  error.cause = new Error('back', { cause: error })
  return error
}

function branded(symbol: string, value: unknown, more: object = {}): object {
  return Object.assign(new Error('branded'), { [Symbol.for(symbol)]: value }, more)
}

/**
 * What an application's code may throw, return or hand over, and what code that expects an `Error` or data trips over. Each is
 * made anew, so that one use does not spoil the next.
 */
export const hostileValues: Readonly<Record<string, () => unknown>> = {
  undefined: () => undefined,
  null: () => null,
  'a symbol': () => Symbol('thrown'),
  'a BigInt': () => 10n,
  NaN: () => NaN,
  'an object without a prototype': () => Object.create(null) as unknown,
  'an object whose toString throws': () => ({ toString: fail }),
  'an object whose toJSON throws': () => ({ toJSON: fail }),
  'an object whose getters throw': () =>
    Object.defineProperties(
      {},
      Object.fromEntries(
        ['message', 'name', 'code', 'stack', 'then', 'toJSON', 'issues', 'value', 'cause'].map((name) => [
          name,
          { get: fail, enumerable: true },
        ]),
      ),
    ),
  'a Proxy that throws': () => throwing,
  'a revoked Proxy': () => revoked({}),
  'a revoked Proxy of an Error': () => revoked(new Error('gone')),
  'a revoked Proxy of a function': () => revoked(() => undefined),
  'a revoked Proxy of an array': () => revoked([]),
  'an Error whose message is a list': () => errorWith({ message: { value: ['email is taken'] } }),
  'an Error whose message is undefined': () => errorWith({ message: { value: undefined } }),
  'an Error whose message is a circle': () => {
    const message: { own?: unknown } = {}
    message.own = message
    return errorWith({ message: { value: message } })
  },
  'an Error whose name, code and stack are no text': () =>
    errorWith({ stack: { value: 7 }, name: { value: Symbol('name') }, code: { value: { a: 1 } } }),
  'an Error whose members throw': () =>
    errorWith({ stack: { get: fail }, message: { get: fail }, name: { get: fail }, code: { get: fail } }),
  'an Error with a code of NUL and half a surrogate pair': () =>
    Object.assign(new Error('half \ud83d and \0'), { code: '\0\udc00' }),
  'an Error with a huge message': () => new Error('x'.repeat(5_000_000)),
  'a huge text': () => '🚀'.repeat(1_000_000),
  'an Error of a circle': cyclic,
  'an Error of another realm': () => runInNewContext('new Error("elsewhere")') as unknown,
  'a rejected Promise of another realm': () => runInNewContext('Promise.reject(new Error("elsewhere"))') as unknown,
  'a thenable that rejects': () => ({ then: (_: unknown, reject: (e: unknown) => void) => reject(null) }),
  'a thenable that throws': () => ({ then: fail }),
  'a thenable that never settles': () => ({ then: () => undefined }),
  'a job decision that there is not': () => branded('waybill.jobDecision', 'explode'),
  'a job decision that is no text': () => branded('waybill.jobDecision', { toUpperCase: fail }),
  'a snooze of no number': () => branded('waybill.jobDecision', 'snooze', { ms: { valueOf: fail } }),
  'a snooze of NaN': () => branded('waybill.jobDecision', 'snooze', { ms: 'soon' }),
  'a discard without a text': () => branded('waybill.jobDecision', 'discard', { message: 7 }),
  'a WaybillError that is none': () => ({ [Symbol.for('waybill.error')]: true }),
}

/** Whether what is awaited would never come. */
export function neverSettles(name: string): boolean {
  return name === 'a thenable that never settles'
}
