import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { splitLogin } from '../../../src/access/address.ts'

const targets = new Set(['orders', 'web-1', 'constructor'])

describe('a login names its target behind the last ~', () => {
  test.each([
    ['alice~orders', { user: 'alice', target: 'orders' }],
    ['alice@example.com~web-1', { user: 'alice@example.com', target: 'web-1' }],
    ['alice', { user: 'alice' }],
    ['', { user: '' }],
    ['~orders', { user: '', target: 'orders' }],
    ['alice~', { user: 'alice~' }],
    ['alice~order', { user: 'alice~order' }],
    ['alice~ORDERS', { user: 'alice~ORDERS' }],
    ['alice~orders~nothing', { user: 'alice~orders~nothing' }],
    ['alice~web-1~orders', { user: 'alice~web-1', target: 'orders' }],
    ['alice~__proto__', { user: 'alice~__proto__' }],
    ['alice~constructor', { user: 'alice', target: 'constructor' }],
  ])('%j', (login, expected) => {
    expect(splitLogin(login, targets)).toEqual(expected)
  })

  test('putting the parts together again gives what was sent', () => {
    const piece = fc.oneof(fc.constantFrom('~', 'orders', 'web-1', 'alice'), fc.string({ maxLength: 4 }))
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
        const login = pieces.join('')
        const { user, target } = splitLogin(login, targets)
        expect(target === undefined ? user : `${user}~${target}`).toBe(login)
        expect(target === undefined || targets.has(target)).toBe(true)
      }),
    )
  })

  test('any user reaches any target by its name', () => {
    fc.assert(
      fc.property(fc.string(), fc.constantFrom(...targets), (user, target) => {
        expect(splitLogin(`${user}~${target}`, targets)).toEqual({ user, target })
      }),
    )
  })
})
