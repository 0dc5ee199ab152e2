import { expect, test } from 'vitest'
import type { DatabaseCredential } from '../../../src/access/credentials.ts'
import { SaltedPasswords } from '../../../src/gate/salted.ts'
import { Secret } from '../../../src/system/secret.ts'

const credential = (password: string): DatabaseCredential => ({
  user: 'app',
  password: new Secret(Buffer.from(password)),
})

test('a password is salted once for each salt, count and credential, whatever memory the salt came in', () => {
  const asked: string[] = []
  const salted = new SaltedPasswords((password, salt, iterations) => {
    const words = `${password} ${Buffer.from(salt).toString('latin1')} ${iterations}`
    asked.push(words)
    return Buffer.from(words)
  })
  const [one, other] = [credential('one'), credential('other')]
  const memory = Buffer.from('salt')
  const of = (which: DatabaseCredential, iterations = 4096): string =>
    Buffer.from(salted.of(which, memory, iterations)).toString()
  expect([of(one), of(one), of(other), of(one)]).toEqual([
    'one salt 4096',
    'one salt 4096',
    'other salt 4096',
    'one salt 4096',
  ])
  expect(asked).toHaveLength(2)
  memory.write('tlas')
  expect([of(one), of(one, 5000), of(one)]).toEqual(['one tlas 4096', 'one tlas 5000', 'one tlas 4096'])
})
