import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isTopic, isTopicPattern, topicMatcher, topicPatternSource } from '../../src/core/topic-pattern.js'
import { useDatabase } from '../support/database.js'

const word = fc.string({ unit: fc.constantFrom('a', 'b', 'A', '1', '_', '-'), minLength: 1, maxLength: 2 })
const topics = fc.array(word, { minLength: 1, maxLength: 4 }).map((words) => words.join('.'))
const patterns = fc
  .tuple(fc.array(fc.oneof(word, fc.constant('*')), { maxLength: 3 }), fc.boolean())
  .map(([words, rest]) => [...words, ...(rest || words.length === 0 ? ['**'] : [])].join('.'))

/** What the words of a pattern mean, word by word. */
function matches(pattern: readonly string[], topic: readonly string[]): boolean {
  const [first, ...rest] = pattern
  if (first === undefined) return topic.length === 0
  if (first === '**') return topic.length > 0
  const [head, ...tail] = topic
  return head !== undefined && (first === '*' || first === head) && matches(rest, tail)
}

describe.each(['pg18', 'pg15'] as const)('topic patterns on %s', (server) => {
  const database = useDatabase({ server })

  it('mean the same to JavaScript, to PostgreSQL and to the words of the documentation', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(patterns, { minLength: 1, maxLength: 4 }),
        fc.array(topics, { minLength: 20, maxLength: 60, size: 'max' }),
        async (wanted, published) => {
          expect(wanted.filter((pattern) => !isTopicPattern(pattern))).toEqual([])
          expect(published.filter((topic) => !isTopic(topic))).toEqual([])
          const matcher = topicMatcher(wanted)
          // the lane's filter in SQL is the alternative of all its patterns
          const source = wanted.map(topicPatternSource).join('|')
          const { rows } = await database().pool.query<{ topic: string; wanted: boolean }>(
            'select t as topic, t ~ $1::text as wanted from unnest($2::text[]) with ordinality u(t, n) order by n',
            [source, published],
          )
          const byWords = (topic: string): boolean => wanted.some((p) => matches(p.split('.'), topic.split('.')))
          expect(rows.map(({ topic }) => ({ topic, wanted: matcher(topic) }))).toEqual(rows)
          expect(rows.map(({ topic }) => ({ topic, wanted: byWords(topic) }))).toEqual(rows)
        },
      ),
      { numRuns: 100 },
    )
  })
})

describe('a topic pattern', () => {
  it('that is none is refused with what to use, and never compiled', () => {
    for (const pattern of ['', '.', 'a..b', '**.a', 'a.**.b', 'a*', 'a b', 'a.', '***', 'ä', 'a\n', '(a|b)', 'a|b']) {
      expect(isTopicPattern(pattern), pattern).toBe(false)
      expect(() => topicPatternSource(pattern)).toThrow(expect.objectContaining({ code: 'WAYBILL_PATTERN_INVALID' }))
    }
  })

  it('takes no regular expression out of a word', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 12 }), (text) => {
        if (isTopicPattern(text)) expect(text).toMatch(/^[A-Za-z0-9_.*-]+$/)
      }),
    )
    expect(topicMatcher(['a.b'])('axb')).toBe(false)
  })

  it('is none: nothing matches', () => {
    expect(topicMatcher([])('a')).toBe(false)
  })
})
