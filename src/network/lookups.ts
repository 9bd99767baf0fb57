import type { LookupAddress } from 'node:dns'
import { isIP, type LookupFunction } from 'node:net'
import { codeOf } from '../core/errors.js'
import { HostsFile } from './hosts-file.js'
import { type Answer, askNameServers } from './name-servers.js'
import { SystemLookup } from './system-lookup.js'

/** Everything together: hosts file, name servers, the system's own look-up. */
const limitMs = 5000
/** A name that moves is noticed at the next connection after this; name servers' own times hold where they are shorter. */
const longestKeptMs = 30_000
/** A record that may not be kept at all would let each of a lane's connections ask for itself. */
const shortestKeptMs = 1000
/** A name that could not be found is asked for again after this long. */
const failureKeptMs = 1000
/** More names than a dispatcher has: those whose time is up are cleared away first. */
const namesKept = 1000

type Result =
  | { readonly addresses: readonly LookupAddress[]; readonly keptMs: number }
  | { readonly error: NodeJS.ErrnoException; readonly keptMs: number }

export interface LookupSources {
  readonly hosts: Pick<HostsFile, 'find'>
  readonly askNameServers: (name: string, limitMs: number) => Promise<Answer>
  readonly system: Pick<SystemLookup, 'find'>
}

/**
 * Names of destinations. One look-up of a name at a time, which all share who wait for it, and a short memory of what it
 * gave: a name whose servers say nothing costs its own destination its time, and no other one anything. With
 * `getaddrinfo` two of them were enough to let every connection of the process end in a time-out.
 */
export class Lookups {
  readonly #sources: LookupSources
  readonly #kept = new Map<string, { readonly result: Result; readonly until: number }>()
  readonly #running = new Map<string, Promise<Result>>()

  constructor(sources: Partial<LookupSources> = {}) {
    this.#sources = { hosts: new HostsFile(), askNameServers, system: new SystemLookup(), ...sources }
  }

  /** The name's addresses, at least one. Rejects with `ENOTFOUND`, or `EAI_AGAIN` where it may be known later. */
  async find(hostname: string): Promise<readonly LookupAddress[]> {
    const family = isIP(hostname)
    if (family !== 0) return [{ address: hostname, family }]
    const name = hostname.toLowerCase()
    const kept = this.#kept.get(name)
    const result = kept && kept.until > performance.now() ? kept.result : await this.#shared(name)
    if ('error' in result) throw result.error
    return result.addresses
  }

  /** `find` as sockets take it: `dns.lookup`'s form. */
  readonly lookup: LookupFunction = (hostname, options, callback) => {
    const wanted = options.family === 'IPv4' ? 4 : options.family === 'IPv6' ? 6 : (options.family ?? 0)
    this.find(hostname).then(
      (found) => {
        const fit = wanted === 0 ? found : found.filter(({ family }) => family === wanted)
        const [first] = fit
        if (!first) callback(failure('ENOTFOUND', `${hostname} has no address of IPv${wanted}`, hostname), [])
        else if (options.all === true) callback(null, [...fit])
        else callback(null, first.address, first.family)
      },
      (error: NodeJS.ErrnoException) => callback(error, []),
    )
  }

  #shared(name: string): Promise<Result> {
    const running = this.#running.get(name)
    if (running) return running
    const looking = this.#look(name).then((result) => {
      this.#running.delete(name)
      this.#keep(name, result)
      return result
    })
    this.#running.set(name, looking)
    return looking
  }

  #keep(name: string, result: Result): void {
    const now = performance.now()
    if (this.#kept.size >= namesKept) {
      for (const [other, { until }] of this.#kept) if (until <= now) this.#kept.delete(other)
      if (this.#kept.size >= namesKept) this.#kept.clear()
    }
    this.#kept.set(name, { result, until: now + result.keptMs })
  }

  async #look(name: string): Promise<Result> {
    const { hosts, askNameServers: ask, system } = this.#sources
    const until = performance.now() + limitMs
    const listed = hosts.find(name.replace(/\.$/, ''))
    if (listed.length > 0) return { addresses: listed, keptMs: shortestKeptMs }
    const answer = await ask(name, limitMs)
    if (answer.kind === 'found') {
      return { addresses: answer.addresses, keptMs: Math.min(longestKeptMs, Math.max(shortestKeptMs, answer.ttlMs)) }
    }
    // Name servers that say nothing would say nothing to the C library either, for as long as it likes to wait.
    const left = until - performance.now()
    if (answer.kind === 'silent' || left <= 0) return late(name)
    try {
      const addresses = await system.find(name, left)
      if (!addresses) return late(name)
      if (addresses.length > 0) return { addresses, keptMs: shortestKeptMs }
    } catch (error) {
      // what the name servers said is more than what the system makes of it
      if (answer.kind === 'failed') {
        const text = `the name servers could not tell the address of ${name} (${answer.code})`
        return failed('EAI_AGAIN', text, name)
      }
      if (codeOf(error) !== 'ENOTFOUND') return failed(codeOf(error) ?? 'EAI_FAIL', `${name} was not found`, name)
    }
    return failed('ENOTFOUND', `${name} has no address`, name)
  }
}

function late(name: string): Result {
  return failed('EAI_AGAIN', `the name servers did not tell the address of ${name} within ${limitMs} ms`, name)
}

function failed(code: string, message: string, hostname: string): Result {
  return { error: failure(code, message, hostname), keptMs: failureKeptMs }
}

function failure(code: string, message: string, hostname: string): NodeJS.ErrnoException {
  return Object.assign(new Error(message), { code, syscall: 'lookup', hostname })
}

/** The process's: destinations that share a name share its look-up. */
export const lookups = new Lookups()
