/** A template's ESM as CommonJS. Knows the forms that templates have: named imports, exported functions and values. */
export function toCommonJs(code: string): string {
  const names = [...code.matchAll(/^export (?:async )?(?:function|const) (\w+)/gm)].map(([, name = '']) => name)
  const body = code
    .replace(/^import \{ (.+) \} from ('.+')$/gm, 'const { $1 } = require($2)')
    .replace(/^export (?=async |function |const )/gm, '')
  return `${body}\nmodule.exports = { ${names.join(', ')} }\n`
}
