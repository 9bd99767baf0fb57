/** Levels of arrays and objects within one another, at most. PostgreSQL's own parser stops at a few thousand. */
export const maxDepth = 1000
