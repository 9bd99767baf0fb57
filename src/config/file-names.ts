/** Looked for in the working directory, in this order. */
export const configFileNames = ['ts', 'mts', 'js', 'mjs', 'json'].map((extension) => `waybill.config.${extension}`)
