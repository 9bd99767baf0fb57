import { link, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { processStarted } from './processes.js'

/**
 * Runs `work` while no other process holds the lock file. A lock whose holder died is taken over.
 * `link` gives the file its content and its name in one step, so a reader never finds it half-written.
 */
export async function withLock<T>(path: string, onWait: () => void, work: () => Promise<T>): Promise<T> {
  await mkdir(dirname(path), { recursive: true })
  const mine = `${process.pid} ${processStarted(process.pid) ?? ''}`
  const draft = `${path}.${process.pid}.${Math.random().toString(36).slice(2)}`
  await writeFile(draft, mine)
  try {
    let told = false
    while (!(await tryLink(draft, path))) {
      await removeWhenStale(path)
      if (!told) {
        told = true
        onWait()
      }
      await sleep(200)
    }
  } finally {
    await rm(draft, { force: true })
  }
  try {
    return await work()
  } finally {
    await rm(path, { force: true })
  }
}

async function tryLink(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to)
    return true
  } catch (error) {
    if (isCode(error, 'EEXIST')) return false
    throw error
  }
}

async function removeWhenStale(path: string): Promise<void> {
  const seen = await readFile(path, 'utf8').catch(() => undefined)
  if (seen === undefined || holderLives(seen)) return
  // Moved aside and read again: between the look and the move somebody else may have taken the lock.
  const aside = `${path}.stale.${process.pid}`
  try {
    await rename(path, aside)
  } catch {
    return
  }
  if (holderLives(await readFile(aside, 'utf8'))) await tryLink(aside, path)
  await rm(aside, { force: true })
}

function holderLives(content: string): boolean {
  const [pid = '', started = ''] = content.split(' ')
  return processStarted(Number(pid)) === started
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}
