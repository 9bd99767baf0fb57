import { Agent as HttpAgent, type AgentOptions } from 'node:http'
import { Agent as HttpsAgent } from 'node:https'
import type { Socket } from 'node:net'
import { type ConnectPolicy, refuseSocket } from './connector.js'

export interface GuardedAgents {
  readonly http: HttpAgent
  readonly https: HttpsAgent
}

/** Not the proxies of the environment (`NODE_USE_ENV_PROXY`), which Node.js puts into its global agents: a guard would look at the proxy. */
const options: AgentOptions = { keepAlive: false }

type Create<Agent extends HttpAgent> = Agent['createConnection']

/**
 * Agents of a destination's own, without kept sockets. Those of Node.js's global agents are shared by host and port, by
 * the whole process: a destination would send its secret over one that another was allowed to open. The connected socket
 * is looked at before a byte is written to it.
 */
export function guardedAgents(policy: ConnectPolicy): GuardedAgents {
  const http = new HttpAgent(options)
  const https = new HttpsAgent(options)
  http.createConnection = guarded(http.createConnection.bind(http), policy, 'http:')
  https.createConnection = guarded(https.createConnection.bind(https), policy, 'https:')
  return { http, https }
}

function guarded(create: Create<HttpAgent>, policy: ConnectPolicy, protocol: string): Create<HttpAgent> {
  return (target, callback) => {
    const socket = create(target, callback) as Socket
    // The first listener: what was written before waits in the socket until all of them were called.
    socket.prependOnceListener('connect', () => {
      const refusal = refuseSocket(policy, protocol, target.host ?? '', socket.remoteAddress)
      if (refusal) socket.destroy(refusal)
    })
    return socket
  }
}
