import { z } from 'zod'

/** Named things, in the order of the file. */
export function named<T extends z.ZodType>(key: z.ZodType<string, string>, value: T) {
  return z.record(key, value).transform((record) => new Map<string, z.output<T>>(Object.entries(record)))
}
