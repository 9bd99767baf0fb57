import { type Check, ok, warn } from './finding.js'

/** Whether a dispatcher would start with this configuration, here. */
export const configurationCheck: Check = {
  name: 'configuration',
  needsSchema: false,
  run({ problems }) {
    if (problems.length === 0) return Promise.resolve([ok('nothing is wrong with it')])
    const why = 'a dispatcher does not start with it; where dispatchers run, secrets may be set that are not set here'
    const remedy = 'waybill config lists every problem'
    return Promise.resolve(problems.map(({ path, message }) => warn(`${path}: ${message}`, why, remedy)))
  },
}
