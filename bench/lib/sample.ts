import { v7 } from 'uuid'

export interface Sample {
  readonly id: string
  readonly key: string
  readonly payload: string
}

/** The messages that `fillLog` writes, for sides that need no database. */
export function samples(count: number): Sample[] {
  const note = 'x'.repeat(120)
  return Array.from({ length: count }, (_, i) => {
    const g = i + 1
    const key = `customer-${g % 1000}`
    const payload = `{"orderId":${g},"customer":"${key}","total":"129.90","currency":"EUR","note":"${note}"}`
    return { id: v7(), key, payload }
  })
}
