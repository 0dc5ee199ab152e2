/** Peers that do not keep to the protocol, at the door of a whole gateway: each ends itself, and nobody else. */
import { connect } from 'node:net'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Message } from '../../../protocols/ssh/messages.ts'
import { PASSWORD, type TestGateway } from '../../support/gateway.ts'
import { Caller } from '../../support/ssh-caller.ts'
import { adjust, data, exec, global, open } from '../../support/ssh-channel-talk.ts'
import { sshThrough, startSshGateway } from '../../support/ssh-gateway.ts'
import { type Sshd, startSshd } from '../../support/ssh-sshd.ts'

const MIB = 1024 * 1024

let sshd: Sshd
let gateway: TestGateway

beforeAll(async () => {
  sshd = await startSshd()
})

beforeEach(async () => {
  gateway = await startSshGateway(sshd)
})

afterEach(() => gateway[Symbol.asyncDispose]())

afterAll(() => sshd.stop())

const call = () => Caller.open(gateway.port('ssh'))

/** Everybody else goes on as if nothing had happened. */
async function othersAreServed(): Promise<void> {
  const { code, out } = await sshThrough(sshd, gateway, ['cat; exit 3'], { login: 'alice', input: 'well\n' })
  expect([code, out.toString()]).toEqual([3, 'well\n'])
}

describe('before a login', () => {
  test.each<[string, Message]>([
    ['a channel', open(0)],
    ['a command', exec(0, 'id')],
    ['a global request', global('tcpip-forward')],
    ['data', data(0, 'x')],
    ['the word that it has succeeded', { type: 'USERAUTH_SUCCESS' }],
  ])('%s ends the connection, and nothing comes of it', async (_, message) => {
    using caller = await call()
    caller.say({ type: 'SERVICE_REQUEST', service: 'ssh-userauth' }, message, open(1))
    await caller.ends()
    expect([caller.count('CHANNEL_OPEN_CONFIRMATION'), caller.count('USERAUTH_SUCCESS')]).toEqual([0, 0])
    await othersAreServed()
    const { sessions } = await gateway.finish()
    expect(sessions).toHaveLength(1)
  })

  test('who stays silent, or begins and leaves off, is gone after a while', async () => {
    const silent = Array.from({ length: 50 }, () =>
      connect(gateway.port('ssh'), '127.0.0.1').on('error', () => undefined),
    )
    const closed = silent.map((socket) => new Promise((resolve) => socket.once('close', resolve)))
    for (const socket of silent) socket.resume()
    using begun = await call()
    begun.say({ type: 'SERVICE_REQUEST', service: 'ssh-userauth' })
    await begun.hears('SERVICE_ACCEPT')
    await othersAreServed()
    gateway.clock.advance(61_000)
    await Promise.all([...closed, begun.ends()])
    await othersAreServed()
  })
})

describe('after a login', () => {
  async function admitted(): Promise<Caller> {
    const caller = await call()
    await caller.logIn('alice', PASSWORD)
    return caller
  }

  test.each<[string, readonly Message[]]>([
    ['a window above 2^32 - 1', [adjust(0, 0xffffffff), adjust(0, 0xffffffff)]],
    ['data beyond the window', Array.from({ length: 300 }, () => data(0, new Uint8Array(32_000)))],
    ['a channel that is none', [data(77, 'x')]],
  ])('%s ends the connection', async (_, messages) => {
    using caller = await admitted()
    // Nothing is read at the host, so that the window does not grow.
    caller.say(open(0), exec(0, 'exec sleep 60'))
    await caller.hears('CHANNEL_SUCCESS')
    caller.say(...messages)
    await caller.ends()
    await othersAreServed()
    const { sessions } = await gateway.finish()
    expect(sessions.map(({ why }) => why)).toEqual(['client', 'client'])
  })

  test('a reader that never reads holds what fits a few buffers, and holds up nobody', async () => {
    using caller = await admitted()
    caller.say(...Array.from({ length: 8 }, (_, i) => open(i, 0xffffffff)))
    for (let i = 0; i < 8; i++) caller.say(exec(i, 'cat /dev/zero'))
    await caller.hears('CHANNEL_DATA')
    caller.stop()
    const before = process.memoryUsage().rss
    await othersAreServed()
    for (let round = 0; round < 20; round++) await new Promise((resolve) => setTimeout(resolve, 100))
    await othersAreServed()
    expect(process.memoryUsage().rss - before).toBeLessThan(128 * MIB)
  })

  test('a flood of channels is refused beyond a number', async () => {
    using caller = await admitted()
    caller.say(...Array.from({ length: 2000 }, (_, i) => open(i)))
    await caller.hears('CHANNEL_OPEN_FAILURE')
    await othersAreServed()
  })
})
