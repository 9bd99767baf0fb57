import { createTwoFilesPatch, FILE_HEADERS_ONLY } from 'diff'
import type { PlannedFile } from './plan.js'

/** A unified diff of one file, as `git diff` and `patch` know it; null where nothing changes. */
export function diffOf(file: PlannedFile): string | null {
  if (file.action === 'skip') return null
  const { path, before, after } = file
  const from = before === null ? '/dev/null' : `a/${path}`
  return createTwoFilesPatch(from, `b/${path}`, before ?? '', after, undefined, undefined, {
    headerOptions: FILE_HEADERS_ONLY,
  })
}
