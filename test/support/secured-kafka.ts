import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { drawClusterId, kafka, launchKafka, prepareKafka } from '../../scripts/services/kafka.js'
import { pickPort } from '../../scripts/services/ports.js'
import { processStarted, stopProcess } from '../../scripts/services/processes.js'
import { onFileEnd } from './cleanup.js'
import { serviceReady } from './service-ready.js'

/** Ways in to one broker, each `host:port`. */
export interface SecuredKafka {
  readonly plain: string
  /** TLS; anybody may come. */
  readonly tls: string
  /** TLS; the broker asks for a certificate of its authority. */
  readonly mutual: string
  /** TLS with a certificate for another host. */
  readonly elsewhere: string
  /** TLS; who comes signs in, by PLAIN or SCRAM. */
  readonly sasl: string
}

/**
 * A broker of the test's own that is to be reached in the ways of production. Gone when the file ends.
 * @param pem of `makeCertificates`
 * @param user who may sign in
 */
export async function startSecuredKafka(
  pem: (name: string) => string,
  user: { readonly name: string; readonly password: string },
): Promise<SecuredKafka> {
  const directory = await mkdtemp(join(tmpdir(), 'waybill-kafka-'))
  onFileEnd(() => rm(directory, { recursive: true, force: true }))
  // The format takes key and chain from one file.
  const store = async (name: string): Promise<string> => {
    const file = join(directory, `${name}-store.pem`)
    await writeFile(file, pem(`${name}.key`) + pem(`${name}.pem`))
    return file
  }
  const authority = join(directory, 'ca.pem')
  await writeFile(authority, pem('ca.pem'))

  const node = { broker: await pickPort(), controller: await pickPort() }
  const listeners = [
    { name: 'tls', protocol: 'SSL', port: await pickPort() },
    { name: 'mutual', protocol: 'SSL', port: await pickPort() },
    { name: 'elsewhere', protocol: 'SSL', port: await pickPort() },
    { name: 'sasl', protocol: 'SASL_SSL', port: await pickPort() },
  ] as const
  const login = 'org.apache.kafka.common.security'
  await prepareKafka({
    directory,
    clusterId: drawClusterId(),
    id: 1,
    nodes: [node],
    listeners,
    scramUsers: [user],
    properties: {
      'ssl.keystore.type': 'PEM',
      'ssl.keystore.location': await store('server'),
      'ssl.truststore.type': 'PEM',
      'ssl.truststore.location': authority,
      'listener.name.elsewhere.ssl.keystore.type': 'PEM',
      'listener.name.elsewhere.ssl.keystore.location': await store('elsewhere'),
      'listener.name.mutual.ssl.client.auth': 'required',
      'listener.name.sasl.sasl.enabled.mechanisms': 'PLAIN,SCRAM-SHA-256,SCRAM-SHA-512',
      'listener.name.sasl.plain.sasl.jaas.config': `${login}.plain.PlainLoginModule required user_${user.name}="${user.password}";`,
      'listener.name.sasl.scram-sha-256.sasl.jaas.config': `${login}.scram.ScramLoginModule required;`,
      'listener.name.sasl.scram-sha-512.sasl.jaas.config': `${login}.scram.ScramLoginModule required;`,
    },
  })
  const logFile = join(directory, 'log.txt')
  const pid = await launchKafka({ directory, logFile })
  const pidStarted = processStarted(pid) ?? ''
  onFileEnd(() => stopProcess(pid, pidStarted, 'SIGKILL'))

  const plain = `127.0.0.1:${node.broker}`
  const state = { name: 'kafka', pid, pidStarted, owner: 'test', ports: node, url: plain, directory, logFile } as const
  await serviceReady(kafka, state)
  const [tls, mutual, elsewhere, sasl] = listeners.map(({ port }) => `127.0.0.1:${port}`)
  return { plain, tls, mutual, elsewhere, sasl } as SecuredKafka
}
