import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Database } from 'better-sqlite3'
import { describe, expect, test } from 'vitest'
import { openForWriting } from '../../../src/book/database.ts'
import { KEYS_SCHEMA, Kek, KeyStore, type WrappedKey } from '../../../src/book/keys.ts'
import { systemRandom } from '../../../src/record/random.ts'
import { temporaryFolder } from '../../support/recorder.ts'

const ORIGIN = 'gw1.example/book'
const SID = 'k3v5o2n7q4w6x2za'
const range = (from: number): Buffer => Buffer.from(Array.from({ length: 32 }, (_, k) => from + k))
const random = systemRandom()

describe('wrapping', () => {
  test('the published example, byte for byte', () => {
    const kek = new Kek(range(0x60))
    const row = kek.wrap(ORIGIN, SID, range(0), (length) => Buffer.alloc(length, 0x0b))
    expect(row).toEqual({
      sid: SID,
      kek: 'a3cfa873c7ccf247',
      nonce: Buffer.alloc(12, 0x0b),
      wrapped: Buffer.from(
        '6ad8da9797180197cbe568ded8ea61a966359d555700e76259985c18036c02034cd9594887cdd0eb6cd1bc1a4746a525',
        'hex',
      ),
    })
    expect(kek.unwrap(ORIGIN, row)).toEqual(range(0))
  })

  test('a nonce is drawn for each wrapping', () => {
    const kek = new Kek(range(1))
    const nonces = Array.from({ length: 20 }, () =>
      Buffer.from(kek.wrap(ORIGIN, SID, range(0), random).nonce),
    )
    expect(new Set(nonces.map((nonce) => nonce.toString('hex'))).size).toBe(20)
  })

  test('another KEK, another session, another gateway or a changed bit does not unwrap', () => {
    const kek = new Kek(range(1))
    const row = kek.wrap(ORIGIN, SID, range(0), random)
    expect(() => new Kek(range(2)).unwrap(ORIGIN, row)).toThrow()
    expect(() => kek.unwrap(ORIGIN, { ...row, sid: 'aaaaaaaaaaaaaaaa' })).toThrow()
    expect(() => kek.unwrap('gw2.example/book', row)).toThrow()
    for (let at = 0; at < 48; at++) {
      const wrapped = Buffer.from(row.wrapped)
      wrapped.writeUInt8(wrapped.readUInt8(at) ^ 1, at)
      expect(() => kek.unwrap(ORIGIN, { ...row, wrapped })).toThrow()
    }
  })

  test('a KEK has 32 bytes, and is copied', () => {
    expect(() => new Kek(Buffer.alloc(31))).toThrow(RangeError)
    const bytes = range(1)
    const kek = new Kek(bytes)
    const row = kek.wrap(ORIGIN, SID, range(0), random)
    bytes.fill(0)
    expect(kek.unwrap(ORIGIN, row)).toEqual(range(0))
  })
})

describe('keys.db', () => {
  const kek = new Kek(range(1))
  const wrapped = (sid: string): WrappedKey => kek.wrap(ORIGIN, sid, random(32), random)
  const sids = (first: number, count: number): string[] =>
    Array.from({ length: count }, (_, k) => `session${String.fromCharCode(97 + first + k)}aaaaaaaa`)

  function open(): { folder: string; db: Database; keys: KeyStore } {
    const folder = temporaryFolder()
    const db = openForWriting(join(folder, 'keys.db'), false)
    db.exec(KEYS_SCHEMA)
    return { folder, db, keys: new KeyStore(db) }
  }

  test('holds rows with the floor they were added at, smallest first, until they are closed', () => {
    const { keys } = open()
    const [a = '', b = '', c = ''] = sids(0, 3)
    const rows = [a, b, c].map(wrapped)
    keys.add(rows.slice(0, 2), 17)
    keys.add(rows.slice(2), 5)
    expect(keys.unclosed()).toEqual([
      { sid: c, floor: 5 },
      { sid: a, floor: 17 },
      { sid: b, floor: 17 },
    ])
    keys.markClosed([a, 'unknownaaaaaaaaa'])
    expect(keys.unclosed().map(({ sid }) => sid)).toEqual([c, b])
    expect(keys.find(a)).toEqual({ ...rows[0], floor: 17 })
    expect(keys.find('unknownaaaaaaaaa')).toBeUndefined()
  })

  test('takes all keys of a group or none', () => {
    const { keys } = open()
    const [a = '', b = ''] = sids(0, 2)
    keys.add([wrapped(a)], 0)
    expect(() => keys.add([wrapped(b), wrapped(a)], 0)).toThrow('UNIQUE')
    expect(keys.find(b)).toBeUndefined()
  })

  test('a removed key is in no file any more', () => {
    const { folder, keys } = open()
    const all = sids(0, 20)
    const rows = all.map(wrapped)
    keys.add(rows, 0)
    const holds = (bytes: Uint8Array): boolean =>
      readdirSync(folder).some((name) => readFileSync(join(folder, name)).includes(Buffer.from(bytes)))
    expect(rows.every(({ wrapped: bytes }) => holds(bytes))).toBe(true)

    keys.remove(all.slice(0, 10))
    expect(rows.slice(0, 10).filter(({ wrapped: bytes }) => holds(bytes))).toEqual([])
    expect(rows.slice(10).every(({ sid }) => keys.find(sid) !== undefined)).toBe(true)
  })

  test('a change of KEK goes in batches and can be taken up again', () => {
    const { keys } = open()
    const next = new Kek(range(2))
    const all = sids(0, 5)
    const plain = new Map(all.map((sid) => [sid, Buffer.from(random(32))]))
    keys.add(
      [...plain].map(([sid, key]) => kek.wrap(ORIGIN, sid, key, random)),
      0,
    )

    for (const left of [3, 1, 0]) {
      const rows = keys.wrappedOtherwise(next.id, 2)
      keys.rewrap(rows.map((row) => next.wrap(ORIGIN, row.sid, kek.unwrap(ORIGIN, row), random)))
      expect(keys.wrappedOtherwise(next.id, 10)).toHaveLength(left)
    }
    for (const [sid, key] of plain) {
      const row = keys.find(sid)
      expect(row?.kek).toBe(next.id)
      expect(row === undefined ? undefined : next.unwrap(ORIGIN, row)).toEqual(key)
    }
  })
})
