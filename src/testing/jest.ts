/** `waybill/testing/jest`: the matchers, and their types for jest's global `expect` and that of `@jest/globals`. */
import type { WaybillAssertions } from './matchers.js'

declare global {
  // eslint-disable-next-line @typescript-eslint/no-namespace -- as @types/jest declares it
  namespace jest {
    // eslint-disable-next-line @typescript-eslint/no-unused-vars, @typescript-eslint/no-empty-object-type
    interface Matchers<R, T> extends WaybillAssertions {}
  }
}

// eslint-disable-next-line @typescript-eslint/ban-ts-comment -- it is an error only where jest is not there
// @ts-ignore: jest's own package
declare module 'expect' {
  // eslint-disable-next-line @typescript-eslint/no-unused-vars, @typescript-eslint/no-empty-object-type
  interface Matchers<R extends void | Promise<void>, T> extends WaybillAssertions {}
}

export { waybillMatchers, type WaybillAssertions } from './matchers.js'
