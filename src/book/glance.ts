/**
 * Leaves of one's own book, for a reader that takes in every one of them and shows none: the index. Nearly all are
 * operations, whose members lie where the canonical form puts them, so they are read in place and not held against
 * the grammar: that is what the verifier does, and everybody who shows a record. What lies otherwise than expected,
 * and every other kind, is read strictly here too.
 */
import { type Leaf, parseLeaf, type Ref } from './format.ts'

export function glanceLeaf(bytes: Uint8Array): Leaf {
  return operation(bytes) ?? parseLeaf(bytes)
}

const BACKSLASH = 0x5c
const COMMA = 0x2c
const QUOTE = 0x22
const ZERO = 0x30
/** In base64, in base64url, and in their own alphabet: none of them has a character that JSON escapes. */
const HASH_CHARACTERS = 44
const SALT_CHARACTERS = 22
const SID_CHARACTERS = 16

const label = (text: string): Uint8Array => Buffer.from(text, 'latin1')

const FIRST = label('{"act":"')
const CODE = label(',"code":"')
const LOG = label(',"kind":"op","log":"')
const OUT = label(',"out":"')
const PREV = label(',"prev":"')
const RULE = label(',"rule":"')
const SALT = label(',"salt":"')
const SID = label(',"sid":"')
const BYTES = label(',"bytes":')
const DUR = label(',"dur":')
const OP = label(',"op":')
const PAR = label(',"par":')
const PARTS = label(',"parts":')
const ROWS = label(',"rows":')
const SEQ = label(',"seq":')
const TS = label(',"ts":')
const LAST = label(',"v":1}')
const REFS = label(',"ref":[')
const REFS_END = label(']')
const REF = label('{"h":"')
const INDEX = label(',"i":')
const LENGTH = label(',"n":')
const TYPE = label(',"t":"')
const REF_END = label('}')

/** Undefined where the bytes are no leaf of this kind, or have anything in them that needs a second look. */
function operation(bytes: Uint8Array): Leaf | undefined {
  const at = new Place(bytes)
  const leaf: Leaf = {
    act: at.string(FIRST),
    bytes: at.has(BYTES) ? at.int() : undefined,
    code: at.has(CODE) ? at.text() : undefined,
    dur: at.has(DUR) ? at.int() : undefined,
    kind: 'op',
    log: at.string(LOG),
    op: at.has(OP) ? at.int() : undefined,
    out: at.string(OUT),
    par: at.has(PAR) ? at.int() : undefined,
    parts: at.has(PARTS) ? at.int() : undefined,
    prev: at.token(PREV, HASH_CHARACTERS),
    ref: at.has(REFS) ? refs(at) : undefined,
    rows: at.has(ROWS) ? at.int() : undefined,
    rule: at.has(RULE) ? at.text() : undefined,
    salt: at.token(SALT, SALT_CHARACTERS),
    seq: at.number(SEQ),
    sid: at.token(SID, SID_CHARACTERS),
    ts: at.number(TS),
    v: 1,
  }
  at.expect(LAST)
  return at.isEnd ? leaf : undefined
}

function refs(at: Place): Ref[] {
  const found: Ref[] = []
  do {
    found.push({
      h: at.token(REF, HASH_CHARACTERS),
      i: at.number(INDEX),
      n: at.number(LENGTH),
      t: at.string(TYPE),
    })
    at.expect(REF_END)
  } while (at.comma())
  at.expect(REFS_END)
  return found
}

/** How far it has been read. Once strayed it reads on, and nothing of it counts. */
class Place {
  readonly #bytes: Uint8Array
  readonly #text: string
  #at = 0
  #strayed = false

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes)
    this.#text = buffer.toString('latin1')
  }

  get isEnd(): boolean {
    return !this.#strayed && this.#at === this.#bytes.length
  }

  /** Whether that is what comes next; then it is behind us. */
  has(expected: Uint8Array): boolean {
    const at = this.#at
    for (let k = expected.length - 1; k >= 0; k--) if (this.#bytes[at + k] !== expected[k]) return false
    this.#at = at + expected.length
    return true
  }

  expect(expected: Uint8Array): void {
    if (!this.has(expected)) this.#strayed = true
  }

  comma(): boolean {
    if (this.#bytes[this.#at] !== COMMA) return false
    this.#at++
    return true
  }

  /** Of a length that is always the same, so that its end need not be looked for. */
  token(before: Uint8Array, characters: number): string {
    this.expect(before)
    const start = this.#at
    const end = start + characters
    if (this.#bytes[end] !== QUOTE) this.#strayed = true
    this.#at = end + 1
    return this.#text.slice(start, end)
  }

  string(before: Uint8Array): string {
    this.expect(before)
    return this.text()
  }

  number(before: Uint8Array): number {
    this.expect(before)
    return this.int()
  }

  /** Up to the closing quote. */
  text(): string {
    const [bytes, start] = [this.#bytes, this.#at]
    let at = start
    for (; at < bytes.length && bytes[at] !== QUOTE; at++) if (bytes[at] === BACKSLASH) this.#strayed = true
    this.#at = at + 1
    return this.#text.slice(start, at)
  }

  int(): number {
    const bytes = this.#bytes
    let value = 0
    for (let digit = 0; ; this.#at++) {
      digit = (bytes[this.#at] ?? 0) - ZERO
      if (!(digit >= 0 && digit <= 9)) break
      value = value * 10 + digit
    }
    if (value > Number.MAX_SAFE_INTEGER) this.#strayed = true
    return value
  }
}
