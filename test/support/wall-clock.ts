import { chmod, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ensureInstalled } from '../../scripts/services/packages.js'
import { onFileEnd } from './cleanup.js'

const library = `/usr/lib/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu/faketime/libfaketime.so.1`

/**
 * The wall clock of processes that are started with its environment (libfaketime), to be stepped while they run. They
 * look once a second. Monotonic time is left alone.
 */
export class WallClock {
  /** For the processes that go by it. */
  readonly env: NodeJS.ProcessEnv
  readonly #file: string

  private constructor(file: string) {
    this.#file = file
    this.env = {
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_CACHE_DURATION: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    }
  }

  static async create(): Promise<WallClock> {
    await ensureInstalled([{ label: 'libfaketime', debianPackage: 'libfaketime', program: library }], () => undefined)
    const directory = await mkdtemp(join(tmpdir(), 'waybill-clock-'))
    onFileEnd(() => rm(directory, { recursive: true, force: true }))
    await chmod(directory, 0o755) // servers run as users of their own
    const clock = new WallClock(join(directory, 'offset'))
    await clock.set(0)
    return clock
  }

  /** So many seconds ahead of the machine's clock, or behind it. */
  async set(seconds: number): Promise<void> {
    // in one piece: whoever looks meanwhile sees the old time or the new one
    await writeFile(`${this.#file}.new`, `${seconds < 0 ? '' : '+'}${seconds}s\n`, { mode: 0o644 })
    await rename(`${this.#file}.new`, this.#file)
  }
}
