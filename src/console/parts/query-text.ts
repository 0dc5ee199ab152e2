/** A search as its terms, for showing and changing them. The gateway alone decides what they mean. */
import { quoted } from '../format.ts'

export interface Term {
  readonly text: string
  readonly from: number
  readonly to: number
}

/** Cut at white space outside quotes and brackets. */
export function termsOf(query: string): readonly Term[] {
  const terms: Term[] = []
  let from = -1
  let inQuotes = false
  let depth = 0
  const end = (to: number): void => {
    if (from >= 0) terms.push({ text: query.slice(from, to), from, to })
    from = -1
  }
  for (let at = 0; at < query.length; at++) {
    const character = query[at]
    if (character === '\\' && inQuotes) {
      at++
      continue
    }
    if (character === '"') inQuotes = !inQuotes
    if (!inQuotes && character === '(') depth++
    if (!inQuotes && character === ')') depth = Math.max(0, depth - 1)
    if (!inQuotes && depth === 0 && /\s/.test(character ?? '')) end(at)
    else if (from < 0) from = at
  }
  end(query.length)
  return terms
}

export function withoutTerm(query: string, { from, to }: Term): string {
  return `${query.slice(0, from)} ${query.slice(to)}`.replaceAll(/\s+/g, ' ').trim()
}

export function withTerm(query: string, term: string): string {
  if (termsOf(query).some(({ text }) => text === term)) return query
  return `${query} ${term}`.trim()
}

/** In place of every term of this key. */
export function withOnly(query: string, key: string, value: string | undefined): string {
  const kept = termsOf(query)
    .map(({ text }) => text)
    .filter((text) => !text.startsWith(`${key}:`))
  return [...kept, ...(value === undefined ? [] : [`${key}:${value}`])].join(' ')
}

export function valueIn(query: string, key: string): string | undefined {
  const found = termsOf(query).find(({ text }) => text.startsWith(`${key}:`))
  return found?.text.slice(key.length + 1)
}

export function termOf(key: string, value: string): string {
  return `${key}:${quoted(value)}`
}

/** For a shell: nothing within single quotes means anything. */
export function asCommand(query: string): string {
  return `gatebook query '${query.replaceAll("'", `'\\''`)}'`
}
