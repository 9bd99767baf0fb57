/**
 * Keys and signed text of Standard Webhooks 1.0 (standardwebhooks.com), for who signs and who verifies: `v1` is
 * HMAC-SHA256, `v1a` ed25519.
 */
import { createHmac, createPrivateKey, createPublicKey, createSecretKey, type KeyObject } from 'node:crypto'

/** What is signed is this text and then the bytes of the body. `timestamp` is in Unix seconds, as in the header. */
export function signedPrefix(id: string, timestamp: number | string): string {
  return `${id}.${timestamp}.`
}

/** Header of the signatures that bind a webhook's topic, key and attempt, where the sender makes them. */
export const contextSignatureHeader = 'webhook-context-signature'

/**
 * What those sign: this text and then `contextBytes`. It can't be taken for a signed body, nor a body's for it: read as one
 * its id would be `context` and its timestamp no number.
 */
export function contextPrefix(id: string, timestamp: number | string): string {
  return `context.${id}.${timestamp}.`
}

/** Values as they stand in the headers. */
export function contextBytes(topic: string, key: string | undefined, attempt: string): Buffer {
  return Buffer.from(JSON.stringify([topic, key ?? null, attempt]))
}

/** The HMAC-SHA256 of a `v1` signature, in base64. */
export function hmacSignature(key: KeyObject, prefix: string, body: Uint8Array): string {
  return createHmac('sha256', key).update(prefix).update(body).digest('base64')
}

/** True for base64 as secrets are written: the standard alphabet, padding optional, not empty. */
function isBase64(value: string): boolean {
  return /^[A-Za-z0-9+/]+={0,2}$/.test(value) && value.length % 4 !== 1
}

/** True for what `hmacKey` takes: `whsec_` and base64, or text without a prefix of its own. */
export function isHmacSecret(secret: string): boolean {
  if (secret.startsWith('whsec_')) return isBase64(secret.slice(6))
  return secret !== '' && !/^wh[sp]k_/.test(secret) && secretMistake(secret) === undefined
}

/** A secret as consoles, files and shells give it, which would be taken as plain text; what to do. Undefined: it is none. */
export function secretMistake(secret: string): string | undefined {
  if (/^["'“”‘’`]|["'“”‘’`]$/u.test(secret) && /wh(sec|sk|pk)_/i.test(secret))
    return 'has quotes around it; leave them out'
  if (/^v1a?,\s*wh/i.test(secret)) return 'begins with a version ("v1,"); give what follows the comma'
  if (/^\w+=wh(sec|sk|pk)_/i.test(secret)) return 'begins with the name of a variable; give what follows the "="'
  if (/^\s|\s$/.test(secret)) return 'has white space at its ends; leave it out'
  if (/^wh(sec|sk|pk)_/i.test(secret) && !/^wh(sec|sk|pk)_/.test(secret))
    return 'has its prefix in capitals; write it as it was given: whsec_, whsk_ or whpk_'
  return undefined
}

/**
 * True for a text without `whsec_` that is probably meant to be decoded: base64 of 24 to 64 random bytes, which is what
 * Standard Webhooks wants, with signs of all three kinds. Hexadecimal text, as tools print it, is not: it has one case.
 */
export function looksLikeBareBase64(secret: string): boolean {
  if (!isBase64(secret)) return false
  const bytes = Buffer.from(secret, 'base64').length
  return bytes >= 24 && bytes <= 64 && [/[A-Z]/, /[a-z]/, /[0-9+/=]/].every((kind) => kind.test(secret))
}

/** True for what `signingKey` takes: `whsk_` and base64 of a seed (32 bytes), or of a seed and its public key (64). */
export function isPrivateKeyText(secret: string): boolean {
  const text = secret.slice(5)
  return secret.startsWith('whsk_') && isBase64(text) && [32, 64].includes(Buffer.from(text, 'base64').length)
}

/** True for what `verifyingKey` takes: `whpk_` and base64 of 32 bytes. */
export function isPublicKeyText(secret: string): boolean {
  const text = secret.slice(5)
  return secret.startsWith('whpk_') && isBase64(text) && Buffer.from(text, 'base64').length === 32
}

/** The `v1` key: the bytes that follow `whsec_` in base64; of any other text its UTF-8. */
export function hmacKey(secret: string): KeyObject {
  return createSecretKey(secret.startsWith('whsec_') ? Buffer.from(secret.slice(6), 'base64') : Buffer.from(secret))
}

/** DER up to the 32 bytes of the key (RFC 8410): PKCS #8 and SubjectPublicKeyInfo. */
const pkcs8Head = Buffer.from('302e020100300506032b657004220420', 'hex')
const spkiHead = Buffer.from('302a300506032b6570032100', 'hex')

/** The `v1a` key that signs, of `whsk_…`. */
export function signingKey(secret: string): KeyObject {
  const seed = Buffer.from(secret.slice(5), 'base64').subarray(0, 32)
  return createPrivateKey({ key: Buffer.concat([pkcs8Head, seed]), format: 'der', type: 'pkcs8' })
}

/** The `v1a` key that verifies, of `whpk_…`. */
export function verifyingKey(publicKey: string): KeyObject {
  const bytes = Buffer.from(publicKey.slice(5), 'base64')
  return createPublicKey({ key: Buffer.concat([spkiHead, bytes]), format: 'der', type: 'spki' })
}

/** `whpk_…` of a `whsk_…`. */
export function publicKeyText(secret: string): string {
  const der = createPublicKey(signingKey(secret)).export({ format: 'der', type: 'spki' })
  return `whpk_${der.subarray(spkiHead.length).toString('base64')}`
}
