import type { Arrival } from '../../scripts/demo/verdict.js'

/** An id, the place of its key, its version. */
const recordBytes = 16 + 4 + 4
/** In place of a key's place: its key is the message's own id. */
const ownId = 0xffff_ffff

/** Arrivals in their order, in 24 bytes each: half an hour of them has to fit into memory. */
export class ArrivalLog implements Iterable<Arrival> {
  #records = Buffer.alloc(1024 * recordBytes)
  #length = 0
  readonly #keys: string[] = []
  readonly #places = new Map<string, number>()

  get length(): number {
    return this.#length
  }

  /** Throws where the id is not a UUID. */
  add({ id, key, version }: Arrival): void {
    const at = this.#length * recordBytes
    if (at === this.#records.length) this.#records = Buffer.concat([this.#records, Buffer.alloc(at)])
    const hex = id.replaceAll('-', '')
    if (hex.length !== 32 || this.#records.write(hex, at, 'hex') !== 16) throw new Error(`${id} is not a UUID`)
    this.#records.writeUInt32LE(key === id ? ownId : this.#place(key), at + 16)
    this.#records.writeUInt32LE(version, at + 20)
    this.#length++
  }

  addAll(arrivals: Iterable<Arrival>): void {
    for (const arrival of arrivals) this.add(arrival)
  }

  clear(): void {
    this.#length = 0
  }

  *[Symbol.iterator](): Generator<Arrival> {
    for (let i = 0; i < this.#length; i++) {
      const at = i * recordBytes
      const hex = this.#records.toString('hex', at, at + 16)
      const id = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
      const place = this.#records.readUInt32LE(at + 16)
      const key = place === ownId ? id : (this.#keys[place] as string)
      yield { id, key, version: this.#records.readUInt32LE(at + 20) }
    }
  }

  #place(key: string): number {
    const known = this.#places.get(key)
    if (known !== undefined) return known
    this.#places.set(key, this.#keys.push(key) - 1)
    return this.#keys.length - 1
  }
}
