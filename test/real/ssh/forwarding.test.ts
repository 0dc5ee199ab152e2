/** Tunnels through the gateway: where the configuration names their destination, and nowhere else. */
import { existsSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { TestGateway } from '../../support/gateway.ts'
import { freePort } from '../../support/ports.ts'
import { background, type RunOptions, run } from '../../support/ssh-clients.ts'
import { closedBook, gatewayOptions, personKey, sshDirectly, sshThrough } from '../../support/ssh-gateway.ts'
import { type Sshd, startSshd } from '../../support/ssh-sshd.ts'
import { gatewaysOfEachTest } from './each-test.ts'

const remote = 'alice@127.0.0.1'

let sshd: Sshd

beforeAll(async () => {
  sshd = await startSshd()
  personKey(sshd, 'alice')
})

afterAll(() => sshd.stop())

const openGateway = gatewaysOfEachTest(() => sshd)

const through = (gateway: TestGateway, args: readonly string[], options: RunOptions = {}) =>
  sshThrough(sshd, gateway, args, { login: 'alice', ...options })

describe('forwarding', () => {
  /** What is listened at on this machine, which is the host's as well. */
  async function greeter(path?: string): Promise<number> {
    const server = createServer((socket) => {
      socket.on('error', () => undefined)
      socket.end('hello from the other side\n')
    })
    await new Promise<void>((resolve) =>
      path === undefined ? server.listen(0, '127.0.0.1', resolve) : server.listen(path, resolve),
    )
    server.unref()
    const address = server.address()
    return address === null || typeof address === 'string' ? 0 : address.port
  }

  /** What is said there, once somebody listens. */
  async function heardFrom(where: { port: number; host: string } | { path: string }): Promise<string> {
    for (let attempt = 0; attempt < 100; attempt++) {
      const heard = await new Promise<string | undefined>((resolve) => {
        let text = ''
        const socket = connect(where)
        socket.on('data', (bytes) => {
          text += bytes
        })
        socket.on('error', () => resolve(undefined)).on('end', () => resolve(text))
      })
      if (heard !== undefined) return heard
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    throw new Error('nobody listens')
  }

  test('to where it is allowed, recorded by its bytes', async () => {
    const port = await greeter()
    const gateway = await openGateway({ target: 'forward: ["127.0.0.1:*"]' })
    const { code, out } = await through(gateway, ['-W', `127.0.0.1:${port}`, ''], { input: '' })
    expect([code, out.toString()]).toEqual([0, 'hello from the other side\n'])
    const book = await closedBook(gateway)
    expect(book.operations).toMatchObject([
      {
        act: 'ssh.forward',
        rule: 'writer',
        texts: { addr: `127.0.0.1:${port}` },
        meta: { sent: 0, received: 26, content: 'not recorded' },
      },
    ])
    for (const payload of book.payloads) expect(payload.includes('from the other side')).toBe(false)
  })

  test.each([
    ['nowhere unless listed', '', 'The target does not list it.', 'PORT'],
    ['to no other host', 'forward: ["10.0.0.1:*"]', 'The target does not list it.', 'PORT'],
    ['to the host’s own SSH by no list', 'forward: ["*:*"]', 'It is the SSH of this very host', 'SSHD'],
    ['nor by its exact name', 'forward: ["127.0.0.1:SSHD"]', 'It is the SSH of this very host', 'SSHD'],
  ])('%s, and the person is told why', async (_, target, why, where) => {
    const port = where === 'SSHD' ? sshd.port : await greeter()
    const gateway = await openGateway({ target: target.replace('SSHD', String(sshd.port)) })
    const flags = ['-o', 'LogLevel=INFO', '-W', `127.0.0.1:${port}`, '']
    const { code, err } = await through(gateway, flags, { input: '' })
    expect([code, err]).toEqual([255, expect.stringContaining(why)])
    const { operations } = await closedBook(gateway)
    expect(operations).toMatchObject([{ act: 'ssh.forward', out: 'denied' }])
  })

  test('to SSH elsewhere only where it is written out', async () => {
    const wide = await openGateway({ target: 'forward: ["*:*"]' })
    const flags = ['-o', 'LogLevel=INFO', '-W', 'other.example:22', '']
    expect((await through(wide, flags, { input: '' })).err).toContain('The target does not list it.')
  })

  test('nor where the person’s roles leave it out', async () => {
    const port = await greeter()
    const gateway = await openGateway({
      target: 'forward: ["127.0.0.1:*"]',
      changes: [
        ['writer: { targets: ["*"] }', 'writer: { targets: ["*"], ssh: { forward: ["127.0.0.1:1"] } }'],
      ],
    })
    const flags = ['-o', 'LogLevel=INFO', '-W', `127.0.0.1:${port}`, '']
    const { err } = await through(gateway, flags, { input: '' })
    expect(err).toContain('Your role writer allows 127.0.0.1:1.')
  })

  test('from a port at the host to the person, where it is allowed', async () => {
    const port = await greeter()
    const listening = await freePort()
    const gateway = await openGateway({ target: `listen: ["localhost:${listening}"]` })
    const flags = ['-N', '-R', `${listening}:127.0.0.1:${port}`, ...gatewayOptions(sshd, gateway)]
    const session = background('ssh', [...flags, remote])
    expect(await heardFrom({ host: '127.0.0.1', port: listening })).toBe('hello from the other side\n')
    await session.stop()
    const { operations } = await closedBook(gateway)
    expect(operations.map(({ act, out, texts }) => [act, out, texts['addr']])).toEqual([
      ['ssh.forward', 'ok', `localhost:${listening}`],
      ['ssh.forward', expect.any(String), `localhost:${listening}`],
    ])
    const closed = await openGateway()
    const refused = await through(closed, [
      '-o',
      'ExitOnForwardFailure=yes',
      '-R',
      `${listening}:127.0.0.1:${port}`,
      'true',
    ])
    expect([refused.code, refused.err]).toEqual([
      255,
      expect.stringContaining('remote port forwarding failed'),
    ])
  })

  test('between sockets with paths, both ways', async () => {
    const path = (name: string) => join(sshd.folder, name)
    await greeter(path('greeter'))
    const gateway = await openGateway({ target: `forward: ["${sshd.folder}/*"]\nlisten: ["${path('far')}"]` })
    const flags = [
      '-N',
      '-L',
      `${path('near')}:${path('greeter')}`,
      '-R',
      `${path('far')}:${path('greeter')}`,
    ]
    const session = background('ssh', [...flags, ...gatewayOptions(sshd, gateway), remote])
    expect(await heardFrom({ path: path('near') })).toBe('hello from the other side\n')
    expect(await heardFrom({ path: path('far') })).toBe('hello from the other side\n')
    await session.stop()
  })

  test('of the person’s agent, where it is allowed', async () => {
    const socket = join(sshd.folder, 'agent')
    const agent = background('ssh-agent', ['-D', '-a', socket])
    await until(() => existsSync(socket))
    const env = { SSH_AUTH_SOCK: socket }
    await run('ssh-add', ['-q', join(sshd.folder, 'alice')], { env })
    const gateway = await openGateway({ target: 'agent_forwarding: true' })
    const { code, out } = await through(gateway, ['-A', 'ssh-add -l; ssh-add -l >/dev/null'], { env })
    expect([code, out.toString()]).toEqual([0, expect.stringContaining('ED25519')])
    const closed = await openGateway()
    expect((await through(closed, ['-A', 'ssh-add -l'], { env })).code).not.toBe(0)
    await agent.stop()
  })

  test('through us to another SSH that is written out, which then is not seen into', async () => {
    const other = await startSshd()
    try {
      const gateway = await openGateway({ target: `forward: ["127.0.0.1:${other.port}"]` })
      const jump = `ProxyCommand=ssh ${gatewayOptions(sshd, gateway).join(' ')} -W %h:%p ${remote}`
      const { code, out } = await sshDirectly(other, ['-o', jump, 'echo behind; exit 9'])
      expect([code, out.toString()]).toEqual([9, 'behind\n'])
      const { operations } = await closedBook(gateway)
      expect(operations).toMatchObject([{ act: 'ssh.forward', texts: { addr: `127.0.0.1:${other.port}` } }])
    } finally {
      other.stop()
    }
  })

  test('by ssh -J, to another target of ours: refused, for it has a door of its own', async () => {
    const other = await startSshd()
    try {
      const gateway = await openGateway({
        target: `forward: ["127.0.0.1:${other.port}"]`,
        targets: `other:\n  type: ssh\n  address: "127.0.0.1:${other.port}"\n  host_key: ${other.hostKey.split(' ').slice(0, 2).join(' ')}\n  credentials: { user: ${other.user}, private_key: "file:web.key" }`,
      })
      const flags = ['-o', 'LogLevel=INFO', '-W', `127.0.0.1:${other.port}`, '']
      const { err } = await through(gateway, flags, { input: '' })
      expect(err).toContain('It is the target "other": log in as <user>~other instead.')
    } finally {
      other.stop()
    }
  })
})

async function until(holds: () => boolean): Promise<void> {
  for (let attempt = 0; !holds() && attempt < 1000; attempt++)
    await new Promise((resolve) => setTimeout(resolve, 20))
}
