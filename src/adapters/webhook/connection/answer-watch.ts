import { readStatusLine } from './status-line.js'

const [lineFeed, carriageReturn] = [10, 13]

/**
 * Reads along what an endpoint answers on one socket, before undici's parser does. The receiver has the message as soon as
 * it has said so, and undici keeps that to itself where it refuses the answer for the rest of its head: more than 16 KiB,
 * `Content-Length` twice or beside chunks, an informational answer in front.
 */
export class AnswerWatch {
  /** Of the answer to the request that is under way, as soon as it was read. Informational answers have none. */
  status: number | undefined
  /** The answer begins as HTTP does, and nothing can be made of its first line. */
  unreadable = false
  #state: 'quiet' | 'line' | 'informational' | 'passing' = 'quiet'
  /** Bytes that may become a status line. */
  #held: Buffer | undefined
  /** How much of the blank line that ends an informational answer was there. */
  #lineFeeds = 0

  /** A request is about to be written: what comes from now on is its answer. */
  begin(): void {
    this.status = undefined
    this.unreadable = false
    this.#state = 'line'
    this.#held = undefined
  }

  /** The answer is over; what comes now belongs to no request. */
  end(): void {
    this.#state = 'quiet'
  }

  /** True while nothing may come. */
  get quiet(): boolean {
    return this.#state === 'quiet'
  }

  /** What of a chunk the parser is to see; undefined where that is nothing so far. */
  pass(chunk: Buffer): Buffer | undefined {
    if (this.#state === 'passing') return chunk
    let bytes = this.#held ? Buffer.concat([this.#held, chunk]) : chunk
    this.#held = undefined
    while (bytes.length > 0) {
      if (this.#state === 'informational') {
        bytes = this.#dropInformational(bytes)
        continue
      }
      // a parser tolerates empty lines in front
      let start = 0
      while (bytes[start] === lineFeed || bytes[start] === carriageReturn) start++
      if (start > 0) bytes = bytes.subarray(start)
      if (bytes.length === 0) return undefined
      const line = readStatusLine(bytes)
      if (line.kind === 'part') {
        this.#held = Buffer.from(bytes)
        return undefined
      }
      // 101 is not informational: nothing of HTTP follows it
      if (line.kind === 'status' && line.status >= 100 && line.status < 200 && line.status !== 101) {
        this.#state = 'informational'
        this.#lineFeeds = 0
        continue
      }
      if (line.kind === 'status') this.status = line.status
      else this.unreadable = line.kind === 'unreadable'
      this.#state = 'passing'
      return bytes
    }
    return undefined
  }

  /** Leaves an informational answer out, up to the blank line that ends it. Gives what follows. */
  #dropInformational(bytes: Buffer): Buffer {
    for (let index = 0; index < bytes.length; index++) {
      if (bytes[index] === carriageReturn) continue
      this.#lineFeeds = bytes[index] === lineFeed ? this.#lineFeeds + 1 : 0
      if (this.#lineFeeds < 2) continue
      this.#state = 'line'
      return bytes.subarray(index + 1)
    }
    return bytes.subarray(bytes.length)
  }
}
