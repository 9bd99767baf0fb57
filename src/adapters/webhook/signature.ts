import { createHmac, createPrivateKey, createSecretKey, sign, type KeyObject } from 'node:crypto'
import type { Secret } from '../../config/destinations/secret.js'

/** Gives the `webhook-signature` header: one signature for each secret, separated by spaces, in the secrets' order. */
export type Signer = (id: string, timestamp: number, body: Buffer) => string

type OneSigner = (prefix: string, body: Buffer) => string

/**
 * Signs `${id}.${timestamp}.${body}` as Standard Webhooks 1.0 says: `v1` is HMAC-SHA256 (`whsec_` and base64; other text
 * is the key as it is), `v1a` ed25519 (`whsk_` and base64 of the seed, or of seed and public key). Keys are read once.
 */
export function createSigner(secrets: readonly Secret[]): Signer | undefined {
  const signers = secrets.map((secret) => signerOf(secret.reveal()))
  const [only, ...others] = signers
  if (!only) return undefined
  if (others.length === 0) return (id, timestamp, body) => only(`${id}.${timestamp}.`, body)
  return (id, timestamp, body) => {
    const prefix = `${id}.${timestamp}.`
    return signers.map((one) => one(prefix, body)).join(' ')
  }
}

function signerOf(secret: string): OneSigner {
  if (secret.startsWith('whsk_')) return ed25519(Buffer.from(secret.slice(5), 'base64'))
  const bytes = secret.startsWith('whsec_') ? Buffer.from(secret.slice(6), 'base64') : Buffer.from(secret)
  const key = createSecretKey(bytes)
  return (prefix, body) => `v1,${createHmac('sha256', key).update(prefix).update(body).digest('base64')}`
}

/** PKCS #8 (RFC 8410) up to the 32 bytes of the seed. */
const pkcs8Head = Buffer.from('302e020100300506032b657004220420', 'hex')

function ed25519(material: Buffer): OneSigner {
  const der = Buffer.concat([pkcs8Head, material.subarray(0, 32)])
  const key: KeyObject = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
  return (prefix, body) => `v1a,${sign(null, Buffer.concat([Buffer.from(prefix), body]), key).toString('base64')}`
}
