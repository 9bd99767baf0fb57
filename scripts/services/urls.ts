import { services } from './registry.js'
import { serviceNames, type ServiceName, type ServiceState } from './types.js'

/** The address of a service under the variable that the tests read. */
export type ServiceUrls = Partial<Record<ServiceName | 'management', string>>

export const managementVariable = 'WAYBILL_TEST_AMQP_MANAGEMENT_URL'

/** What the environment names: such a server is used as it is, never started or stopped. */
export function urlsFromEnvironment(env: NodeJS.ProcessEnv = process.env): ServiceUrls {
  const urls: ServiceUrls = {}
  for (const name of serviceNames) {
    const url = env[services[name].variable]
    if (url !== undefined && url !== '') urls[name] = url
  }
  const management = env[managementVariable]
  if (management !== undefined && management !== '') urls.management = management
  return urls
}

export function urlsFromStates(states: readonly ServiceState[]): ServiceUrls {
  const urls: ServiceUrls = {}
  for (const state of states) {
    urls[state.name] = state.url
    if (state.managementUrl !== undefined) urls.management = state.managementUrl
  }
  return urls
}

/**
 * The services that `up` and the tests have to start themselves. A pooler stands in front of our own server:
 * where the environment names the server, it has to name the pooler too.
 */
export function namesToStart(given: ServiceUrls): ServiceName[] {
  return serviceNames.filter((name) => {
    const { after } = services[name]
    return given[name] === undefined && (after === undefined || given[after] === undefined)
  })
}

export function asEnvironment(urls: ServiceUrls): Record<string, string> {
  const entries = serviceNames.flatMap((name) => {
    const url = urls[name]
    return url === undefined ? [] : [[services[name].variable, url] as const]
  })
  if (urls.management !== undefined) entries.push([managementVariable, urls.management])
  return Object.fromEntries(entries)
}
