import js from '@eslint/js'
import tseslint from 'typescript-eslint'

export default tseslint.config(
  // an example with a package.json of its own has dependencies of its own, and is compiled by its own `npm test`;
  // templates are compiled as `waybill init` writes them
  {
    ignores: [
      ...['dist/**', 'node_modules/**', 'bench/**', 'templates/**'],
      ...['examples/*/**', '!examples/orders/**', '**/generated*/**'],
    ],
  },
  js.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [...tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
      // `import { type X } from 'kafkajs'` would load kafkajs
      '@typescript-eslint/no-import-type-side-effects': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      'no-restricted-syntax': ['error', { selector: 'ExportDefaultDeclaration', message: 'Named exports only.' }],
      'no-console': 'error',
    },
  },
  {
    // configuration files are loaded by their default export
    files: ['*.config.ts', 'examples/**/*.config.ts'],
    rules: { 'no-restricted-syntax': 'off' },
  },
  {
    // projects of their own, where Waybill is a package that is not installed here: their own tests check their types
    files: ['examples/**/*.ts'],
    ignores: ['examples/orders/**'],
    extends: [tseslint.configs.disableTypeChecked],
  },
  {
    files: ['scripts/**', 'examples/**', 'src/cli/**', 'test/**'],
    rules: { 'no-console': 'off' },
  },
  {
    files: ['**/*.mjs', '**/*.js'],
    languageOptions: {
      globals: {
        process: 'readonly',
        console: 'readonly',
        URL: 'readonly',
        setTimeout: 'readonly',
        Buffer: 'readonly',
      },
    },
    rules: { 'no-restricted-syntax': 'off' },
  },
)
