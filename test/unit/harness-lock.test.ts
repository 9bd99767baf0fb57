import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { withLock } from '../../scripts/services/lock.js'

let directory: string
beforeAll(async () => void (directory = await mkdtemp(join(tmpdir(), 'waybill-lock-'))))
afterAll(() => rm(directory, { recursive: true }))

test('one holder at a time, and nothing left behind', async () => {
  const path = join(directory, 'busy/services.lock')
  let inside = 0
  let most = 0
  await Promise.all(
    [1, 2, 3].map(() =>
      withLock(
        path,
        () => undefined,
        async () => {
          most = Math.max(most, ++inside)
          await sleep(20)
          inside--
        },
      ),
    ),
  )
  expect(most).toBe(1)
  expect(await readdir(join(directory, 'busy'))).toEqual([])
})

test('the lock of a dead process is taken over', async () => {
  const path = join(directory, 'stale.lock')
  // No process has this pid with this start time.
  await writeFile(path, `${process.pid} 1`)
  expect(
    await withLock(
      path,
      () => undefined,
      async () => 'mine',
    ),
  ).toBe('mine')
})

test('is given back when the work fails', async () => {
  const path = join(directory, 'failed.lock')
  const fail = () => Promise.reject(new Error('no'))
  await expect(withLock(path, () => undefined, fail)).rejects.toThrow('no')
  await expect(withLock(path, () => undefined, fail)).rejects.toThrow('no')
})
