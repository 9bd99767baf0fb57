import { timingSafeEqual, verify, type KeyObject } from 'node:crypto'
import { InputError, type Problem } from '../core/errors.js'
import {
  hmacKey,
  hmacSignature,
  isHmacSecret,
  isPrivateKeyText,
  isPublicKeyText,
  publicKeyText,
  secretMistake,
  verifyingKey,
} from '../core/webhook-keys.js'
import type { ClaimedSignature } from './claim.js'

export interface Key {
  readonly version: 'v1' | 'v1a'
  readonly key: KeyObject
}

/** Keys of the texts; throws an `InputError` that names the place and the shape of each that is none. */
export function readKeys(secrets: string | readonly string[]): readonly Key[] {
  // line breaks at the end come with files; the sender's side leaves them out too
  const list = (Array.isArray(secrets) ? (secrets as readonly unknown[]) : [secrets]).map((secret) =>
    typeof secret === 'string' ? secret.replace(/[\r\n]+$/, '') : secret,
  )
  const problems = list.flatMap((secret, i): Problem[] => {
    const message = secretProblem(secret)
    return message === undefined ? [] : [{ path: Array.isArray(secrets) ? `secrets.${i}` : 'secrets', message }]
  })
  if (list.length === 0) problems.push({ path: 'secrets', message: 'is empty; give the secret of this endpoint' })
  if (problems.length > 0) {
    throw new InputError('WAYBILL_WEBHOOK_SECRET_INVALID', 'webhooks cannot be verified', problems)
  }
  return (list as readonly string[]).map((secret) =>
    secret.startsWith('whpk_')
      ? { version: 'v1a', key: verifyingKey(secret) }
      : { version: 'v1', key: hmacKey(secret) },
  )
}

/** What is wrong with a secret, without a piece of it. */
function secretProblem(secret: unknown): string | undefined {
  if (typeof secret !== 'string') {
    const given = secret === undefined ? 'undefined; is the environment variable set?' : `${typeof secret}`
    return `must be text, not ${given}`
  }
  if (isHmacSecret(secret) || isPublicKeyText(secret)) return undefined
  const mistake = secretMistake(secret)
  if (mistake !== undefined) return mistake
  if (secret === '') return 'must not be empty; is the environment variable set?'
  if (secret.startsWith('whsk_')) {
    return 'is a private key (whsk_), which only the sender needs; give its public key, "whpk_" and base64: webhookPublicKey makes it'
  }
  const [prefix, form] = secret.startsWith('whpk_')
    ? ['whpk_', '32 bytes (ed25519, v1a)']
    : ['whsec_', 'the key (HMAC-SHA256, v1)']
  const length = secret.length - prefix.length
  return `must be "${prefix}" and base64 of ${form}; what follows "${prefix}" has ${length} characters: look for spaces and line ends`
}

/** True when one of the signatures is that of one of the keys. Takes as long for one that is wrong in its first byte as in its last. */
export function anyHolds(
  signatures: readonly ClaimedSignature[],
  keys: readonly Key[],
  prefix: string,
  body: Uint8Array,
): boolean {
  let signed: Buffer | undefined
  return keys.some(({ version, key }) => {
    const candidates = signatures.filter((one) => one.version === version)
    if (candidates.length === 0) return false
    if (version === 'v1') {
      const expected = Buffer.from(hmacSignature(key, prefix, body))
      // compared as text: other base64 of the same bytes is not what the sender wrote
      return candidates.some(({ signature }) => sameText(Buffer.from(signature), expected))
    }
    signed ??= Buffer.concat([Buffer.from(prefix), body])
    const content = signed
    return candidates.some(({ signature }) => {
      const bytes = Buffer.from(signature, 'base64')
      return bytes.length === 64 && bytes.toString('base64') === signature && verify(null, content, key, bytes)
    })
  })
}

function sameText(given: Buffer, expected: Buffer): boolean {
  return given.length === expected.length && timingSafeEqual(given, expected)
}

/**
 * The public key, `whpk_…`, of a private key `whsk_…` (32 bytes of seed in base64, or 64 with the public key): the
 * sender signs with the one, a receiver verifies with the other. Throws an `InputError` for anything else.
 */
export function webhookPublicKey(privateKey: string): string {
  if (typeof privateKey === 'string' && isPrivateKeyText(privateKey)) return publicKeyText(privateKey)
  throw new InputError('WAYBILL_WEBHOOK_SECRET_INVALID', 'there is no public key of this', [
    { path: 'privateKey', message: 'must be "whsk_" and base64 of 32 or 64 bytes (ed25519)' },
  ])
}
