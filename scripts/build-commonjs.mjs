// Run after tsc: for every entry of package.json's exports with a `require` condition, its CommonJS files beside the
// modules that tsc made (index.cjs and index.d.cts beside index.js and index.d.ts), a file for each module. So entries share
// what they have in common (classes, above all), are loaded no further than they are used, and find SQL files in one place.
// Jest has a module system of its own, which can't require ES modules: dependencies that are nothing else are copied in.
import { access, copyFile, readdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { rolldown } from 'rolldown'

/** Dependencies without CommonJS of their own. */
const esmOnly = ['uuid']

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const dist = join(root, 'dist')
const { exports: entries } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
const required = Object.values(entries).flatMap((entry) => (entry.require ? [entry.require] : []))

const modules = await buildModules(required.map((entry) => moduleOf(entry.default, '.cjs', '.js')))
const declarations = await buildDeclarations(required.map((entry) => moduleOf(entry.types, '.d.cts', '.d.ts')))
await copyLicences()
console.log(`made ${modules} CommonJS modules and ${declarations} declarations in dist`)

function moduleOf(file, extension, replacement) {
  if (!file.startsWith('./dist/') || !file.endsWith(extension)) {
    throw new Error(`package.json: exports: ${file} must be a ${extension} file in dist`)
  }
  return join(root, file.slice(0, -extension.length) + replacement)
}

async function buildModules(input) {
  const bundle = await rolldown({
    cwd: root,
    input,
    platform: 'node',
    external: (id) => !/^[./]/.test(id) && !esmOnly.includes(id),
    // where node_modules is a link, what is copied in is still named by its place below it
    resolve: { symlinks: false },
    onLog(level, log) {
      throw new Error(`${level}: ${log.message}`)
    },
  })
  const { output } = await bundle.write({
    dir: dist,
    format: 'cjs',
    strict: true,
    exports: 'named',
    preserveModules: true,
    preserveModulesRoot: dist,
    entryFileNames: ({ name }) => `${placeOf(name)}.cjs`,
    // an ES module's import() is refused by Jest too
    dynamicImportInCjs: false,
    // the docstrings are in the declarations
    comments: { jsdoc: false },
  })
  return output.length
}

/** npm packs no folder of the name node_modules. */
function placeOf(name) {
  return name.replace(/^(?:.*\/)?node_modules\//, 'bundled/').replace(/^_virtual\//, 'bundled/')
}

async function buildDeclarations(files) {
  const seen = new Set(files)
  for (const file of seen) {
    const text = (await readFile(file, 'utf8')).replaceAll(
      /((?:\bfrom |\bimport |\bimport\()['"])(\.\.?\/[^'"]+)\.js(['"])/g,
      (_all, before, path, after) => {
        seen.add(join(dirname(file), `${path}.d.ts`))
        return `${before}${path}.cjs${after}`
      },
    )
    await writeFile(file.replace(/\.d\.ts$/, '.d.cts'), text)
  }
  return seen.size
}

async function copyLicences() {
  for (const name of esmOnly) {
    const from = join(root, 'node_modules', name)
    const licence = (await readdir(from)).find((file) => /^licen[cs]e/i.test(file))
    if (licence === undefined) throw new Error(`${relative(root, from)} has no licence to copy`)
    const to = join(dist, 'bundled', name)
    await access(to)
    await copyFile(join(from, licence), join(to, licence))
  }
}
