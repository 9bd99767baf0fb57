/**
 * Marks a plugin of Fastify's as the package fastify-plugin does: what it adds is for the scope that registers it, not for
 * one of its own. Fastify looks at these symbols only, so nothing has to be imported.
 */
export function sharedPlugin<Plugin extends object>(name: string, plugin: Plugin): Plugin {
  return Object.assign(plugin, {
    [Symbol.for('skip-override')]: true,
    [Symbol.for('fastify.display-name')]: name,
    [Symbol.for('plugin-meta')]: { name, fastify: '>=5' },
  })
}
