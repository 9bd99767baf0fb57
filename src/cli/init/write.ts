import { randomBytes } from 'node:crypto'
import { link, mkdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { codeOf, WaybillError } from '../../core/errors.js'
import { type AppFolder, notWritable } from './app-folder.js'
import type { PlannedFile } from './plan.js'

type Change = Exclude<PlannedFile, { readonly action: 'skip' }>

/**
 * Writes what was planned: each file whole or not at all, after another look whether it is still as it was shown.
 *
 * @throws WaybillError `WAYBILL_INIT_CHANGED`: one is not. What was written before it stays, and another run goes on
 *   from there
 * @throws InputError `WAYBILL_INIT_REFUSED`: the file system does not let us
 */
export async function writeFiles(folder: AppFolder, files: readonly PlannedFile[]): Promise<void> {
  const changes = files.filter((file) => file.action !== 'skip')
  for (const change of changes) await requireAsShown(folder, change)
  for (const change of changes) {
    try {
      await mkdir(dirname(folder.path(change.path)), { recursive: true })
      await requireAsShown(folder, change)
      await writeWhole(folder.path(change.path), change)
    } catch (error) {
      throw notWritable(change.path, error)
    }
  }
}

async function requireAsShown(folder: AppFolder, { path, before }: Change): Promise<void> {
  const present = (await folder.read(path))?.text ?? null
  if (present !== before) throw changed(path)
}

async function writeWhole(path: string, { path: name, before, after }: Change): Promise<void> {
  const draft = `${path}.${randomBytes(6).toString('hex')}.tmp`
  try {
    const mode = before === null ? 0o666 : (await stat(path)).mode
    await writeFile(draft, after, { flag: 'wx', mode })
    // a link is refused where there is something by now; a rename would replace it
    if (before === null) await link(draft, path)
    else await rename(draft, path)
  } catch (error) {
    throw codeOf(error) === 'EEXIST' ? changed(name) : error
  } finally {
    await rm(draft, { force: true })
  }
}

function changed(path: string): WaybillError {
  return new WaybillError(
    'WAYBILL_INIT_CHANGED',
    `${path} is no longer what was shown, and was left alone; run waybill init again`,
  )
}
