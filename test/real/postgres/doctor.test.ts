/** `gatebook doctor` against a real server: what it proves of read-only accounts, and what it finds of others. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { examined } from '../../support/examined.ts'
import { type Installation, install } from '../../support/gateway-process.ts'
import { openShop } from '../../support/gateway-shop.ts'
import { type PostgresServer, startServer } from '../../support/postgres-server.ts'

let server: PostgresServer
let installed: Installation

beforeAll(async () => {
  server = await startServer()
  const shop = await openShop(server)
  const { targets } = shop
  const weak = targets
    .split('admin:')[0]
    ?.replace('orders:', 'weak:')
    .replace(/gatebook_ro/, 'gatebook_app')
  const wrong = targets
    .split('admin:')[0]
    ?.replace('orders:', 'wrong:')
    .replace(/gatebook_app/, 'nobody_here')
  const blind = wrong?.replace('wrong:', 'blind:').replace('file:app.password', 'env:GATEBOOK_NOT_SET')
  const all = [targets, weak?.replace('reader.password', 'app.password'), wrong, blind].join('\n')
  installed = await install({ ...shop, targets: all })
})
afterAll(async () => {
  await server[Symbol.asyncDispose]()
  installed[Symbol.dispose]()
})

test('an account that cannot write is proved to be one', async () => {
  expect(await examined(installed, 'orders')).toEqual({
    code: 0,
    lines: [
      expect.stringMatching(/^ok {3}orders {2}reached as gatebook_app: PostgreSQL \d/),
      'ok   orders  read-only gatebook_ro cannot write',
    ],
  })
})

test('one that can is found out, and each of the ways told', async () => {
  const { code, lines } = await examined(installed, 'weak')
  expect(code).not.toBe(0)
  const bad = lines.filter((line) => line.startsWith('BAD  weak  read-only gatebook_app'))
  expect(bad.join('\n')).toMatch(/may change tables: .*products/)
  expect(bad.join('\n')).toMatch(/may advance sequences: .*products_id_seq/)
})

test('an account that the server does not take is told in the server’s words', async () => {
  const { code, lines } = await examined(installed, 'wrong')
  expect(code).not.toBe(0)
  expect(lines[0]).toMatch(/^BAD {2}wrong {2}cannot log in as nobody_here: .*password authentication failed/)
})

test('a secret that cannot be read is a finding of its target, and of no other', async () => {
  expect(await examined(installed, 'blind')).toEqual({
    code: 1,
    lines: ['BAD  blind  targets.blind: reading the secret env:GATEBOOK_NOT_SET: the variable is not set'],
  })
})

test('a target that nobody has configured is refused', async () => {
  await expect(examined(installed, 'nowhere')).rejects.toThrow('no target "nowhere" is configured')
})
