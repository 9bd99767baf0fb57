import { networkInterfaces } from 'node:os'

/** Interfaces come and go (VPN, containers); asking for them takes 50 µs. */
const refreshedMs = 5000

let own: ReadonlySet<string> = new Set()
let until = 0

/**
 * Whether this machine itself has the address. What listens on all of its addresses behind a firewall (the health port, a
 * database) is reached from inside by the public one too.
 */
export function isOwnAddress(address: string): boolean {
  const now = performance.now()
  if (now >= until) {
    const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? [])
    own = new Set(all.map((each) => canonical(each.address)))
    until = now + refreshedMs
  }
  return own.has(canonical(address))
}

/** One spelling of each address, without a zone; an IPv4-mapped one is the IPv4 address. */
function canonical(text: string): string {
  const [address = ''] = text.split('%', 1)
  if (!address.includes(':') || !URL.canParse(`http://[${address}]`)) return address
  const spelt = new URL(`http://[${address}]`).hostname.slice(1, -1)
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(spelt)
  if (!mapped) return spelt
  const [high, low] = [mapped[1], mapped[2]].map((word) => Number.parseInt(word ?? '', 16)) as [number, number]
  return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`
}
