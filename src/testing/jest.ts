/** `waybill/testing/jest`: the matchers, and their types for jest's global `expect` and that of `@jest/globals`. */
import type { WaybillAssertions } from './matchers.js'

declare global {
  // eslint-disable-next-line @typescript-eslint/no-namespace -- as @types/jest declares it
  namespace jest {
    // eslint-disable-next-line @typescript-eslint/no-unused-vars, @typescript-eslint/no-empty-object-type
    interface Matchers<R, T> extends WaybillAssertions {}
  }
}

// @ts-ignore: jest's own package, which is there only where jest is
declare module 'expect' {
  // eslint-disable-next-line @typescript-eslint/no-unused-vars, @typescript-eslint/no-empty-object-type
  interface Matchers<R extends void | Promise<void>, T> extends WaybillAssertions {}
}

export { waybillMatchers, type WaybillAssertions } from './matchers.js'
