import type { Register } from '../command.js'
import { register as config } from './config.js'
import { register as dispatch } from './dispatch.js'
import { register as migrate } from './migrate.js'
import { register as publish } from './publish.js'
import { register as status } from './status.js'

/** Every command, in the order of the help. */
export const commands: readonly Register[] = [migrate, publish, dispatch, status, config]
