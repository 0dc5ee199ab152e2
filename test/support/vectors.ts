import { readdirSync, readFileSync } from 'node:fs'

/** One scenario per file: `key: value` lines, an empty line, then hex with any spacing; `#` begins a comment. */
export interface Vector {
  readonly name: string
  readonly header: ReadonlyMap<string, string>
  readonly bytes: Uint8Array
}

export function readVectors(folder: string): readonly Vector[] {
  const base = new URL(`../vectors/${folder}/`, import.meta.url)
  const names = readdirSync(base).filter((name) => name.endsWith('.txt'))
  return names.sort().map((name) => {
    const [head = '', ...rest] = readFileSync(new URL(name, base), 'utf8').split('\n\n')
    const header = new Map(
      head.split('\n').map((line) => {
        const at = line.indexOf(': ')
        return [line.slice(0, at), line.slice(at + 2)] as const
      }),
    )
    const hex = rest.join('\n').replace(/#.*$/gm, '').replace(/\s+/g, '')
    if (hex.length % 2 !== 0 || /[^0-9a-f]/i.test(hex)) throw new Error(`${name}: not hex`)
    return {
      name,
      header,
      bytes: Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16)),
    }
  })
}

/** A decoded value as JSON: bytes as text where they are printable, else as 0x…; maps as lists of pairs. */
export function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) {
    const printable = value.every((byte) => byte >= 0x20 && byte < 0x7f)
    return printable ? String.fromCharCode(...value) : `0x${Buffer.from(value).toString('hex')}`
  }
  if (value instanceof Map) return [...value].map(plain)
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]))
}
