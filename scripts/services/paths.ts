import { homedir, tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'

/** Downloads, kept between runs and shared by every checkout. */
export function cacheDirectory(): string {
  return join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'waybill')
}

/** Data, logs and state of the running services. Another value makes a second, independent set. */
export function servicesDirectory(): string {
  return process.env['WAYBILL_SERVICES_DIR'] ?? join(tmpdir(), `waybill-services-${userInfo().uid}`)
}

/** A set beside the default one stays away from the standard ports: it would only race for them. */
export function isDefaultSet(): boolean {
  return process.env['WAYBILL_SERVICES_DIR'] === undefined
}
