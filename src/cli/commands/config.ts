import { defineCommand } from '../command.js'
import { renderTree } from '../output.js'

/** `waybill config`: what Waybill would run with, defaults and environment included, without secrets. */
export const register = defineCommand({
  name: 'config',
  summary: 'Check the configuration and show it, with defaults and without secrets',
  description: 'Exits with 1 and lists every problem when it is not valid. Connects to nothing.',
  async run({ out, io, globals, loadConfig }) {
    const { findConfigFile, fingerprintConfig, redact } = await import('../../config/index.js')
    const resolved = await loadConfig()
    const file = findConfigFile({ file: globals.config, cwd: io.cwd }, io.env) ?? null
    const fingerprint = fingerprintConfig(resolved)
    const { warnings, ...config } = resolved
    const shown = redact(config)
    const remarks = warnings.map((warning) => `warning: ${warning.path}: ${warning.message}`)
    const text = [
      `file: ${file ?? '(none; environment only)'}`,
      `fingerprint: ${fingerprint}`,
      renderTree(shown),
      ...remarks,
    ]
    out.value({ file, fingerprint, config: shown, warnings }, text.join('\n'))
  },
})
