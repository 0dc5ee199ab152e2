/** SHA-256 and Ed25519 of the browser, and the tree of RFC 6962 over record hashes. Written after FORMAT.md alone. */

export type Bytes = Uint8Array<ArrayBuffer>

export async function sha256(bytes: Bytes): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))
}

function behind(first: number, ...parts: readonly Bytes[]): Bytes {
  const whole = new Uint8Array(1 + parts.reduce((sum, { length }) => sum + length, 0))
  whole[0] = first
  let at = 1
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

export function leafHash(leaf: Bytes): Promise<Bytes> {
  return sha256(behind(0, leaf))
}

export function nodeHash(left: Bytes, right: Bytes): Promise<Bytes> {
  return sha256(behind(1, left, right))
}

export function sameBytes(a: Bytes, b: Bytes): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i])
}

export function hex(bytes: Bytes): string {
  return bytes.toHex()
}

/** Strictly: a text counts only if it is what its bytes are written as. */
export function fromBase64(text: string): Bytes {
  const bytes = Uint8Array.fromBase64(text, { lastChunkHandling: 'strict' })
  if (bytes.toBase64() !== text) throw new Error('base64 that is not written as it should be')
  return bytes
}

/** The right edge of a growing tree: at most one whole subtree of each size. Each level is hashed at once. */
export class Tree {
  readonly #edge: (Bytes | undefined)[] = []
  #size = 0

  get size(): number {
    return this.#size
  }

  async append(hashes: readonly Bytes[]): Promise<void> {
    this.#size += hashes.length
    let level: readonly Bytes[] = hashes
    for (let depth = 0; level.length > 0; depth++) {
      const waiting = this.#edge[depth]
      const row: readonly Bytes[] = waiting === undefined ? level : [waiting, ...level]
      const pairs: Promise<Bytes>[] = []
      for (let i = 0; i + 1 < row.length; i += 2) {
        const [left, right] = [row[i], row[i + 1]]
        if (left !== undefined && right !== undefined) pairs.push(nodeHash(left, right))
      }
      this.#edge[depth] = row.length % 2 === 1 ? row.at(-1) : undefined
      level = await Promise.all(pairs)
    }
  }

  async root(): Promise<Bytes> {
    let root: Bytes | undefined
    for (const part of this.#edge) {
      if (part === undefined) continue
      root = root === undefined ? part : await nodeHash(part, root)
    }
    return root ?? sha256(new Uint8Array())
  }
}

/** RFC 9162, 2.1.3.2: the root that a record's hash and its siblings lead to. */
export async function rootOfInclusion(
  index: number,
  size: number,
  hash: Bytes,
  path: readonly Bytes[],
): Promise<Bytes> {
  if (index >= size) throw new Error('the record is behind the end of the checkpoint')
  let node = index
  let last = size - 1
  let root = hash
  for (const sibling of path) {
    if (last === 0) throw new Error('the proof has more hashes than the tree has levels')
    if (node % 2 === 1 || node === last) {
      root = await nodeHash(sibling, root)
      while (node % 2 === 0 && node !== 0) {
        node = Math.floor(node / 2)
        last = Math.floor(last / 2)
      }
    } else root = await nodeHash(root, sibling)
    node = Math.floor(node / 2)
    last = Math.floor(last / 2)
  }
  if (last !== 0) throw new Error('the proof has fewer hashes than the tree has levels')
  return root
}
