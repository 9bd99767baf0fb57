import type { Register } from '../command.js'
import { register as cancel } from './cancel.js'
import { register as config } from './config.js'
import { register as destinations } from './destinations.js'
import { register as destinationsRemove } from './destinations-remove.js'
import { register as dispatch } from './dispatch.js'
import { register as doctor } from './doctor.js'
import { register as drop } from './drop.js'
import { register as init } from './init.js'
import { register as maintain } from './maintain.js'
import { register as migrate } from './migrate.js'
import { register as publish } from './publish.js'
import { register as retry } from './retry.js'
import { register as show } from './show.js'
import { register as status } from './status.js'
import { register as undelivered } from './undelivered.js'

/** Every command, in the order of the help. */
export const commands: readonly Register[] = [
  ...[init, config, migrate, dispatch],
  ...[publish, cancel],
  ...[status, undelivered, show, retry, drop],
  ...[destinations, destinationsRemove, maintain, doctor],
]
