import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { Queue } from '../../src/index.js'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

const forever = { query: () => new Promise<never>(() => undefined) }

it('close waits for 10 seconds at most, and warns of what is open', async () => {
  const queue = new Queue()
  const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
  for (let n = 0; n < 2; n++) void queue.publish('order.created', n, { tx: forever })
  void queue.cancel('f81d4fae-7dec-11d0-a765-00a0c91e6bf6', { tx: forever })
  const closed = vi.fn()
  const closing = queue.close().then(closed)
  await vi.advanceTimersByTimeAsync(9_990)
  expect(closed).not.toHaveBeenCalled()
  await vi.advanceTimersByTimeAsync(20)
  await closing
  expect(warned).toHaveBeenCalledOnce()
  expect(warned.mock.calls[0]).toEqual([
    expect.stringContaining('order.created (2), cancel'),
    { code: 'WAYBILL_PUBLISH_OPEN' },
  ])
  warned.mockRestore()
})

it('close waits no longer than needed, and warns of nothing then', async () => {
  const queue = new Queue()
  const warned = vi.spyOn(process, 'emitWarning')
  await expect(queue.publish('a.b', 1, {} as never)).rejects.toMatchObject({ code: 'WAYBILL_TX_REQUIRED' })
  await queue.close()
  await queue.close()
  expect(warned).not.toHaveBeenCalled()
  expect(vi.getTimerCount()).toBe(0)
})
