import { WaybillError } from './errors.js'

/**
 * A topic is 1–255 characters: words of `A–Z a–z 0–9 _ -` joined by dots, like `order.created`.
 * In a pattern a word may be `*` (exactly one word) or `**` (one or more words, only as the last): `order.*`, `github.**`.
 */
const topicSyntax = /^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/
const patternSyntax = /^(\*\*|([A-Za-z0-9_-]+|\*)(\.([A-Za-z0-9_-]+|\*))*(\.\*\*)?)$/
export const maxTopicLength = 255

export function isTopic(topic: string): boolean {
  return topic.length <= maxTopicLength && topicSyntax.test(topic)
}

export function isTopicPattern(pattern: string): boolean {
  return pattern.length <= maxTopicLength && patternSyntax.test(pattern)
}

/** The same pattern as a regular expression that JavaScript and PostgreSQL (`~`) read alike. */
export function topicPatternSource(pattern: string): string {
  if (!isTopicPattern(pattern)) {
    throw new WaybillError(
      'WAYBILL_PATTERN_INVALID',
      `topic pattern ${JSON.stringify(pattern)} is not valid: use words of letters, digits, "_" and "-" joined by dots; "*" stands for one word, a last "**" for one or more`,
    )
  }
  const words = pattern.split('.').map((word) => (word === '**' ? '.+' : word === '*' ? '[^.]+' : word))
  return `^${words.join('\\.')}$`
}

export function topicMatcher(patterns: readonly string[]): (topic: string) => boolean {
  const sources = patterns.map(topicPatternSource)
  if (sources.length === 0) return () => false
  // names of jobs are compared too, and may have line breaks: to PostgreSQL "." stands for them
  const expression = new RegExp(sources.join('|'), 's')
  return (topic) => expression.test(topic)
}
