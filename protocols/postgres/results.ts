/** What the server's words about a result mean: its command tag, its error. */
import { decodeLossy, ProtocolError } from '../bytes.ts'
import type { Fields } from './backend.ts'
import type { Result } from './operations.ts'

/** Of an error's text, for the record. */
const ERROR_TEXT_MAX = 65_536

/** The tag, without the NUL that must be its last byte and no other. */
export function tagOf(bytes: Uint8Array, start: number, end: number): string {
  let tag = ''
  for (let i = start; i < end - 1; i++) {
    const byte = bytes[i] ?? 0
    if (byte === 0) throw new ProtocolError('a command tag with a NUL in it')
    tag += String.fromCharCode(byte)
  }
  if (bytes[end - 1] !== 0) throw new ProtocolError('a command tag without its NUL')
  return tag
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
