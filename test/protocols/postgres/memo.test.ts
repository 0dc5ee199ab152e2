import { expect, test } from 'vitest'
import { Memo } from '../../../protocols/postgres/memo.ts'

const latin = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1')

test('what falls together is told apart, and the bytes may change after the call', () => {
  const memo = new Memo(latin)
  const names = Array.from({ length: 2000 }, (_, k) => `name_${k * 7919}`.slice(0, 5 + (k % 9)))
  const shared = Buffer.alloc(300)
  for (let round = 0; round < 2; round++) {
    for (const name of [...names, '', 'x'.repeat(128), 'x'.repeat(129), 'x'.repeat(200)]) {
      shared.write(name, 3, 'latin1')
      expect(memo.of(shared, 3, 3 + name.length)).toBe(name)
    }
  }
})

test('it is made once as long as it stays', () => {
  let made = 0
  const memo = new Memo((bytes) => `${latin(bytes)} ${++made}`)
  const bytes = Buffer.from('SELECT 1\0')
  expect([memo.of(bytes), memo.of(Buffer.from(bytes))]).toEqual(['SELECT 1\0 1', 'SELECT 1\0 1'])
})
