/** Vectors as files: header lines `key: value`, an empty line, then hex. Spaces and line ends do not count. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

export interface Vector {
  readonly name: string
  readonly header: ReadonlyMap<string, string>
  readonly bytes: Uint8Array
}

const ROOT = new URL('../vectors/ssh/', import.meta.url).pathname

export function readVectors(folder: string): Vector[] {
  return readdirSync(join(ROOT, folder))
    .filter((name) => name.endsWith('.txt'))
    .sort()
    .map((name) => readVector(join(folder, name)))
}

export function readVector(path: string): Vector {
  const [head = '', ...rest] = readFileSync(join(ROOT, path), 'utf8').split('\n\n')
  const header = new Map(
    head.split('\n').map((line) => {
      const colon = line.indexOf(':')
      return [line.slice(0, colon), line.slice(colon + 1).trim()] as const
    }),
  )
  return { name: path, header, bytes: fromHex(rest.join('')) }
}

export function fromHex(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex.replace(/\s/g, ''), 'hex'))
}

export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

/** The header's value, which must be there: a vector with a typing error must not pass. */
export function field(vector: Vector, name: string): string {
  const value = vector.header.get(name)
  if (value === undefined) throw new Error(`${vector.name} has no ${name}`)
  return value
}
