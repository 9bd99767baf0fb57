import dns, { type LookupAddress, promises } from 'node:dns'
import { codeOf } from '../core/errors.js'
import { within } from '../core/within.js'
import { fullNames, type SearchList, systemSearchList } from './search-list.js'

/** What the name servers know of a name. */
export type Answer =
  | { readonly kind: 'found'; readonly addresses: readonly LookupAddress[]; readonly ttlMs: number }
  /** They say that it has no address. */
  | { readonly kind: 'none' }
  /** They say that they cannot tell, or there are none. */
  | { readonly kind: 'failed'; readonly code: string }
  /** No answer in time. */
  | { readonly kind: 'silent' }

/** One query has this long, and then as long again; all of a name's queries together end at the caller's limit. */
const queryMs = 1500
/** How much later IPv6 may be told than IPv4, or the other way round (RFC 8305, 3). */
const secondFamilyMs = 50

// by the module: `setServers` replaces its functions, which a name imported from it does not see
const atStart = dns.getServers().join()

/** The application's own `dns.setServers` holds here too; what it has left alone is read afresh from the system. */
function openResolver(): promises.Resolver {
  const resolver = new promises.Resolver({ timeout: queryMs, tries: 2 })
  const servers = dns.getServers()
  if (servers.join() !== atStart) resolver.setServers(servers)
  return resolver
}

/**
 * Asks the name servers by c-ares: sockets of the event loop, none of libuv's threads, and an end that holds.
 * `limitMs` bounds all of it.
 */
export async function askNameServers(
  name: string,
  limitMs: number,
  list: SearchList = systemSearchList(),
): Promise<Answer> {
  const resolver = openResolver()
  const timer = setTimeout(() => resolver.cancel(), limitMs)
  try {
    for (const full of fullNames(name, list)) {
      const answer = await askFor(resolver, full)
      if (answer.kind !== 'none') return answer
    }
    return { kind: 'none' }
  } finally {
    clearTimeout(timer)
    // what is not waited for any more
    resolver.cancel()
  }
}

async function askFor(resolver: promises.Resolver, name: string): Promise<Answer> {
  const families = [
    askFamily(() => resolver.resolve4(name, { ttl: true }), 4),
    askFamily(() => resolver.resolve6(name, { ttl: true }), 6),
  ]
  const first = await Promise.race(families)
  if (first.kind !== 'found') return join(await Promise.all(families))
  // name servers that answer for one family and say nothing for the other are common
  let known: readonly Answer[] = [first]
  const both = Promise.all(families).then((answers) => {
    known = answers
  })
  await within(secondFamilyMs, both)
  return join(known)
}

async function askFamily(query: () => Promise<{ address: string; ttl: number }[]>, family: 4 | 6): Promise<Answer> {
  try {
    const records = await query()
    if (records.length === 0) return { kind: 'none' }
    const addresses = records.map(({ address }) => ({ address, family }))
    return { kind: 'found', addresses, ttlMs: Math.min(...records.map(({ ttl }) => ttl)) * 1000 }
  } catch (error) {
    const code = codeOf(error) ?? 'EUNKNOWN'
    if (code === 'ENOTFOUND' || code === 'ENODATA' || code === 'EBADNAME') return { kind: 'none' }
    return code === 'ETIMEOUT' || code === 'ECANCELLED' ? { kind: 'silent' } : { kind: 'failed', code }
  }
}

function join(answers: readonly Answer[]): Answer {
  const found = answers.filter((answer) => answer.kind === 'found')
  if (found.length === 0) return answers.find(({ kind }) => kind !== 'none') ?? { kind: 'none' }
  const ipv6First = dns.getDefaultResultOrder() === 'ipv6first'
  const addresses = found
    .flatMap((answer) => answer.addresses)
    .sort((a, b) => (ipv6First ? b.family - a.family : a.family - b.family))
  return { kind: 'found', addresses, ttlMs: Math.min(...found.map(({ ttlMs }) => ttlMs)) }
}
