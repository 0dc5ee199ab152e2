import { expect, test } from 'vitest'
import { SidSet } from '../../../../src/book/verify/sid-set.ts'
import { sidOf } from '../../../support/book-builder.ts'

test('holds every session once, however many there are', () => {
  const set = new SidSet()
  const sids = Array.from({ length: 20_000 }, (_, n) => sidOf(String(n)))
  expect(sids.filter((sid) => set.has(sid))).toEqual([])
  expect(sids.filter((sid) => !set.add(sid))).toEqual([])
  expect(sids.filter((sid) => set.add(sid) || !set.has(sid))).toEqual([])
  expect(set.size).toBe(20_000)
})

test('tells sessions apart that differ in one bit of a character', () => {
  const set = new SidSet()
  const sid = 'aaaaaaaaaaaaaaaa'
  set.add(sid)
  for (let at = 0; at < 16; at++) {
    for (const other of 'bceiq7')
      expect(set.has(`${sid.slice(0, at)}${other}${sid.slice(at + 1)}`)).toBe(false)
  }
  expect(set.has(sid)).toBe(true)
})

test('has nothing that is no name of a session', () => {
  const set = new SidSet()
  set.add('aaaaaaaaaaaaaaaa')
  for (const text of ['', 'aaaaaaaaaaaaaaa', 'aaaaaaaaaaaaaaaaa', 'Aaaaaaaaaaaaaaaa', 'aaaaaaaa\0aaaaaaa']) {
    expect(set.has(text)).toBe(false)
  }
})
