import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, it } from 'vitest'
import { timeLimit } from '../../src/core/time-limit.js'

describe('a time limit', () => {
  it('aborts when its time is over, whatever garbage is collected meanwhile', async () => {
    setFlagsFromString('--expose-gc')
    const collect = runInNewContext('gc') as () => void
    const { signal } = timeLimit(100, new AbortController().signal)
    await sleep(20)
    collect()
    expect(signal.aborted).toBe(false)
    await sleep(150)
    expect(signal.reason).toMatchObject({ name: 'TimeoutError' })
  })

  it('aborts as the other signal does, before or after it was made', () => {
    const stop = new AbortController()
    const limit = timeLimit(60_000, stop.signal)
    stop.abort('stopped')
    expect(limit.signal.reason).toBe('stopped')
    expect(timeLimit(60_000, stop.signal).signal.reason).toBe('stopped')
    limit.clear()
  })

  it('that was cleared never aborts', async () => {
    const stop = new AbortController()
    const limit = timeLimit(10, stop.signal)
    limit.clear()
    stop.abort()
    await sleep(30)
    expect(limit.signal.aborted).toBe(false)
  })
})
