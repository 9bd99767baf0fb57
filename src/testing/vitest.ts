/// <reference types="vitest" />
/** `waybill/testing/vitest`: the matchers, and their types for vitest 3.2 and later. */
import type { WaybillAssertions } from './matchers.js'

declare module 'vitest' {
  // eslint-disable-next-line @typescript-eslint/no-unused-vars, @typescript-eslint/no-empty-object-type -- as vitest declares it
  interface Matchers<T> extends WaybillAssertions {}
}

export { waybillMatchers, type WaybillAssertions } from './matchers.js'
