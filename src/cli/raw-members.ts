/**
 * The members of a JSON object as the text they were written in: a payload passes through byte for byte, its numbers of
 * any size too. `text` must be valid JSON of an object. Of two members with one name the last one counts, as in
 * `JSON.parse`.
 */
export function rawMembers(text: string): Map<string, string> {
  const members = new Map<string, string>()
  let depth = 0
  let start = 0
  let name: string | undefined
  const end = (at: number): void => {
    if (name !== undefined) members.set(name, text.slice(start, at).trim())
    name = undefined
  }
  for (let at = 0; at < text.length; at++) {
    switch (text.charAt(at)) {
      case '"': {
        const close = endOfString(text, at)
        if (depth === 1 && name === undefined) {
          name = JSON.parse(text.slice(at, close + 1)) as string
          start = text.indexOf(':', close) + 1
          at = start - 1
        } else {
          at = close
        }
        break
      }
      case '{':
      case '[':
        depth++
        break
      case '}':
      case ']':
        if (depth === 1) end(at)
        depth--
        break
      case ',':
        if (depth === 1) end(at)
        break
    }
  }
  return members
}

/** Index of the quote that closes the string which opens at `at`. */
function endOfString(text: string, at: number): number {
  let close = at + 1
  while (text[close] !== '"') close += text[close] === '\\' ? 2 : 1
  return close
}
