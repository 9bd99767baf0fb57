import { BlockList, isIP } from 'node:net'

/**
 * Which addresses a service that sends requests for others may connect to. Blocked unless allow-listed: everything that
 * is not a public unicast address (IANA special-purpose registries, RFC 6890), and addresses of clouds' metadata services.
 */

/** `10.1.0.0/16`, `fd00::/8`, or one address. */
interface Network {
  readonly address: string
  readonly prefix: number
  readonly family: 'ipv4' | 'ipv6'
}

/** Reads a network in CIDR form or a single address; undefined when it is neither. */
export function parseNetwork(text: string): Network | undefined {
  const [address = '', length, ...rest] = text.split('/')
  const version = isIP(address)
  if (version === 0 || rest.length > 0 || address.includes('%')) return undefined
  const bits = version === 4 ? 32 : 128
  if (length !== undefined && !/^\d{1,3}$/.test(length)) return undefined
  const prefix = length === undefined ? bits : Number(length)
  return prefix <= bits ? { address, prefix, family: version === 4 ? 'ipv4' : 'ipv6' } : undefined
}

function blockListOf(networks: readonly string[]): BlockList {
  const list = new BlockList()
  for (const text of networks) {
    const network = parseNetwork(text)
    if (!network) throw new RangeError(`${JSON.stringify(text)} is not a network such as "10.1.0.0/16" or "fd00::/8"`)
    list.addSubnet(network.address, network.prefix, network.family)
  }
  return list
}

interface BlockedRange {
  readonly reason: string
  readonly list: BlockList
}

/**
 * One list for each family: a `BlockList` compares an IPv4 address with its IPv6 rules too, as an IPv4-mapped one, so
 * `::/3` would block all of IPv4. Each range's first match names the reason.
 */
const blockedIpv4: readonly BlockedRange[] = ranges([
  ['loopback', ['127.0.0.0/8']],
  ['unspecified', ['0.0.0.0/8']],
  // 168.63.129.16 is Azure's host service, on a public address; the other clouds' are link-local or shared
  ['cloud metadata', ['169.254.169.254', '168.63.129.16', '100.100.100.200', '192.0.0.192']],
  ['link-local', ['169.254.0.0/16']],
  ['private', ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16']],
  ['shared (carrier-grade NAT)', ['100.64.0.0/10']],
  ['multicast', ['224.0.0.0/4']],
  ['tunnel', ['192.88.99.0/24']],
  ['reserved', ['192.0.0.0/24', '192.0.2.0/24', '198.18.0.0/15', '198.51.100.0/24', '203.0.113.0/24', '240.0.0.0/4']],
])

const blockedIpv6: readonly BlockedRange[] = ranges([
  ['loopback', ['::1']],
  ['unspecified', ['::']],
  ['cloud metadata', ['fd00:ec2::254']],
  ['link-local', ['fe80::/10']],
  ['private', ['fc00::/7', 'fec0::/10']],
  ['multicast', ['ff00::/8']],
  ['tunnel', ['2001::/32', '64:ff9b:1::/48']],
  // only 2000::/3 is global unicast; what is listed of it is documentation, and the IETF's own protocols (of which a few
  // are reachable from anywhere, and none is where an endpoint lives)
  ['reserved', ['::/3', '4000::/2', '8000::/1', '2001::/23', '2001:db8::/32', '3fff::/20']],
])

function ranges(table: readonly (readonly [reason: string, networks: readonly string[]])[]): BlockedRange[] {
  return table.map(([reason, networks]) => ({ reason, list: blockListOf(networks) }))
}

/** The eight 16-bit words of an IPv6 address. */
function wordsOf(address: string): number[] {
  const canonical = new URL(`http://[${address}]/`).hostname.slice(1, -1)
  const [head = '', tail] = canonical.split('::')
  const parse = (part: string): number[] =>
    part === '' ? [] : part.split(':').map((word) => Number.parseInt(word, 16))
  const left = parse(head)
  const right = tail === undefined ? [] : parse(tail)
  return [...left, ...new Array<number>(8 - left.length - right.length).fill(0), ...right]
}

const dotted = (high = 0, low = 0): string => `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`

/** The IPv4 address inside an IPv4-mapped (`::ffff:a.b.c.d`), NAT64 (`64:ff9b::/96`) or 6to4 (`2002::/16`) one. */
function embeddedIpv4(address: string): { kind: 'mapped' | 'translated'; address: string } | undefined {
  const words = wordsOf(address)
  const zero = (from: number, to: number): boolean => words.slice(from, to).every((word) => word === 0)
  if (zero(0, 5) && words[5] === 0xffff) return { kind: 'mapped', address: dotted(words[6], words[7]) }
  if (words[0] === 0x64 && words[1] === 0xff9b && zero(2, 6))
    return { kind: 'translated', address: dotted(words[6], words[7]) }
  if (words[0] === 0x2002) return { kind: 'translated', address: dotted(words[1], words[2]) }
  return undefined
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIP(address) === 4 ? 'ipv4' : 'ipv6'
}

function builtInRefusal(address: string): string | undefined {
  const family = familyOf(address)
  return (family === 'ipv4' ? blockedIpv4 : blockedIpv6).find(({ list }) => list.check(address, family))?.reason
}

export class AddressGuard {
  readonly #allowed: { readonly ipv4: BlockList; readonly ipv6: BlockList }

  /** `allowNetworks`: one's own networks, in CIDR form or as single addresses. Throws `RangeError` for anything else. */
  constructor(allowNetworks: readonly string[] = []) {
    const isIpv4 = (network: string): boolean => parseNetwork(network)?.family === 'ipv4'
    this.#allowed = {
      ipv4: blockListOf(allowNetworks.filter(isIpv4)),
      ipv6: blockListOf(allowNetworks.filter((network) => !isIpv4(network))),
    }
  }

  /** True when the address lies in one of the networks given. */
  isAllowListed(address: string): boolean {
    const bare = withoutZone(address)
    if (isIP(bare) === 0) return false
    if (isIP(bare) === 4) return this.#allowed.ipv4.check(bare, 'ipv4')
    if (this.#allowed.ipv6.check(bare, 'ipv6')) return true
    const embedded = embeddedIpv4(bare)
    return embedded?.kind === 'mapped' && this.#allowed.ipv4.check(embedded.address, 'ipv4')
  }

  /** Why this address (literal IPv4 or IPv6) may not be connected to, in a word or two; undefined when it may. */
  refusal(address: string): string | undefined {
    const bare = withoutZone(address)
    if (isIP(bare) === 0) return 'not an address'
    if (this.isAllowListed(bare)) return undefined
    const embedded = isIP(bare) === 6 ? embeddedIpv4(bare) : undefined
    // a gateway's 10.0.0.0/8 is not one's own: the allow-list does not reach through a translation
    return embedded ? builtInRefusal(embedded.address) : builtInRefusal(bare)
  }
}

function withoutZone(address: string): string {
  const zone = address.indexOf('%')
  return zone === -1 ? address : address.slice(0, zone)
}

/** The address that a URL's host spells, `[::1]` without its brackets; undefined when the host is a name. */
export function literalAddress(url: URL): string | undefined {
  const host = url.hostname.startsWith('[') ? url.hostname.slice(1, -1) : url.hostname
  return isIP(host) === 0 ? undefined : host
}
