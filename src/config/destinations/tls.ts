import { X509Certificate } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import { z } from 'zod'
import { codeOf } from '../../core/errors.js'
import { text } from '../fields.js'
import { secret } from './secret.js'

const pemHelp = 'must be PEM, "-----BEGIN CERTIFICATE-----" and so on: the text of the file, not its path'

/** Node takes anything for `ca`, and trusts nobody then. */
const certificates = secret.refine((pem) => areCertificates(pem.reveal()), { error: pemHelp })

const material = z.strictObject({
  /** PEM certificates to trust in place of the system's. Default: the system's. */
  ca: certificates.optional(),
  /** PEM certificate (chain) to show to the other side: mTLS. Needs `key`. Default: none. */
  cert: certificates.optional(),
  /** PEM private key of `cert`. */
  key: secret.optional(),
  /** Pass phrase of `key`. Default: none. */
  passphrase: secret.optional(),
})

type Material = z.output<typeof material>

/** Trust and client certificate of a destination. */
export const clientTls = material.superRefine(checkMaterial)

/** The same for brokers, whose addresses need not be the names in their certificates. */
export const brokerTls = material
  .extend({
    /** Name that the certificate must carry. Default: the host that is connected to. */
    servername: text.optional(),
  })
  .superRefine(checkMaterial)

function checkMaterial(value: Material, context: z.RefinementCtx): void {
  const problem = (message: string): void => context.addIssue({ code: 'custom', message })
  if ((value.cert === undefined) !== (value.key === undefined)) {
    problem('cert and key belong together: give both')
    return
  }
  // What is no certificate has been said.
  if (value.cert && !areCertificates(value.cert.reveal())) return
  try {
    createSecureContext(tlsOptions(value))
  } catch (error) {
    // OpenSSL's own text may quote the material; its code says enough
    problem(`cert and key do not match, or key is not PEM that passphrase opens (${codeOf(error) ?? 'unreadable'})`)
  }
}

function areCertificates(pem: string): boolean {
  const blocks = pem.match(/-----BEGIN ([A-Z0-9 ]*CERTIFICATE)-----[^]*?-----END \1-----/g) ?? []
  try {
    for (const block of blocks) new X509Certificate(block)
    return blocks.length > 0
  } catch {
    return false
  }
}

/** What `node:tls` takes. */
export function tlsOptions({ ca, cert, key, passphrase, servername }: Material & { servername?: string | undefined }) {
  return {
    ...(ca && { ca: ca.reveal() }),
    ...(cert && { cert: cert.reveal() }),
    ...(key && { key: key.reveal() }),
    ...(passphrase && { passphrase: passphrase.reveal() }),
    ...(servername !== undefined && { servername }),
  }
}
