import { readFileSync } from 'node:fs'

const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }

/** The package's version, as in `package.json`; two folders up from here, in the source and in the build alike. */
export const version: string = manifest.version
