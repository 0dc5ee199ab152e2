import { describe, expect, test } from 'vitest'
import { PasswordCheck, WAITING_MAX } from '../../../src/access/password-check.ts'
import { ARGON2_USUAL, parsePassword, type StoredPassword } from '../../../src/access/verifier.ts'
import { TestClock } from '../../support/clock.ts'

const QUICK = { memory: 256, passes: 2, parallelism: 1 }
const stored = parsePassword(
  '$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4',
  'pw',
)
/** The same secret at a cost that shows in time, so that a remembered answer differs from a computed one. */
const slow = parsePassword(
  '$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc',
  'pw',
)

async function timed(check: PasswordCheck, secret: string, against: StoredPassword): Promise<number> {
  const begin = performance.now()
  await check.check(secret, against, ARGON2_USUAL)
  return performance.now() - begin
}

test('a password is right, wrong, or that of nobody', async () => {
  const check = new PasswordCheck(new TestClock())
  expect(await check.check('password', stored, QUICK)).toBe('right')
  expect(await check.check('Password', stored, QUICK)).toBe('wrong')
  expect(await check.check('password', undefined, QUICK)).toBe('wrong')
  expect(await check.check('', stored, QUICK)).toBe('wrong')
})

describe('a password that held is remembered', () => {
  test('for five minutes', async () => {
    const clock = new TestClock()
    const check = new PasswordCheck(clock)
    const first = await timed(check, 'password', slow)
    expect(await timed(check, 'password', slow)).toBeLessThan(first / 2)
    clock.advance(5 * 60_000)
    expect(await timed(check, 'password', slow)).toBeGreaterThan(first / 4)
  })

  test('together with what it was checked against', async () => {
    const check = new PasswordCheck(new TestClock())
    const other = parsePassword(
      '$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$AAAAEOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4',
      'pw',
    )
    expect(await check.check('password', stored, QUICK)).toBe('right')
    expect(await check.check('password', other, QUICK)).toBe('wrong')
    expect(await check.check('password', undefined, QUICK)).toBe('wrong')
  })
})

test('a pool that connects at once pays once', async () => {
  const check = new PasswordCheck(new TestClock())
  const single = await timed(check, 'wrong', slow)
  const begin = performance.now()
  await Promise.all(Array.from({ length: 20 }, () => check.check('password', slow, QUICK)))
  expect(performance.now() - begin).toBeLessThan(single * 5)
})

test('a flood of guesses waits in a bounded queue, and what is beyond it is told that we are busy', async () => {
  const check = new PasswordCheck(new TestClock())
  const guesses = Array.from({ length: WAITING_MAX + 12 }, (_, i) => check.check(`guess ${i}`, stored, QUICK))
  const answers = await Promise.all(guesses)
  expect(answers.filter((answer) => answer === 'wrong')).toHaveLength(WAITING_MAX + 2)
  expect(answers.filter((answer) => answer === 'busy')).toHaveLength(10)
  expect(await check.check('password', stored, QUICK), 'afterwards it works on').toBe('right')
})
