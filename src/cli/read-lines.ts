import type { Readable } from 'node:stream'
import { InputError } from '../core/errors.js'

export interface InputLine {
  /** From 1, empty lines counted. */
  readonly number: number
  readonly text: string
}

/**
 * Lines of a stream, as many at a time as are there: what a slow producer writes is handed on at once, and a fast one's
 * lines come in batches. Lines that are empty or blank are left out; CR LF ends a line too.
 *
 * @throws InputError `WAYBILL_PUBLISH_INVALID` for bytes that are not UTF-8, and for a line longer than `maxLength`.
 */
export async function* readLines(
  stream: Readable,
  limits: { readonly maxLength: number; readonly maxLines: number },
): AsyncGenerator<InputLine[]> {
  const decoder = new TextDecoder('utf-8', { fatal: true })
  let rest = ''
  let number = 0
  let batch: InputLine[] = []
  const take = (line: string): void => {
    number++
    const text = line.endsWith('\r') ? line.slice(0, -1) : line
    if (text.length > limits.maxLength) throw refused(number, `is longer than ${limits.maxLength} characters`)
    if (text.trim() !== '') batch.push({ number, text })
  }
  const decode = (chunk?: Uint8Array): string => {
    try {
      return chunk ? decoder.decode(chunk, { stream: true }) : decoder.decode()
    } catch {
      throw refused(number + 1, 'or one soon after it is not UTF-8')
    }
  }
  for await (const chunk of stream as AsyncIterable<Uint8Array | string>) {
    rest += typeof chunk === 'string' ? chunk : decode(chunk)
    const lines = rest.split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) {
      take(line)
      if (batch.length >= limits.maxLines) {
        yield batch
        batch = []
      }
    }
    if (rest.length > limits.maxLength) throw refused(number + 1, `is longer than ${limits.maxLength} characters`)
    if (batch.length > 0) yield batch
    batch = []
  }
  rest += decode()
  if (rest !== '') take(rest)
  if (batch.length > 0) yield batch
}

function refused(line: number, message: string): InputError {
  return new InputError('WAYBILL_PUBLISH_INVALID', 'the input cannot be read', [{ path: `line ${line}`, message }])
}
