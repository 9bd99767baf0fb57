import { mkdir, mkdtemp, rm, open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run } from '../../scripts/services/processes.js'
import { onFileEnd } from './cleanup.js'

/** A disk of its own (tmpfs; needs root on Linux), to be filled and emptied again. Gone when the file ends. */
export class SmallDisk {
  /** Empty, on the disk. */
  readonly directory: string
  readonly #ballast: string

  private constructor(mount: string) {
    this.directory = join(mount, 'data')
    this.#ballast = join(mount, 'ballast')
  }

  static async create(bytes: number): Promise<SmallDisk> {
    const mount = await mkdtemp(join(tmpdir(), 'waybill-disk-'))
    await run('mount', ['-t', 'tmpfs', '-o', `size=${bytes},mode=755`, 'tmpfs', mount])
    onFileEnd(async () => {
      await run('umount', ['--lazy', mount])
      await rm(mount, { recursive: true, force: true })
    })
    const disk = new SmallDisk(mount)
    await mkdir(disk.directory)
    return disk
  }

  /** Until nothing more fits. */
  async fill(): Promise<void> {
    const file = await open(this.#ballast, 'a')
    try {
      for (let size = 1 << 20; size >= 512;) {
        const written = await file.write(Buffer.alloc(size)).catch(() => undefined)
        if (written === undefined || written.bytesWritten < size) size >>= 1
      }
    } finally {
      await file.close()
    }
  }

  async clear(): Promise<void> {
    await rm(this.#ballast, { force: true })
  }
}
