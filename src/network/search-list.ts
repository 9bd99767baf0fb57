import { readFileSync } from 'node:fs'

/** What `/etc/resolv.conf` says of names that are not written in full (resolv.conf(5)). */
export interface SearchList {
  readonly domains: readonly string[]
  /** A name with fewer dots is tried with `domains` first. */
  readonly ndots: number
}

export function parseSearchList(text: string): SearchList {
  let domains: string[] = []
  let ndots = 1
  for (const line of text.split('\n')) {
    const [word, ...rest] = line.trim().split(/\s+/)
    // the last of `domain` and `search` holds
    if (word === 'search' || word === 'domain') domains = rest.filter((domain) => !/^[#;]/.test(domain))
    if (word !== 'options') continue
    for (const option of rest) {
      const dots = /^ndots:(\d+)$/.exec(option)?.[1]
      if (dots !== undefined) ndots = Math.min(15, Number(dots))
    }
  }
  return { domains: domains.map((domain) => domain.replace(/^\.+|\.+$/g, '').toLowerCase()).filter(Boolean), ndots }
}

/** Of this machine. Kubernetes needs it: there `service.namespace` is a whole name only with one of its domains. */
export function systemSearchList(): SearchList {
  try {
    return parseSearchList(readFileSync('/etc/resolv.conf', 'utf8'))
  } catch {
    // Windows has none; a name that needs its domains is found by the system's own look-up
    return { domains: [], ndots: 1 }
  }
}

/** The full names that a name may stand for, in the order in which the C library asks for them. */
export function fullNames(name: string, { domains, ndots }: SearchList): string[] {
  if (name.endsWith('.')) return [name.slice(0, -1)]
  const dots = name.split('.').length - 1
  const searched = domains.map((domain) => `${name}.${domain}`)
  return dots >= ndots ? [name, ...searched] : [...searched, name]
}
