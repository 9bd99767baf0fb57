import type { LookupAddress } from 'node:dns'
import { readFileSync, statSync } from 'node:fs'
import { isIP } from 'node:net'

/** Where a machine keeps names that no name server knows. */
export const hostsFilePath =
  process.platform === 'win32'
    ? `${process.env['SystemRoot'] ?? 'C:\\Windows'}\\System32\\drivers\\etc\\hosts`
    : '/etc/hosts'

/** Names, lower case, and their addresses in the file's order. */
export function parseHosts(text: string): Map<string, LookupAddress[]> {
  const found = new Map<string, LookupAddress[]>()
  for (const line of text.split('\n')) {
    const [address = '', ...names] = (line.split('#', 1)[0] ?? '').trim().split(/\s+/)
    const family = isIP(address)
    if (family === 0) continue
    for (const name of names) {
      const key = name.toLowerCase()
      found.set(key, [...(found.get(key) ?? []), { address, family }])
    }
  }
  return found
}

/**
 * The hosts file, read again when it has changed. It is read synchronously: a look-up by libuv's threads is what this room
 * is there to do without, and the file takes 20 µs.
 */
export class HostsFile {
  readonly #path: string
  #stamp = ''
  #names: ReadonlyMap<string, readonly LookupAddress[]> = new Map()

  constructor(path = hostsFilePath) {
    this.#path = path
  }

  /** The name's addresses; empty when the file does not have it, or cannot be read. */
  find(name: string): readonly LookupAddress[] {
    try {
      const { mtimeMs, size, ino } = statSync(this.#path)
      const stamp = `${mtimeMs} ${size} ${ino}`
      if (stamp !== this.#stamp) {
        this.#names = parseHosts(readFileSync(this.#path, 'utf8'))
        this.#stamp = stamp
      }
    } catch {
      // a machine without the file, or without the right to read it, has no such names
      this.#names = new Map()
      this.#stamp = ''
    }
    return this.#names.get(name) ?? []
  }
}
