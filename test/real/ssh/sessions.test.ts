/** Sessions by SSH that run: how they end from outside, what they are asked next, and by which way a host is reached. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { TestGateway } from '../../support/gateway.ts'
import { background, type RunOptions } from '../../support/ssh-clients.ts'
import { gatewayOptions, sshThrough } from '../../support/ssh-gateway.ts'
import { SharedConnection } from '../../support/ssh-shared.ts'
import { type Sshd, startSshd } from '../../support/ssh-sshd.ts'
import { gatewaysOfEachTest } from './each-test.ts'
import { BY_PASSWORD, typing } from './typing.ts'

let sshd: Sshd

beforeAll(async () => {
  sshd = await startSshd()
})

afterAll(() => sshd.stop())

const openGateway = gatewaysOfEachTest(() => sshd, { bound: false })

type Login = RunOptions & { readonly login?: string }

const through = (gateway: TestGateway, args: readonly string[], options: Login = {}) =>
  sshThrough(sshd, gateway, args, options)

describe('a session that runs', () => {
  const shell = (gateway: TestGateway) => through(gateway, ['echo ready; sleep 60'], { timeoutMs: 20_000 })

  const live = async (gateway: TestGateway) => {
    for (let look = 0; look < 400; look++) {
      const [session] = await gateway.live()
      if (session !== undefined && (await gateway.live()).length === 1) return session
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    throw new Error('no session')
  }

  const begun = (gateway: TestGateway) =>
    gateway.readWhen(({ sessions }) => sessions.some(({ operations }) => operations.length > 0))

  test('is listed, and ends with a reason when an administrator ends it', async () => {
    const gateway = await openGateway()
    const running = shell(gateway)
    const { session: sid } = await live(gateway)
    await begun(gateway)
    await gateway.control('sessions.kill', { session: sid, reason: 'lunch is ready' })
    const { code, err } = await running
    expect([code, err]).toEqual([
      77,
      expect.stringMatching(
        /gatebook: this session was ended: an administrator ended it: lunch is ready\n {2}why : An administrator/,
      ),
    ])
    const { sessions } = await gateway.finish()
    expect(sessions).toMatchObject([{ sid, why: 'admin', operations: [{ out: 'aborted' }] }])
  })

  test('ends when its grant is gone by a reload', async () => {
    const gateway = await openGateway()
    const running = shell(gateway)
    await live(gateway)
    await begun(gateway)
    await gateway.reload([['{ group: engineering, role: writer }', '{ user: dave, role: writer }']])
    const { code, err } = await running
    expect([code, err]).toEqual([
      77,
      expect.stringContaining('this session was ended: access to "web" denied for alice'),
    ])
  })

  test('asks the new configuration about its next channel', async () => {
    const gateway = await openGateway()
    const connection = await SharedConnection.open(sshd, gateway, 'alice~web')
    const next = () => connection.run('true')
    expect(await next()).toMatchObject({ code: 0 })
    await gateway.reload([
      ['writer: { targets: ["*"] }', 'writer: { targets: ["*"], ssh: { allow: [sftp] } }'],
    ])
    expect(await next()).toMatchObject({
      code: 77,
      err: expect.stringContaining('Your role writer allows sftp.'),
    })
    await connection.end()
  })

  test('ends when its token is revoked', async () => {
    const gateway = await openGateway()
    const { secret, token } = gateway.createToken('alice')
    const running = through(gateway, [...BY_PASSWORD, 'sleep 60'], {
      ...typing(sshd, secret),
      timeoutMs: 20_000,
    })
    await live(gateway)
    await begun(gateway)
    gateway.revokeToken(token.id)
    expect(await running).toMatchObject({ code: 77, err: expect.stringContaining('its token was revoked') })
  })

  test('ends when nothing was sent for too long, which keep-alives do not count as', async () => {
    const gateway = await openGateway({ changes: [['idle: 30m', 'idle: 2s']] })
    const { code, err } = await through(gateway, ['-o', 'ServerAliveInterval=1', 'sleep 60'])
    expect([code, err]).toEqual([77, expect.stringContaining('the session was idle for 2 s')])
  })

  test('ends when it has lasted long enough', async () => {
    const gateway = await openGateway({ changes: [['max: 12h', 'max: 2s']] })
    const { code, err } = await through(gateway, ['while sleep 0.2; do echo .; done'])
    expect([code, err]).toEqual([77, expect.stringContaining('the session has reached its end time')])
  })

  test('ends with the gateway, which lets a program end that does so in time', async () => {
    const gateway = await openGateway()
    const running = through(gateway, ['sleep 1; echo whole'])
    await live(gateway)
    await begun(gateway)
    await gateway.stop(20_000)
    expect((await running).out.toString()).toBe('whole\n')
    const other = await openGateway()
    const cut = shell(other)
    await live(other)
    await begun(other)
    await other.stop()
    expect(await cut).toMatchObject({ code: 77, err: expect.stringContaining('the gateway stops') })
  })

  test('ends in order when its client goes away, or its host does', async () => {
    const gateway = await openGateway()
    const client = background('ssh', [...gatewayOptions(sshd, gateway), 'alice~web@127.0.0.1', 'sleep 60'])
    await live(gateway)
    await begun(gateway)
    await client.stop()
    const book = await gateway.readWhen(({ sessions }) => sessions[0]?.why !== undefined)
    expect(book.sessions).toMatchObject([{ why: 'client', operations: [{ out: 'aborted' }] }])
  })
})

test('a host is reached through another one, as the gateway’s own way', async () => {
  const behind = await startSshd()
  try {
    const [type, base64] = behind.hostKey.split(' ')
    const gateway = await openGateway({
      targets: [
        'behind:',
        '  type: ssh',
        `  address: "127.0.0.1:${behind.port}"`,
        `  host_key: ${type} ${base64}`,
        `  credentials: { user: ${behind.user}, private_key: "file:behind.key" }`,
        '  jump: web',
      ].join('\n'),
      files: { 'behind.key': behind.privateKey },
    })
    const { code, out } = await through(gateway, ['cat; exit 4'], { login: 'alice~behind', input: 'far\n' })
    expect([code, out.toString()]).toEqual([4, 'far\n'])
    const { sessions } = await gateway.finish()
    expect(sessions).toMatchObject([{ target: 'behind', operations: [{ act: 'ssh.exec', code: '4' }] }])
  } finally {
    behind.stop()
  }
})
