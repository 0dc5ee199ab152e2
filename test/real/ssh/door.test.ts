/** Who is let in by SSH and as whom, who is refused and in which words. */
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { codeAt, parseCodeSecret } from '../../../src/access/second-factor.ts'
import { PASSWORD, type TestGateway } from '../../support/gateway.ts'
import { opensshOptions, type RunOptions, run } from '../../support/ssh-clients.ts'
import { closedBook, gatewayOptions, personKey, sshThrough } from '../../support/ssh-gateway.ts'
import { type Sshd, startSshd } from '../../support/ssh-sshd.ts'
import { gatewaysOfEachTest } from './each-test.ts'
import { BY_PASSWORD, BY_PROMPT, typing } from './typing.ts'

let sshd: Sshd

beforeAll(async () => {
  sshd = await startSshd()
})

afterAll(() => sshd.stop())

const openGateway = gatewaysOfEachTest(() => sshd, { bound: false })

type Login = RunOptions & { readonly login?: string }

const through = (gateway: TestGateway, args: readonly string[], options: Login = {}) =>
  sshThrough(sshd, gateway, args, options)

/** Shows what the gateway says before a login. */
const LOUD = ['-o', 'LogLevel=INFO']

describe('somebody is let in', () => {
  test('by a key of the configuration, which the book names by its fingerprint', async () => {
    const gateway = await openGateway()
    const { code, out } = await through(gateway, ['echo in'])
    expect([code, out.toString()]).toEqual([0, 'in\n'])
    const print = spawnSync('ssh-keygen', ['-lf', join(sshd.folder, 'alice.pub')])
      .stdout.toString()
      .split(' ')[1]
    const { sessions, notes } = await gateway.finish()
    const [session] = sessions
    expect(session).toMatchObject({ act: 'ssh', target: 'web', why: 'client' })
    expect(session?.who).toMatchObject({ name: 'alice', method: 'ssh-key', key: print, roles: ['writer'] })
    expect(session?.who['claims']).toMatchObject({ client: expect.stringContaining('OpenSSH') })
    expect(notes.filter(({ kind }) => kind === 'login')).toMatchObject([{ act: 'ssh', out: 'ok' }])
  })

  test.each([
    ['by a token as the password', BY_PASSWORD, 'token'],
    ['by a token at a prompt', BY_PROMPT, 'token'],
    ['by a password', BY_PASSWORD, 'password'],
    ['by a password at a prompt', BY_PROMPT, 'password'],
  ])('%s', async (_, flags, method) => {
    const gateway = await openGateway()
    const token = gateway.createToken('alice')
    const secret = method === 'token' ? token.secret : PASSWORD
    const { code, out } = await through(gateway, [...flags, 'echo in'], typing(sshd, secret))
    expect([code, out.toString()]).toEqual([0, 'in\n'])
    const { sessions } = await gateway.finish()
    expect(sessions[0]?.who).toMatchObject({
      method,
      ...(method === 'token' ? { token: token.token.id } : {}),
    })
  })

  test('after many keys of an agent that are not known', async () => {
    const gateway = await openGateway()
    const keys = Array.from({ length: 12 }, (_, i) => `many-${i}`)
    for (const name of keys) personKey(sshd, name)
    const flags = keys.flatMap((name) => ['-i', join(sshd.folder, name)])
    expect(await through(gateway, [...flags, 'true'])).toMatchObject({ code: 0 })
  })

  test('to the only target within reach, without naming it', async () => {
    expect(await through(await openGateway(), ['true'], { login: 'alice' })).toMatchObject({ code: 0 })
  })

  test('by each host key, which stay the same over a restart', async () => {
    const known = join(sshd.folder, 'known')
    writeFileSync(known, '')
    const first = await openGateway()
    const scan = (gateway: TestGateway) =>
      run('ssh-keyscan', [
        '-T',
        '10',
        '-p',
        String(gateway.port('ssh')),
        '-t',
        'ed25519,ecdsa,rsa',
        '127.0.0.1',
      ])
    const keys = async (gateway: TestGateway) =>
      (await scan(gateway)).out
        .toString()
        .trim()
        .split('\n')
        .map((line) => line.split(' ').slice(1).join(' '))
        .sort()
    const shown = await keys(first)
    expect(shown.map((line) => line.split(' ')[0])).toEqual(['ecdsa-sha2-nistp256', 'ssh-ed25519', 'ssh-rsa'])
    expect(await keys(await openGateway())).toEqual(shown)
  })
})

describe('a user certificate', () => {
  const path = (name: string) => join(sshd.folder, name)

  beforeAll(() => {
    personKey(sshd, 'ca')
    personKey(sshd, 'other-ca')
  })

  /** A key of its own with a certificate, as `ssh-keygen -s` makes them. */
  function certified(name: string, options: readonly string[], ca = 'ca'): string {
    personKey(sshd, name)
    spawnSync('ssh-keygen', [
      '-q',
      '-s',
      path(ca),
      '-I',
      `id of ${name}`,
      '-z',
      '7',
      ...options,
      path(`${name}.pub`),
    ])
    return path(name)
  }

  const trusting = () =>
    openGateway({ listener: `user_ca: ["${readFileSync(path('ca.pub'), 'utf8').trim()}"]` })
  const enter = (gateway: TestGateway, key: string, command: string, flags: readonly string[] = []) =>
    run('ssh', [
      ...flags,
      ...opensshOptions(gateway.port('ssh'), key),
      '-o',
      'BatchMode=yes',
      'alice~web@127.0.0.1',
      command,
    ])

  test('lets in whoever it names, and the book says which one it was', async () => {
    const gateway = await trusting()
    const key = certified('good', ['-n', 'alice', '-V', '+1h'])
    expect(await enter(gateway, key, 'exit 3')).toMatchObject({ code: 3 })
    const { sessions } = await gateway.finish()
    expect(sessions[0]?.who).toMatchObject({
      method: 'ssh-certificate',
      key: expect.stringMatching(/^SHA256:\S+ \(id of good, serial 7\)$/),
    })
  })

  test.each([
    ['of an authority that is not trusted', ['-n', 'alice', '-V', '+1h'], 'other-ca'],
    ['for somebody else', ['-n', 'bob', '-V', '+1h'], 'ca'],
    ['for nobody in particular', ['-V', '+1h'], 'ca'],
    ['that has expired', ['-n', 'alice', '-V', '-2h:-1h'], 'ca'],
    ['that is not valid yet', ['-n', 'alice', '-V', '+1h:+2h'], 'ca'],
    ['for another address', ['-n', 'alice', '-V', '+1h', '-O', 'source-address=10.0.0.0/8'], 'ca'],
    ['of a host', ['-h', '-n', 'alice', '-V', '+1h'], 'ca'],
  ])('%s counts for nothing', async (_, options, ca) => {
    const key = certified(`bad-${options.join('').replace(/[^a-z0-9]/gi, '')}-${ca}`, options, ca)
    const { code, err } = await enter(await trusting(), key, 'true')
    expect([code, err]).toEqual([255, expect.stringContaining('Permission denied')])
  })

  test('from this address, with a command of its own', async () => {
    const gateway = await trusting()
    const options = [
      '-n',
      'alice',
      '-V',
      '+1h',
      '-O',
      'source-address=127.0.0.0/8',
      '-O',
      'force-command=echo forced',
    ]
    const { code, out } = await enter(gateway, certified('forced', options), 'rm -rf /')
    expect([code, out.toString()]).toEqual([0, 'forced\n'])
    const { operations } = await closedBook(gateway)
    expect(operations).toMatchObject([
      { texts: { cmd: 'echo forced', args: expect.stringContaining('rm -rf /') } },
    ])
  })

  test('that says nothing of terminals and tunnels gives none', async () => {
    const gateway = await trusting()
    const key = certified('plain', ['-n', 'alice', '-V', '+1h', '-O', 'clear'])
    expect(await enter(gateway, key, 'true')).toMatchObject({ code: 0 })
    const { code, out, err } = await enter(gateway, key, 'true', ['-tt'])
    expect([code, `${out}${err}`]).toEqual([
      77,
      expect.stringContaining('permit-pty is not in your certificate'),
    ])
  })
})

describe('a one-time code', () => {
  const SECRET = 'GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ'
  const withCodes = () =>
    openGateway({
      changes: [['alice: { groups: [engineering],', 'alice: { groups: [engineering], totp: "file:totp",']],
      files: { totp: `${SECRET}\n` },
    })
  const code = (gateway: TestGateway, drift = 0) =>
    codeAt(parseCodeSecret(SECRET, 'totp'), Math.floor(gateway.clock.now() / 30_000) + drift)
  const ONCE = ['-o', 'NumberOfPasswordPrompts=1']

  test('is asked for behind the key, counts once, and is remembered for that key', async () => {
    const gateway = await withCodes()
    const none = await through(gateway, ['-o', 'BatchMode=yes', 'true'])
    expect([none.code, none.err]).toEqual([
      255,
      expect.stringContaining('Permission denied (keyboard-interactive).'),
    ])
    const wrong = await through(gateway, [...ONCE, 'true'], typing(sshd, '000000'))
    expect(wrong.code).toBe(255)
    expect(await through(gateway, [...ONCE, 'exit 3'], typing(sshd, code(gateway)))).toMatchObject({
      code: 3,
    })
    // Ansible and git come again and again.
    expect(await through(gateway, ['-o', 'BatchMode=yes', 'exit 4'])).toMatchObject({ code: 4 })
    gateway.clock.advance(11 * 60_000)
    expect(await through(gateway, ['-o', 'BatchMode=yes', 'true'])).toMatchObject({ code: 255 })
    const { sessions } = await gateway.finish()
    expect(sessions.map(({ who }) => who['code'])).toEqual(['given', 'remembered'])
  })

  test('cannot be guessed: after some failures even the right one is refused', async () => {
    const gateway = await withCodes()
    for (let i = 0; i < 5; i++) await through(gateway, [...ONCE, 'true'], typing(sshd, '000000'))
    expect(await through(gateway, [...ONCE, 'true'], typing(sshd, code(gateway)))).toMatchObject({
      code: 255,
    })
    gateway.clock.advance(16 * 60_000)
    expect(await through(gateway, [...ONCE, 'true'], typing(sshd, code(gateway)))).toMatchObject({ code: 0 })
  })
})

describe('somebody is not let in', () => {
  const denied = 'Permission denied (publickey,keyboard-interactive,password).'

  test.each([
    ['with a wrong password', 'alice~web', 'wrong'],
    ['as nobody', 'nobody~web', PASSWORD],
    ['to a target that is none', 'alice~nowhere', PASSWORD],
  ])('%s, and each is told the same', async (_, login, secret) => {
    const gateway = await openGateway()
    const { code, err } = await through(gateway, [...LOUD, ...BY_PASSWORD, 'true'], {
      login,
      ...typing(sshd, secret),
    })
    const lines = err.replaceAll('\r', '').split('\n')
    expect([code, lines.filter((line) => !line.startsWith('Warning: '))]).toEqual([
      255,
      [
        `gatebook: login failed for "${login}"`,
        '  why : The user, the target or the password is not right, or there were too many failures.',
        '  next: Log in as <user>~<target> with a token: gatebook token create <user>.',
        expect.stringMatching(/^ {2}id {2}: [a-z2-7]{16}\.\d+$/),
        `${login}@127.0.0.1: ${denied}`,
        '',
      ],
    ])
    const { notes } = await gateway.finish()
    const code_ = login.startsWith('alice~web') ? 'bad-credential' : 'unknown-user'
    expect(notes).toContainEqual(
      expect.objectContaining({ kind: 'login', act: 'ssh', out: 'denied', code: code_ }),
    )
  })

  test('with a key that is not theirs, nor with somebody else’s', async () => {
    personKey(sshd, 'mallory')
    const gateway = await openGateway()
    const flags = ['-o', 'BatchMode=yes', 'true']
    const other = opensshOptions(gateway.port('ssh'), join(sshd.folder, 'mallory'))
    const { code, err } = await run('ssh', [...flags.slice(0, 2), ...other, 'alice~web@127.0.0.1', 'true'])
    expect([code, err]).toEqual([255, expect.stringContaining('Permission denied')])
    expect(await through(gateway, flags, { login: 'bob~web' })).toMatchObject({ code: 255 })
    const { notes } = await gateway.finish()
    expect(notes.filter(({ out }) => out === 'denied')).toMatchObject([
      { code: 'abandoned' },
      { code: 'abandoned' },
    ])
  })

  test('after too many failures, even with the right password; a token still lets them in', async () => {
    const gateway = await openGateway()
    for (let i = 0; i < 5; i++) await through(gateway, [...BY_PASSWORD, 'true'], typing(sshd, 'wrong'))
    expect(await through(gateway, [...BY_PASSWORD, 'true'], typing(sshd, PASSWORD))).toMatchObject({
      code: 255,
    })
    const { secret } = gateway.createToken('alice')
    expect(await through(gateway, [...BY_PASSWORD, 'true'], typing(sshd, secret))).toMatchObject({ code: 0 })
  })
})

describe('a person who is known is told why nothing comes of it', () => {
  test('when no role of theirs reaches the target', async () => {
    const gateway = await openGateway({
      changes: [['{ group: engineering, role: writer }', '{ user: dave, role: writer }']],
    })
    const { code, out, err } = await through(gateway, ['id'])
    expect([code, out.length, err.split('\n')]).toEqual([
      77,
      0,
      [
        'gatebook: access to "web" denied for alice',
        '  why : Your groups (engineering) grant no role on "web". The role that does: writer.',
        '  next: Ask the data people.',
        expect.stringMatching(/^ {2}id {2}: [a-z2-7]{16}\.\d+$/),
        '',
      ],
    ])
    const { sessions, notes } = await gateway.finish()
    expect(sessions).toEqual([])
    expect(notes).toContainEqual(expect.objectContaining({ kind: 'decision', act: 'ssh', out: 'denied' }))
  })

  test('by sftp and scp as well', async () => {
    const gateway = await openGateway({ target: 'allow: [shell, exec]' })
    const flags = gatewayOptions(sshd, gateway)
    const sftp = await run('sftp', [...flags, '-b', '-', 'alice~web@127.0.0.1'], { input: 'ls\n' })
    const scp = await run('scp', [...flags, join(sshd.folder, 'alice.pub'), 'alice~web@127.0.0.1:/tmp/x'])
    for (const { code, err } of [sftp, scp]) {
      expect(code).not.toBe(0)
      expect(err).toContain('gatebook: the subsystem sftp is not allowed on "web"')
      expect(err).toContain('why : This target allows shell, exec.')
    }
    const { operations } = await closedBook(gateway)
    expect(operations).toMatchObject([
      { act: 'ssh.subsystem', out: 'denied' },
      { act: 'ssh.subsystem', out: 'denied' },
    ])
  })

  test('when their role leaves it out, in a terminal too', async () => {
    const gateway = await openGateway({
      changes: [['writer: { targets: ["*"] }', 'writer: { targets: ["*"], ssh: { allow: [sftp] } }']],
    })
    const { code, out, err } = await through(gateway, ['-tt', ''], { input: '' })
    expect(code).toBe(77)
    expect(`${out}${err}`).toContain(
      'gatebook: a shell is not allowed on "web"\r\n  why : Your role writer allows sftp.',
    )
  })

  test.each([
    ['is not there', (config: string) => config, 'It cannot be reached.', 'port'],
    [
      'shows another key',
      (config: string) => config,
      'It shows a key that is not the one pinned for it',
      'key',
    ],
    [
      'does not take our credential',
      (config: string) => config,
      'It does not take the key or password',
      'user',
    ],
  ])('when the host %s', async (_, __, why, wrong) => {
    const [type, base64 = ''] = sshd.hostKey.split(' ')
    const other = personKey(sshd, 'another-host').split(' ')[1] ?? ''
    const change: readonly [string, string] =
      wrong === 'port'
        ? [`address: "127.0.0.1:${sshd.port}"`, 'address: "127.0.0.1:1"']
        : wrong === 'key'
          ? [`host_key: ${type} ${base64}`, `host_key: ${type} ${other}`]
          : [`user: ${sshd.user}`, 'user: nosuchuser']
    const gateway = await openGateway({ changes: [change] })
    const { code, err } = await through(gateway, ['true'])
    expect([code, err]).toEqual([77, expect.stringContaining('gatebook: the target "web" cannot be used')])
    expect(err).toContain(why)
    const { sessions } = await gateway.finish()
    expect(sessions).toMatchObject([{ target: 'web', why: 'target', operations: [] }])
  })
})
