/** Publishing, for the command line. */
export { Queue } from '../queue-facade/queue.js'
export { type MessageOptions } from '../queue-facade/options.js'
export { rawJson, type RawJson } from '../queue-facade/raw-json.js'
