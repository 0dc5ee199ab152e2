/** What a gateway refuses to begin with. Addresses of listeners: nobody gets the clients of another by accident, and a reload opens all or changes nothing. */
import { once } from 'node:events'
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readSigner } from '../../../src/book/create.ts'
import { front, openRaw } from '../../support/clients-raw.ts'
import { TestGateway } from '../../support/gateway.ts'

const TARGETS = `far:
  type: postgres
  address: 127.0.0.1:1
  tls: { mode: disable }
  credentials: { user: nobody, password: "file:far.password" }
  read_only_credentials: { user: nobody, password: "file:far.password" }`
const FILES = { 'far.password': 'never used' }
const ADDRESS = 'postgres: { type: postgres, address: "127.0.0.1:0"'

let gateway: TestGateway
let other: Server
let port = 0

beforeAll(async () => {
  gateway = await TestGateway.start({ targets: TARGETS, files: FILES })
  // As another gateway would listen, for the sake of its own upgrade.
  other = createServer((socket) => socket.destroy())
  other.listen({ host: '127.0.0.1', port: 0, reusePort: true })
  await once(other, 'listening')
  const address = other.address()
  port = typeof address === 'object' && address !== null ? address.port : 0
})
afterAll(async () => {
  other.close()
  await gateway[Symbol.asyncDispose]()
})

test('an address that another gateway has is refused, not shared', async () => {
  const starting = TestGateway.start({
    ...{ targets: TARGETS, files: FILES },
    changes: [[ADDRESS, ADDRESS.replace(':0', `:${port}`)]],
  })
  await expect(starting).rejects.toThrow(`cannot have 127.0.0.1:${port}: another process listens there`)
})

test('a reload that cannot listen everywhere changes nothing', async () => {
  const before = gateway.app.listening
  const sizeBefore = gateway.log.length
  const changes = [
    ['listeners:', `listeners:\n  late: { type: postgres, address: "127.0.0.1:${port}" }`],
    ['  encrypted: { type: postgres, address: "127.0.0.1:0", login: password }\n', ''],
    ['max: 12h', 'max: 1h'],
  ] as const
  await expect(gateway.reload(changes)).rejects.toThrow('another process listens there')
  expect(gateway.app.listening).toEqual(before)
  expect(gateway.log.length).toBe(sizeBefore)
  ;(await openRaw({ port: gateway.port('encrypted') })).destroy()
})

test('a listener that changes keeps its address, and those who are in', async () => {
  const probe = createServer().listen({ host: '127.0.0.1', port: 0 })
  await once(probe, 'listening')
  const address = probe.address()
  const at = typeof address === 'object' && address !== null ? address.port : 0
  probe.close()
  await once(probe, 'close')
  const fixed = ADDRESS.replace(':0', `:${at}`)
  await using own = await TestGateway.start({ targets: TARGETS, files: FILES, changes: [[ADDRESS, fixed]] })
  const early = await openRaw({ port: at })
  await own.reload([[`${fixed}, require_tls: false`, `${fixed}, require_tls: true`]])
  expect(own.port('postgres')).toBe(at)
  const late = await openRaw({ port: at })
  for (const raw of [early, late]) {
    raw.send(front.sslRequest)
    expect((await raw.bytes(1)).toString()).toBe('S')
    raw.destroy()
  }
})

test('a file that is not what it should be is named, in words that OpenSSL does not have', async () => {
  await using own = await TestGateway.start({ targets: TARGETS, files: FILES })
  writeFileSync(join(own.folder, 'tls.crt'), 'no certificate')
  await expect(own.reload([])).rejects.toThrow(/gatebook\.yaml:\d+ {2}no certificate in PEM .*tls\.crt/)
  writeFileSync(join(own.folder, 'signing.key'), 'no key')
  expect(() => readSigner(join(own.folder, 'signing.key'), 'gw.test/book')).toThrow(
    /signing\.key holds no Ed25519 private key in PEM/,
  )
})

test('another key encryption key than the book was written under is refused, but for one that follows it', async () => {
  const first = await TestGateway.start({ targets: TARGETS, files: FILES })
  const { folder } = first
  await first.stop()
  const own = { targets: TARGETS, files: FILES, folder }
  copyFileSync(join(folder, 'record.kek'), join(folder, 'old.kek'))
  writeFileSync(join(folder, 'record.kek'), `${Buffer.alloc(32, 7).toString('base64')}\n`)
  const before = readFileSync(join(folder, 'data', 'book.db'))
  await expect(TestGateway.start(own)).rejects.toThrow(
    /^recording\.encryption\.key is the key [0-9a-f]{16}, but what .*keys\.db holds is wrapped under [0-9a-f]{16}: /,
  )
  expect(readFileSync(join(folder, 'data', 'book.db')).equals(before)).toBe(true)
  const key = 'encryption: { key: "file:record.kek"'
  const told = await TestGateway.start({ ...own, changes: [[key, `${key}, former: "file:old.kek"`]] })
  await told.stop()
  // The former key is no longer needed, and everything can still be read.
  const after = await TestGateway.start(own)
  const { notes } = await after.finish()
  expect(notes.filter(({ act }) => act === 'kek.change')).toMatchObject([
    { note: { reason: 'recording.encryption.former names the key before' } },
  ])
  expect(notes.filter(({ kind }) => kind === 'config')).toHaveLength(3)
  await after[Symbol.asyncDispose]()
})
