import { readdirSync, readFileSync } from 'node:fs'

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

/** Vectors of other projects: where they are from stands beside them. */
export function readForeignVectors(name: string): unknown {
  return JSON.parse(readFileSync(new URL(`../vectors/foreign/${name}`, import.meta.url), 'utf8'))
}
