/** What the server's words about a result mean: its command tag, its error. */
import { decodeLossy, ProtocolError } from '../bytes.ts'
import type { Fields } from './backend.ts'
import { Memo } from './memo.ts'
import type { Result } from './operations.ts'
import { changedBy } from './statements.ts'

/** Of an error's text, for the record. */
const ERROR_TEXT_MAX = 65_536

/** What a command tag says. */
export interface Tag {
  readonly text: string
  readonly rows: number | undefined
  /** It is of a statement that changes names. */
  readonly changesNames: boolean
}

const tags = new Memo(readTag)

/** The tag, without the NUL that must be its last byte and no other. */
export function tagOf(bytes: Uint8Array, start: number, end: number): Tag {
  return tags.of(bytes, start, end)
}

function readTag(bytes: Uint8Array): Tag {
  const last = bytes.length - 1
  let text = ''
  for (let i = 0; i < last; i++) {
    const byte = bytes[i] ?? 0
    if (byte === 0) throw new ProtocolError('a command tag with a NUL in it')
    text += String.fromCharCode(byte)
  }
  if (bytes[last] !== 0) throw new ProtocolError('a command tag without its NUL')
  return { text, rows: countOf(text), changesNames: changedBy(text) !== undefined }
}

/** `INSERT 0 5`, `SELECT 5`, `COPY 5`: the last word, if it is a number. */
export function countOf(tag: string): number | undefined {
  const word = tag.slice(tag.lastIndexOf(' ') + 1)
  return word.length > 0 && word.length < 16 && /^[0-9]+$/.test(word) ? Number(word) : undefined
}

export function resultOf(found: Fields): Result {
  const code = decodeLossy(found.get('C') ?? NOTHING)
  const text = (letter: string, prefix: string): string[] => {
    const value = found.get(letter)
    return value === undefined ? [] : [prefix + decodeLossy(value.subarray(0, ERROR_TEXT_MAX))]
  }
  const lines = [...text('M', ''), ...text('D', 'DETAIL:  '), ...text('H', 'HINT:  ')]
  return {
    outcome: 'error',
    ...(code === '' ? {} : { code: /^[0-9A-Z]{5}$/.test(code) ? code : 'other' }),
    message: lines.join('\n'),
  }
}

const NOTHING = new Uint8Array(0)
