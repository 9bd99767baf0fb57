import { StringDecoder } from 'node:string_decoder'

/** Bytes of an answer that are read, so that its connection can be used again; after more it is closed. */
export const maxAnswerBytes = 65_536

/** UTF-8 takes up to four bytes a character, and masking may shorten the text. */
const keptBytes = 4096

/** Counts the bytes of an answer's body, and keeps the first of them where an excerpt is wanted. */
export class AnswerBody {
  #bytes = 0
  #kept: Buffer[] | undefined

  constructor(keep: boolean) {
    this.#kept = keep ? [] : undefined
  }

  /** False when more has come than is read. */
  add(chunk: Buffer): boolean {
    // undici's chunk is a view of what came in, and may be overwritten
    if (this.#kept && this.#bytes < keptBytes) this.#kept.push(Buffer.from(chunk.subarray(0, keptBytes - this.#bytes)))
    this.#bytes += chunk.length
    return this.#bytes <= maxAnswerBytes
  }

  /** The text's first `length` characters on one line, with each of `secrets` masked. Empty when nothing was kept. */
  excerpt(length: number, secrets: readonly string[]): string {
    if (!this.#kept || length === 0) return ''
    let text = new StringDecoder('utf8').write(Buffer.concat(this.#kept))
    for (const secret of secrets) if (secret.length >= 6) text = text.replaceAll(secret, '[redacted]')
    const line = text
      .replace(/[\p{Cc}\p{Cf}\s]+/gu, ' ')
      .trim()
      .slice(0, length)
    // not half of a character beyond U+FFFF
    return line.replace(/[\uD800-\uDBFF]$/, '')
  }
}

/** Whether an excerpt of this content can be read by people. No encoding was asked for; one that comes all the same is not undone. */
export function isReadable(contentType: string | string[] | undefined, encoding?: string | string[]): boolean {
  if (!/^(identity)?$/i.test(String(encoding ?? '').trim())) return false
  return /^(text\/|application\/([\w.+-]+\+)?(json|xml))/i.test(String(contentType ?? ''))
}
