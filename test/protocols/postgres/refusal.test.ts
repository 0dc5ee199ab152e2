import { describe, expect, test } from 'vitest'
import { decodeBackend } from '../../../protocols/postgres/backend.ts'
import { encodeNotice, refuse } from '../../../protocols/postgres/index.ts'
import type { Refusal } from '../../../protocols/relay.ts'
import { plain } from '../../support/vectors.ts'

const refusal: Refusal = {
  cause: 'access',
  what: 'access to "orders" denied',
  why: 'Your groups grant no role.',
  next: 'Ask bob.',
  record: 's.3',
}

function decoded(message: Uint8Array): unknown {
  return plain(decodeBackend(String.fromCharCode(message[0] ?? 0), message.subarray(5)))
}

describe('a refusal', () => {
  test('says what, why, what next, and where it is recorded', () => {
    expect(decoded(refuse(refusal))).toEqual({
      type: 'error',
      fields: [
        ['S', 'FATAL'],
        ['V', 'FATAL'],
        ['C', '28000'],
        ['M', 'access to "orders" denied'],
        ['D', 'Your groups grant no role.'],
        ['H', `0x${Buffer.from('Ask bob.\nRecord s.3.').toString('hex')}`],
      ],
    })
  })

  test('leaves out what there is not, and lets no NUL end a field', () => {
    expect(decoded(refuse({ ...refusal, what: 'a\0b', why: '', next: '', record: '' }, 'ERROR'))).toEqual({
      type: 'error',
      fields: [
        ['S', 'ERROR'],
        ['V', 'ERROR'],
        ['C', '28000'],
        ['M', `0x${Buffer.from('a\ufffdb').toString('hex')}`],
      ],
    })
  })

  test.each([
    ['access', '28000'],
    ['credential', '28P01'],
    ['statement', '42501'],
    ['limit', '57014'],
    ['ended', '57P01'],
    ['busy', '53300'],
    ['recorder', '58030'],
    ['unsupported', '0A000'],
    ['target', '08006'],
  ] as const)('for %s has the SQLSTATE %s', (cause, code) => {
    expect(JSON.stringify(decoded(refuse({ ...refusal, cause })))).toContain(`["C","${code}"]`)
  })
})

test('a welcome is a notice', () => {
  expect(decoded(encodeNotice('session s is recorded as alice', 'https://gw.example.com'))).toEqual({
    type: 'notice',
    fields: [
      ['S', 'NOTICE'],
      ['V', 'NOTICE'],
      ['C', '00000'],
      ['M', 'session s is recorded as alice'],
      ['H', 'https://gw.example.com'],
    ],
  })
})
