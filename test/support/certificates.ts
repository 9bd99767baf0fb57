import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onFileEnd } from './cleanup.js'

const authority = 'ca'
const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
const days = ['-days', '2']

/** Opens `client.locked.key`. */
export const passphrase = 'open sesame'

/**
 * Certificates of an authority of their own: `server` for 127.0.0.1 and localhost, `elsewhere` for another host, `client`.
 * Reads them as PEM: `pem('server.key')`, `pem('server.pem')`; the authority's is `ca.pem`,
 * and `client.locked.key` is the client's key behind a pass phrase. Gone when the file ends.
 */
export function makeCertificates(): (name: string) => string {
  const folder = mkdtempSync(join(tmpdir(), 'waybill-tls-'))
  onFileEnd(() => rmSync(folder, { recursive: true }))
  const openssl = (...args: string[]): unknown => execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' })
  openssl('req', '-x509', ...curve, ...days, ...files(authority, 'pem'), '-subj', '/CN=test authority')
  const signed = [
    '-CA',
    `${authority}.pem`,
    '-CAkey',
    `${authority}.key`,
    '-CAcreateserial',
    '-copy_extensions',
    'copy',
  ]
  for (const [name, alternative] of [
    ['server', 'IP:127.0.0.1,DNS:localhost'],
    ['elsewhere', 'DNS:elsewhere.example'],
    ['client', 'DNS:waybill'],
  ] as const) {
    openssl('req', ...curve, ...files(name, 'csr'), '-subj', `/CN=${name}`, '-addext', `subjectAltName=${alternative}`)
    openssl('x509', '-req', '-in', `${name}.csr`, ...signed, ...days, '-out', `${name}.pem`)
  }
  openssl('pkey', '-in', 'client.key', '-aes256', '-passout', `pass:${passphrase}`, '-out', 'client.locked.key')
  return (name) => readFileSync(join(folder, name), 'utf8')
}

function files(name: string, out: string): string[] {
  return ['-keyout', `${name}.key`, '-out', `${name}.${out}`]
}
