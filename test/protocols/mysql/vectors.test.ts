import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { ProtocolError, Reader } from '../../../protocols/bytes.ts'
import { capabilities, EXTENDED, FLAG } from '../../../protocols/mysql/capabilities.ts'
import { decodeCommand } from '../../../protocols/mysql/commands.ts'
import {
  decodeAuthSwitch,
  decodeGreeting,
  decodeResponse,
  encodeGreeting,
  encodeResponse,
} from '../../../protocols/mysql/handshake.ts'
import {
  decodeColumnCount,
  decodeEof,
  decodeError,
  decodeOk,
  decodePrepareAnswer,
} from '../../../protocols/mysql/results.ts'
import { decodeBound } from '../../../protocols/mysql/values.ts'
import { hex, unhex } from '../../support/mysql-play.ts'

const FOLDER = new URL('../../vectors/mysql/', import.meta.url)

interface Vector {
  readonly name: string
  readonly header: ReadonlyMap<string, string>
  readonly bytes: Uint8Array
}

function load(file: string): Vector {
  const [head = '', ...rest] = readFileSync(new URL(file, FOLDER), 'utf8').split('\n\n')
  const header = head.split('\n').map((line): [string, string] => {
    const colon = line.indexOf(': ')
    return [line.slice(0, colon), line.slice(colon + 2)]
  })
  return { name: file.replace(/\.txt$/, ''), header: new Map(header), bytes: unhex(rest.join('')) }
}

const VECTORS = readdirSync(FOLDER).map(load)

function flagsOf({ header }: Vector) {
  const names = (header.get('flags') ?? '').split(' ').filter((name) => name !== '')
  const flags = names.reduce((sum, name) => sum | (FLAG[name as keyof typeof FLAG] ?? 0), 0)
  const extended = names.reduce((sum, name) => sum | (EXTENDED[name as keyof typeof EXTENDED] ?? 0), 0)
  return capabilities(flags, extended)
}

function decode(vector: Vector): unknown {
  const { header, bytes } = vector
  const agreed = flagsOf(vector)
  switch (header.get('decode')) {
    case 'greeting':
      return decodeGreeting(bytes)
    case 'response':
      return decodeResponse(bytes, capabilities(0xffffffff, 0))
    case 'auth-switch':
      return decodeAuthSwitch(new Reader(bytes.subarray(1)))
    case 'ok':
      return decodeOk(bytes, agreed)
    case 'eof':
      return decodeEof(bytes)
    case 'error':
      return decodeError(bytes)
    case 'columns':
      return decodeColumnCount(bytes, (agreed.flags & FLAG.OPTIONAL_RESULTSET_METADATA) !== 0)
    case 'prepared':
      return decodePrepareAnswer(bytes, agreed)
    case 'command':
      return decodeCommand(bytes, agreed)
    case 'bound':
      return decodeBound(new Reader(bytes), {
        params: Number(header.get('params')),
        types: (header.get('types') ?? '')
          .split(' ')
          .filter(Boolean)
          .map((code) => ({ code: Number(code), unsigned: false })),
        ahead: new Map(header.has('ahead') ? [[Number(header.get('ahead')), 'sent ahead']] : []),
        named: header.has('named'),
      })
    default:
      throw new Error(`no decoder for ${vector.name}`)
  }
}

const SHOWN_AS_TEXT = new Set(['text', 'name', 'table', 'wildcard'])

/** As the expectations have it: bytes in hex, or as text where they are one, and 64 bits as digits. */
function plain(value: unknown): unknown {
  const json = JSON.stringify(value, (key, inner: unknown) => {
    if (inner instanceof Uint8Array)
      return SHOWN_AS_TEXT.has(key) ? Buffer.from(inner).toString() : hex(inner)
    return typeof inner === 'bigint' ? String(inner) : inner
  })
  return JSON.parse(json)
}

describe('vectors', () => {
  test.each(VECTORS)('$name', (vector) => {
    const error = vector.header.get('expect-error')
    if (error !== undefined) {
      expect(() => decode(vector)).toThrow(error)
      expect(() => decode(vector)).toThrow(ProtocolError)
      return
    }
    const expected: unknown = JSON.parse(vector.header.get('expect') ?? '')
    const decoded = plain(decode(vector))
    // Of many parameters the types only repeat what the bytes say, and are left out of the expectation.
    if (vector.header.get('decode') === 'bound') expect(decoded).toMatchObject(expected as object)
    else expect(decoded).toEqual(expected)
  })

  // `spare` bytes at the end may be missing: a NUL that some peers leave out, or what nobody reads.
  test.each(VECTORS.filter(({ header, bytes }) => header.has('expect') && bytes.length > 0))(
    '$name, cut short, is a fault or says less',
    (vector) => {
      const whole = JSON.stringify(plain(decode(vector)))
      const needed = vector.bytes.length - Number(vector.header.get('spare') ?? 0)
      for (let end = 0; end < needed; end++) {
        const cut = { ...vector, bytes: vector.bytes.subarray(0, end) }
        let said: string
        try {
          said = JSON.stringify(plain(decode(cut)))
        } catch (problem) {
          expect(problem).toBeInstanceOf(ProtocolError)
          continue
        }
        expect(said).not.toBe(whole)
      }
    },
  )
})

test.each(VECTORS.filter(({ name }) => /^greeting-(5\.6|mariadb)$/.test(name)))(
  '$name is encoded as it was',
  ({ bytes }) => {
    expect(hex(encodeGreeting(decodeGreeting(bytes)))).toBe(hex(bytes))
  },
)

test.each(VECTORS.filter(({ name }) => /^response-(5\.6|database)$/.test(name)))(
  '$name is encoded as it was',
  ({ bytes }) => {
    expect(hex(encodeResponse(decodeResponse(bytes, capabilities(0xffffffff, 0))))).toBe(hex(bytes))
  },
)
