import { codeOf, WaybillError } from './errors.js'

/**
 * Loads an optional peer dependency at its first use: `loadPeer('amqplib', () => import('amqplib'))`.
 * Throws `WAYBILL_PEER_MISSING`, with the command that installs it, where it is not there; other errors pass through.
 */
export async function loadPeer<Module>(name: string, load: () => Promise<Module>): Promise<Module> {
  try {
    return await load()
  } catch (error) {
    if (codeOf(error) !== 'ERR_MODULE_NOT_FOUND') throw error
    throw new WaybillError('WAYBILL_PEER_MISSING', `the package "${name}" is not installed; run: npm install ${name}`, {
      cause: error,
    })
  }
}
