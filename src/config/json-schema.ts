/** The configuration's form as JSON Schema: for editors, as `schema.json`, and to know which keys may stand where. */
import { z } from 'zod'
import type { Path } from './places.ts'
import { configSchema } from './schema.ts'

type Schema = z.core.JSONSchema.JSONSchema

export function configJsonSchema(): Schema {
  return z.toJSONSchema(configSchema('/'), { target: 'draft-7', io: 'input' }) as Schema
}

/** Every key that may stand in the map at `path` of `root`. */
export function keysAt(path: Path, root: unknown): string[] {
  const whole = configJsonSchema()
  let schemas = branches(whole, root)
  let value = root
  for (const part of path) {
    value = child(value, part)
    schemas = schemas.flatMap((schema) => {
      const next =
        typeof part === 'number' ? schema.items : (schema.properties?.[part] ?? schema.additionalProperties)
      return typeof next === 'object' && !Array.isArray(next) ? branches(next as Schema, value) : []
    })
  }
  return schemas.flatMap((schema) => Object.keys(schema.properties ?? {}))
}

/** The alternatives of a schema; of those told apart by `type`, only the one that the value names. */
function branches(schema: Schema, value: unknown): Schema[] {
  const options = [...(schema.anyOf ?? []), ...(schema.oneOf ?? [])] as Schema[]
  if (options.length === 0) return [schema]
  const type = child(value, 'type')
  const named = options.filter(
    (option) => (option.properties?.['type'] as Schema | undefined)?.const === type,
  )
  return type !== undefined && named.length > 0 ? named : options
}

/** A member of a map or list as it was written, never one that an object has by itself. */
export function child(value: unknown, part: string | number): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined
  return (value as Record<string | number, unknown>)[part]
}
