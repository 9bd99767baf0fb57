import js from '@eslint/js'
import tseslint from 'typescript-eslint'

export default tseslint.config(
  // templates are compiled as `waybill init` writes them
  { ignores: ['dist/**', '**/node_modules/**', 'bench/**', 'templates/**', '**/generated*/**'] },
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
    // what Nest hands to a constructor it finds by the types of the parameters, when the program runs
    files: ['examples/nestjs/**/*.ts'],
    rules: { '@typescript-eslint/consistent-type-imports': 'off' },
  },
  {
    files: ['examples/commonjs-jest/**/*.js'],
    languageOptions: {
      sourceType: 'commonjs',
      globals: Object.fromEntries(
        ['__dirname', 'afterAll', 'afterEach', 'beforeAll', 'beforeEach', 'describe', 'expect', 'it', 'test'].map(
          (name) => [name, 'readonly'],
        ),
      ),
    },
  },
  {
    files: ['scripts/**', 'examples/**', 'src/cli/**', 'test/**'],
    rules: { 'no-console': 'off' },
  },
  {
    // a package of its own: what it depends on is installed there, and so compiled there
    files: ['examples/nestjs/**/*.ts'],
    extends: [tseslint.configs.disableTypeChecked],
    // Nest reads the types of parameters when the program runs
    rules: { '@typescript-eslint/consistent-type-imports': 'off' },
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
        fetch: 'readonly',
      },
    },
    rules: { 'no-restricted-syntax': 'off' },
  },
)
