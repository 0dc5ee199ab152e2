/**
 * Where a value stands in the file. Faults are reported there, and a decision names the line it rests on, so
 * that whoever reads "denied" can open the file at the reason.
 */
import { type Document, isMap, isNode, isScalar, isSeq, type LineCounter, type Pair } from 'yaml'

export type Path = readonly (string | number)[]

export interface Position {
  readonly line: number
  readonly column: number
}

export class Places {
  readonly file: string
  readonly #document: Document
  readonly #lines: LineCounter

  constructor(file: string, document: Document, lines: LineCounter) {
    this.file = file
    this.#document = document
    this.#lines = lines
  }

  /** `config.yaml:12`, where a thing begins; for one that only a default decided, where its parent does. */
  lineOf(path: Path): string {
    return `${this.file}:${this.ofKey(path).line}`
  }

  /** Of a map's value; for a missing one, of the nearest key above it. */
  ofValue(path: Path): Position {
    return this.#position(path, 'value')
  }

  /** Of the key itself; of an item of a list, where it begins. */
  ofKey(path: Path): Position {
    return this.#position(path, 'key')
  }

  at(offset: number): Position {
    const { line, col } = this.#lines.linePos(offset)
    return { line: Math.max(line, 1), column: Math.max(col, 1) }
  }

  #position(path: Path, wanted: 'key' | 'value'): Position {
    let node: unknown = this.#document.contents
    let found = offsetOf(node)
    for (const [depth, part] of path.entries()) {
      const step = descend(node, part)
      if (step === undefined) break
      const last = depth === path.length - 1
      node = step.value
      // A parent stands for a missing child by its key, which is where a person looks for it.
      found = last && wanted === 'value' ? (offsetOf(node) ?? step.key) : step.key
    }
    return this.at(found ?? 0)
  }
}

function descend(
  node: unknown,
  part: string | number,
): { key: number | undefined; value: unknown } | undefined {
  if (isSeq(node) && typeof part === 'number' && part < node.items.length) {
    const value = node.items[part]
    return { key: offsetOf(value), value }
  }
  if (!isMap(node)) return undefined
  const pair: Pair | undefined = node.items.find((item) => keyText(item.key) === String(part))
  return pair === undefined ? undefined : { key: offsetOf(pair.key), value: pair.value }
}

function keyText(key: unknown): string {
  return String(isScalar(key) ? key.value : key)
}

function offsetOf(node: unknown): number | undefined {
  return isNode(node) ? node.range?.[0] : undefined
}
