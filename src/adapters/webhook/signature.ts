import { sign } from 'node:crypto'
import type { Secret } from '../../config/destinations/secret.js'
import { hmacKey, hmacSignature, signingKey } from '../../core/webhook-keys.js'

/** Gives one signature for each secret, separated by spaces, in the secrets' order, of a prefix and what follows it. */
export type Signer = (prefix: string, body: Buffer) => string

type OneSigner = (prefix: string, body: Buffer) => string

/**
 * Signs as Standard Webhooks 1.0 says: `v1` is HMAC-SHA256 (`whsec_` and base64; other text
 * is the key as it is), `v1a` ed25519 (`whsk_` and base64 of the seed, or of seed and public key). Keys are read once.
 */
export function createSigner(secrets: readonly Secret[]): Signer | undefined {
  const signers = secrets.map((secret) => signerOf(secret.reveal()))
  const [only, ...others] = signers
  if (!only) return undefined
  if (others.length === 0) return only
  return (prefix, body) => signers.map((one) => one(prefix, body)).join(' ')
}

function signerOf(secret: string): OneSigner {
  if (secret.startsWith('whsk_')) {
    const key = signingKey(secret)
    return (prefix, body) => `v1a,${sign(null, Buffer.concat([Buffer.from(prefix), body]), key).toString('base64')}`
  }
  const key = hmacKey(secret)
  return (prefix, body) => `v1,${hmacSignature(key, prefix, body)}`
}
