import { existsSync, readdirSync, readFileSync } from 'node:fs'

const OWN = new URL('../vectors/book/', import.meta.url)

export interface Vector {
  readonly header: ReadonlyMap<string, string>
  readonly bytes: Uint8Array
}

/** Header lines `key: value`, an empty line, then hexadecimal. */
export function readVector(name: string): Vector {
  const text = readFileSync(new URL(`${name}.txt`, OWN), 'utf8')
  const end = text.indexOf('\n\n')
  const header = text.slice(0, end).split('\n')
  return {
    header: new Map(
      header.map((line) => [line.slice(0, line.indexOf(': ')), line.slice(line.indexOf(': ') + 2)]),
    ),
    bytes: Buffer.from(text.slice(end).replace(/\s/g, ''), 'hex'),
  }
}

export function listVectors(prefix: string): string[] {
  return readdirSync(OWN)
    .filter((name) => name.startsWith(prefix) && name.endsWith('.txt'))
    .map((name) => name.slice(0, -'.txt'.length))
    .sort()
}

/** Vectors of other projects that may lie beside the repository; undefined where they do not. */
export function readForeignVectors(name: string): unknown {
  const file = new URL(`../../../shared/vectors/${name}`, import.meta.url)
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined
}
