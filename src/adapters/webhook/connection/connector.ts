import type { LookupAddress } from 'node:dns'
import type { LookupFunction } from 'node:net'
import { buildConnector } from 'undici'
import { type AddressGuard, literalAddress } from '../../../core/address-guard.js'
import { WaybillError } from '../../../core/errors.js'
import { lookups } from '../../../network/lookups.js'
import { isOwnAddress } from '../../../network/own-addresses.js'

/** Which addresses a destination may connect to. */
export interface ConnectPolicy {
  readonly guard: AddressGuard
  /** http (not https) to addresses that are not allow-listed. */
  readonly allowHttp: boolean
}

/** Why `address` may not be connected to, as an error that names the remedy; undefined when it may. */
function refuse(policy: ConnectPolicy, protocol: string, host: string, address: string): WaybillError | undefined {
  const where = host === address ? address : `${host} (${address})`
  const reason = policy.guard.refusal(address)
  if (reason) {
    return blocked(
      `${where} is a ${reason} address, which is blocked; if it is yours, name its network in allowNetworks`,
    )
  }
  if (policy.guard.isAllowListed(address)) return undefined
  if (isOwnAddress(address)) {
    return blocked(
      `${where} is an address of this machine itself, which is blocked; if it is meant, name it in allowNetworks`,
    )
  }
  if (protocol === 'https:' || policy.allowHttp) return undefined
  return blocked(`${where} is not in allowNetworks, so that it needs https; use https, or set allowHttp`)
}

function blocked(message: string): WaybillError {
  return new WaybillError('WAYBILL_ADDRESS_BLOCKED', message)
}

/** `refuse` for a URL whose host is an address; a name is looked at when it is resolved. */
export function refuseLiteral(policy: ConnectPolicy, url: URL): WaybillError | undefined {
  const address = literalAddress(url)
  return address === undefined ? undefined : refuse(policy, url.protocol, address, address)
}

/**
 * A `lookup` for sockets that gives only addresses that may be connected to. What it gives is what is connected to, so
 * a name that resolves differently a moment later (DNS rebinding) gains nothing.
 */
export function guardedLookup(policy: ConnectPolicy, protocol: string): LookupFunction {
  return (hostname, options, callback) => {
    lookups.lookup(hostname, { ...options, all: true }, (error, found) => {
      if (error || typeof found === 'string') return callback(error, [])
      const permitted: LookupAddress[] = []
      let refusal: WaybillError | undefined
      for (const entry of found) {
        const refused = refuse(policy, protocol, hostname, entry.address)
        if (refused) refusal ??= refused
        else permitted.push(entry)
      }
      const [first] = permitted
      if (!first) return callback(refusal ?? noAddress(hostname), [])
      if (options.all === true) callback(null, permitted)
      else callback(null, first.address, first.family)
    })
  }
}

/** Why a connected socket may not be used. */
export function refuseSocket(
  policy: ConnectPolicy,
  protocol: string,
  host: string,
  remoteAddress: string | undefined,
): Error | undefined {
  // the peer is gone already: there is no address to look at
  if (remoteAddress === undefined) return closedAtOnce(host)
  return refuse(policy, protocol, host, remoteAddress)
}

function noAddress(hostname: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${hostname} has no address`), { code: 'ENOTFOUND' })
}

function closedAtOnce(hostname: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${hostname} closed the connection as it was made`), { code: 'ECONNRESET' })
}

/**
 * undici's connector behind the guard. Literal addresses never reach `lookup`, so they are looked at first; and the
 * address of the connected socket is looked at last, whatever led there, before a byte of the request is written.
 */
export function guardedConnector(
  policy: ConnectPolicy,
  options: buildConnector.BuildOptions,
): buildConnector.connector {
  const connectors = new Map(
    ['http:', 'https:'].map((protocol) => [
      protocol,
      buildConnector({ ...options, lookup: guardedLookup(policy, protocol) }),
    ]),
  )
  return (target, callback) => {
    const host = target.hostname.includes(':') ? `[${target.hostname}]` : target.hostname
    const literal = refuseLiteral(policy, new URL(`${target.protocol}//${host}`))
    const connect = connectors.get(target.protocol)
    if (literal || !connect) return callback(literal ?? blocked(`${target.protocol} is neither http nor https`), null)
    connect(target, (error, socket) => {
      if (error) return callback(error, null)
      const refusal = refuseSocket(policy, target.protocol, target.hostname, socket.remoteAddress)
      if (!refusal) return callback(null, socket)
      socket.destroy()
      callback(refusal, null)
    })
  }
}
