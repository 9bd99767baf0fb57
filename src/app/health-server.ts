import { createServer, type IncomingMessage, type Server, type ServerOptions, type ServerResponse } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo, Socket } from 'node:net'
import { systemClock, type Clock } from '../core/clock.js'
import { WaybillError, codeOf } from '../core/errors.js'
import { createPool, endPool } from '../db/pool.js'
import type { Logger } from '../telemetry/logger.js'
import { metricsContentType } from '../telemetry/metrics.js'
import type { DispatcherService } from './create-dispatcher.js'
import type { DispatchCounters } from './dispatch-counters.js'
import { renderMetrics } from './dispatcher-metrics.js'
import { FigureCache, type Figures } from './health-figures.js'

export interface HealthServerOptions {
  readonly service: DispatcherService
  /** `start` has come to its end. */
  readonly started: () => boolean
  readonly counters: DispatchCounters
  /** The database, for figures: one connection of its own, so that probes never wait for those that deliver. */
  readonly connectionString: string
  /** 0: any free port. */
  readonly port: number
  /** Default 0.0.0.0: in a container the prober and the scraper come from outside. */
  readonly host?: string
  readonly logger: Logger
  readonly clock?: Clock
}

export interface HealthServer {
  /** `http://0.0.0.0:8080` */
  readonly url: string
  readonly port: number
  close(): Promise<void>
}

/** What a probe answers, as JSON; `reasons` is empty when it is well. */
export interface Probe {
  readonly ok: boolean
  readonly reasons: readonly string[]
}

/**
 * `/healthz`, `/readyz` and `/metrics` of a dispatcher. It reads only, and tells neither settings nor payloads.
 * @throws WaybillError WAYBILL_CONFIG_INVALID when it can't listen there
 */
export async function startHealthServer(options: HealthServerOptions): Promise<HealthServer> {
  const { service, started, counters, port, logger, clock = systemClock } = options
  const host = options.host ?? '0.0.0.0'
  const pool = createPool({ connectionString: options.connectionString, max: 1, applicationName: 'waybill health' })
  const cache = new FigureCache(pool, clock, () => service.id)
  const figures = (): Promise<Figures | undefined> =>
    cache.get((error) => logger.warn({ err: error }, 'the figures for health and metrics could not be read'))
  const server = createServer(patience, (request, response) => {
    respond(request, response).catch((error: unknown) => {
      logger.error({ err: error }, 'a health request failed')
      response.destroy()
    })
  })
  limitConnections(server)
  const respond = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    if (request.method !== 'GET' && request.method !== 'HEAD') return send(response, 405, 'GET only\n')
    const path = (request.url ?? '').split('?', 1).join('')
    switch (path) {
      case '/healthz':
        return sendProbe(response, liveness(started(), service.healthy))
      case '/readyz':
        return sendProbe(response, readiness(started(), service.healthy, await figures()))
      case '/metrics':
        return send(response, 200, renderMetrics(service, counters, await figures()), metricsContentType)
      default:
        return send(response, 404, 'known: /healthz /readyz /metrics\n')
    }
  }
  try {
    await listen(server, port, host)
  } catch (error) {
    await endPool(pool)
    throw error
  }
  const bound = (server.address() as AddressInfo).port
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${bound}`,
    port: bound,
    close: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      await endPool(pool)
    },
  }
}

/** Probes and scrapers ask at once. Without these an idle connection stays for as long as its peer likes. */
const patience: ServerOptions = {
  headersTimeout: 5000,
  requestTimeout: 5000,
  keepAliveTimeout: 5000,
  connectionsCheckingInterval: 1000,
}
/** Every connection takes a file descriptor, of which deliveries and the database need some too. */
const connectionsKept = 64
/** A connection may say nothing for so long. */
const silentMs = 5000

/**
 * The oldest connection goes for a new one: a probe, which takes milliseconds, gets through whatever else is open, where
 * `maxConnections` would turn it away.
 */
function limitConnections(server: Server): void {
  const open = new Map<Socket, NodeJS.Timeout>()
  server.on('connection', (socket) => {
    // Node.js watches a connection from its first byte on
    const silent = setTimeout(() => socket.destroy(), silentMs)
    open.set(socket, silent)
    socket.once('close', () => {
      clearTimeout(silent)
      open.delete(socket)
    })
    if (open.size <= connectionsKept) return
    const [oldest] = open.keys()
    // its end is told later
    if (oldest) open.delete(oldest)
    oldest?.destroy()
  })
  server.on('request', ({ socket }) => clearTimeout(open.get(socket)))
}

/** The process answers and renews its lease. While it starts it has none yet: that is no reason to kill it. */
export function liveness(started: boolean, healthy: boolean): Probe {
  return !started || healthy ? { ok: true, reasons: [] } : { ok: false, reasons: [lateLease] }
}

const lateLease = 'the lease was not renewed in time'

/** It has started, its database answers, and each lane has a holder that is alive: this one or another. */
export function readiness(started: boolean, healthy: boolean, figures: Figures | undefined): Probe {
  const reasons: string[] = []
  if (!started) reasons.push('it has not started yet')
  else if (!healthy) reasons.push(lateLease)
  if (!figures) reasons.push('the database does not answer, or its schema is not there')
  const unheld = figures?.lanes.filter((lane) => lane.condition === 'unheld') ?? []
  for (const { destination, shard } of unheld) reasons.push(`lane ${destination}/${shard} waits for a dispatcher`)
  return { ok: reasons.length === 0, reasons }
}

function sendProbe(response: ServerResponse, probe: Probe): void {
  send(response, probe.ok ? 200 : 503, `${JSON.stringify(probe)}\n`, 'application/json')
}

function send(response: ServerResponse, status: number, body: string, type = 'text/plain; charset=utf-8'): void {
  response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' }).end(body)
}

async function listen(server: Server, port: number, host: string): Promise<void> {
  server.listen(port, host)
  try {
    await once(server, 'listening')
  } catch (error) {
    throw new WaybillError(
      'WAYBILL_CONFIG_INVALID',
      `--health-port: cannot listen on ${host}:${port} (${codeOf(error) ?? 'no code'}); choose another port, or 0 for a free one`,
      { cause: error },
    )
  }
}
