/**
 * What is in force, as one text without secrets: defaults filled in, members in order. It goes into the book
 * with every load, and the difference of two of them says what a reload changed. A secret stands there by its
 * reference alone, so that the text may be sealed, shown and compared.
 */
import { dotted } from './faults.ts'
import type { Config } from './schema.ts'

export type Json = string | number | boolean | readonly Json[] | JsonMap
export interface JsonMap {
  readonly [name: string]: Json
}

export function effectiveConfig(config: Config): JsonMap {
  return mapOf(Object.entries(config))
}

/** Members by name, no white space: the same configuration is the same text. */
export function canonicalText(value: Json): string {
  return JSON.stringify(value)
}

function mapOf(entries: Iterable<readonly [string, unknown]>): JsonMap {
  const given = [...entries].filter(([, value]) => value !== undefined)
  return Object.fromEntries(
    given.sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, value]) => [name, json(value)]),
  )
}

function json(value: unknown): Json {
  if (value instanceof Map) return mapOf(value)
  if (Array.isArray(value)) return value.map(json)
  if (typeof value === 'object' && value !== null) {
    if ('source' in value && 'name' in value) return `${value.source}:${value.name}`
    return mapOf(Object.entries(value))
  }
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return value
  throw new TypeError(`a ${typeof value} in the configuration`)
}

/** One difference. Only `after`: it is new. Only `before`: it is gone. */
export interface Change {
  readonly path: string
  readonly before?: Json
  readonly after?: Json
}

/** Maps are compared name by name. Of lists the items are, for nothing in the file depends on their order. */
export function compareConfigs(before: Json, after: Json, path: readonly string[] = []): Change[] {
  if (canonicalText(before) === canonicalText(after)) return []
  if (isMap(before) && isMap(after)) {
    const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort()
    return names.flatMap((name) => compareMembers(before[name], after[name], [...path, name]))
  }
  if (isList(before) && isList(after)) {
    const gone = before.filter((item) => !holds(after, item))
    const come = after.filter((item) => !holds(before, item))
    return [
      ...gone.map((item) => ({ path: dotted(path), before: item })),
      ...come.map((item) => ({ path: dotted(path), after: item })),
    ]
  }
  return [{ path: dotted(path), before, after }]
}

function compareMembers(
  before: Json | undefined,
  after: Json | undefined,
  path: readonly string[],
): Change[] {
  if (before !== undefined && after !== undefined) return compareConfigs(before, after, path)
  if (before !== undefined) return [{ path: dotted(path), before }]
  return after === undefined ? [] : [{ path: dotted(path), after }]
}

/** `changed roles.reader.max_rows: 100 -> 200` */
export function describeChange({ path, before, after }: Change): string {
  if (before === undefined) return `added ${path}: ${canonicalText(after ?? '')}`
  if (after === undefined) return `removed ${path}: ${canonicalText(before)}`
  return `changed ${path}: ${canonicalText(before)} -> ${canonicalText(after)}`
}

function holds(list: readonly Json[], item: Json): boolean {
  const text = canonicalText(item)
  return list.some((other) => canonicalText(other) === text)
}

function isList(value: Json): value is readonly Json[] {
  return Array.isArray(value)
}

function isMap(value: Json): value is JsonMap {
  return typeof value === 'object' && !Array.isArray(value)
}
