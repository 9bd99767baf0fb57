// Lets Node 22 and later run the sources as they are: it strips the types itself, and this finds `x.ts` where `x.js` is
// imported. Nothing is compiled, so what is measured is the program and not a compiler's helpers.
import { registerHooks } from 'node:module'

registerHooks({
  resolve(specifier, context, next) {
    if (/^\.{1,2}\/.*\.js$/.test(specifier) && context.parentURL?.endsWith('.ts')) {
      return next(`${specifier.slice(0, -3)}.ts`, context)
    }
    return next(specifier, context)
  },
})
