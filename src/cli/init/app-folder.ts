import { constants } from 'node:fs'
import { access, lstat, readFile, realpath, stat } from 'node:fs/promises'
import { dirname, join, relative, sep } from 'node:path'
import { codeOf, messageOf } from '../../core/errors.js'
import { refuse } from './refusal.js'

/** A file as it lies there: its text, or nothing. */
export type Present = { readonly text: string } | null

/** The folder of an application. Nothing outside of it is read for a change or written, wherever links may lead. */
export class AppFolder {
  /** Without links. */
  readonly root: string

  private constructor(root: string) {
    this.root = root
  }

  /** @throws InputError `WAYBILL_INIT_REFUSED`: there is no such folder, or it can't be written to */
  static async open(directory: string): Promise<AppFolder> {
    try {
      const root = await realpath(directory)
      if (!(await stat(root)).isDirectory()) throw refuse(directory, 'is not a folder; give the folder of your app')
      await access(root, constants.W_OK)
      return new AppFolder(root)
    } catch (error) {
      if (codeOf(error) === 'ENOENT') throw refuse(directory, 'is not there; give the folder of your app', error)
      throw notWritable(directory, error)
    }
  }

  path(name: string): string {
    return join(this.root, ...name.split('/'))
  }

  /**
   * The text of a file; null where there is nothing.
   * @throws InputError `WAYBILL_INIT_REFUSED`: it lies elsewhere, is no file, or can't be read
   */
  async read(name: string): Promise<Present> {
    await this.requireInside(name)
    const path = this.path(name)
    const found = await lstat(path).catch((error: unknown) => ignore(error, 'ENOENT', 'ENOTDIR'))
    if (found === undefined) return null
    if (found.isSymbolicLink()) throw refuse(name, 'is a symbolic link, and init does not follow it; make it a file')
    if (!found.isFile()) throw refuse(name, 'is not a file; move it away')
    try {
      return { text: await readFile(path, 'utf8') }
    } catch (error) {
      throw refuse(name, `can't be read (${codeOf(error) ?? messageOf(error)}); correct its permissions`, error)
    }
  }

  /** @throws InputError `WAYBILL_INIT_REFUSED`: a link on the way to this file leads out of the folder */
  async requireInside(name: string): Promise<void> {
    let folder = dirname(this.path(name))
    while (folder.length > this.root.length) {
      const real = await realpath(folder).catch((error: unknown) => ignore(error, 'ENOENT', 'ENOTDIR'))
      if (real === undefined && (await isLink(folder))) {
        throw refuse(this.nameOf(folder), 'is a symbolic link that leads nowhere; mend it')
      }
      if (real !== undefined) {
        if (!(await stat(real)).isDirectory())
          throw refuse(this.nameOf(folder), 'is a file where init needs a folder; move it away, or name another folder')
        if (real === this.root || real.startsWith(this.root + sep)) return
        throw refuse(this.nameOf(folder), `is a symbolic link that leads out of ${this.root}; init writes only inside`)
      }
      folder = dirname(folder)
    }
  }

  private nameOf(path: string): string {
    return relative(this.root, path).split(sep).join('/')
  }
}

/** What the file system said where it does not let us write; any other error as it is. */
export function notWritable(path: string, error: unknown): unknown {
  const code = codeOf(error)
  if (code === undefined || !['EACCES', 'EPERM', 'EROFS', 'ENOSPC'].includes(code)) return error
  return refuse(path, `can't be written to (${code}); correct that and run it again`, error)
}

function ignore(error: unknown, ...codes: string[]): undefined {
  if (codes.includes(codeOf(error) ?? '')) return undefined
  throw error
}

async function isLink(path: string): Promise<boolean> {
  const found = await lstat(path).catch((error: unknown) => ignore(error, 'ENOENT', 'ENOTDIR'))
  return found?.isSymbolicLink() ?? false
}
