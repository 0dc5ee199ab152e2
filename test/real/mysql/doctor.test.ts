/** `gatebook doctor` against a real MariaDB: what it proves of read-only accounts, and what it finds of others. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { examined } from '../../support/examined.ts'
import { type Installation, install } from '../../support/gateway-process.ts'
import { type Server, startServer } from './server.ts'
import { shopBehindGateway } from './shop.ts'

let server: Server
let installed: Installation

beforeAll(async () => {
  server = await startServer({ witness: false })
  const { targets, files } = shopBehindGateway(server)
  const weak = targets
    .replace('shop:', 'weak:')
    .replace(/user: reader, .*\.password/, 'user: app, password: "file:app.password')
  installed = await install({ targets: [targets, weak.split('free:')[0]].join('\n'), files })
})
afterAll(async () => {
  await server[Symbol.asyncDispose]()
  installed[Symbol.dispose]()
})

test('an account that can only read is proved to be one', async () => {
  expect(await examined(installed, 'shop')).toEqual({
    code: 0,
    lines: [
      expect.stringMatching(/^ok {3}shop {2}reached as app: \d.*MariaDB/),
      'ok   shop  read-only reader cannot write',
    ],
  })
})

test('one that may write is found out by what it was granted', async () => {
  const { code, lines } = await examined(installed, 'weak')
  expect(code).not.toBe(0)
  expect(lines[1]).toMatch(/^BAD {2}weak {2}read-only app may more than read: ALL PRIVILEGES on \*\.\*/)
})

test('a server that is gone is told of for each account', async () => {
  await server.stop()
  const { code, lines } = await examined(installed, 'shop')
  expect(code).not.toBe(0)
  expect(lines).toEqual([
    expect.stringMatching(/^BAD {2}shop {2}cannot log in as app: .*ECONNREFUSED/),
    expect.stringMatching(/^BAD {2}shop {2}cannot log in as read-only reader: .*ECONNREFUSED/),
  ])
})
