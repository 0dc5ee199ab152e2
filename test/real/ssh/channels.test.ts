/**
 * What goes on inside a connection, at the door of a whole gateway: in which order things are said and answered, and
 * what stays itself beside other things. Each was wrong in some other server.
 */
import { spawnSync } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseKeyLine } from '../../../protocols/ssh/index.ts'
import type { Message } from '../../../protocols/ssh/messages.ts'
import { encodeForm, text, uint32 } from '../../../protocols/ssh/wire.ts'
import { PASSWORD, type TestGateway } from '../../support/gateway.ts'
import { SshBook } from '../../support/ssh-book.ts'
import { ASK, byQuery, Caller } from '../../support/ssh-caller.ts'
import {
  close,
  data,
  directTcpip,
  env,
  eof,
  exec,
  global,
  open as openChannel,
  pty,
  request,
  textOf,
} from '../../support/ssh-channel-talk.ts'
import { background, run, sha256, start } from '../../support/ssh-clients.ts'
import { closedBook, gatewayOptions, personKey, sshThrough } from '../../support/ssh-gateway.ts'
import { SharedConnection } from '../../support/ssh-shared.ts'
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

async function loggedIn(gateway: TestGateway): Promise<Caller> {
  const caller = await Caller.open(gateway.port('ssh'))
  await caller.logIn('alice', PASSWORD)
  return caller
}

const names = (messages: readonly Message[]): readonly string[] =>
  messages.flatMap((message) => {
    if (message.type === 'CHANNEL_REQUEST') return [message.request]
    // How much credit comes, and when, is nobody's business here; nor is what belongs to no channel.
    const passed = [
      'CHANNEL_WINDOW_ADJUST',
      'EXT_INFO',
      'GLOBAL_REQUEST',
      'USERAUTH_SUCCESS',
      'SERVICE_ACCEPT',
    ]
    return passed.includes(message.type) ? [] : [message.type]
  })

describe('a client that does not wait', () => {
  test('says channel, command, input and its end at once, and all of it is done in order', async () => {
    const gateway = await openGateway()
    using caller = await loggedIn(gateway)
    caller.say(openChannel(0), exec(0, 'cat; exit 3'), data(0, 'hel'), data(0, 'lo\n'), eof(0))
    await caller.hears('CHANNEL_CLOSE')
    const [confirmed, succeeded, ...further] = names(caller.heard)
    expect([confirmed, succeeded]).toEqual(['CHANNEL_OPEN_CONFIRMATION', 'CHANNEL_SUCCESS'])
    // The end is the host's: its status may stand before or behind the end of its output.
    expect(further[0]).toBe('CHANNEL_DATA')
    expect([...new Set(further)].sort()).toEqual([
      ...['CHANNEL_CLOSE', 'CHANNEL_DATA', 'CHANNEL_EOF', 'exit-status'],
    ])
    expect(further.at(-1)).toBe('CHANNEL_CLOSE')
    expect(textOf(caller.heard, 'output')).toBe('hello\n')
    caller.say(close(0))
    const [operation] = (await closedBook(gateway)).operations
    expect(operation).toMatchObject({ code: '3', meta: { stdin: { bytes: 6 } } })
  })

  test('has what the other side of a tunnel says first behind the word that it stands', async () => {
    const greeter = createServer((socket) => void socket.end('220 at your service\r\n'))
    await new Promise<void>((resolve) => greeter.listen(0, '127.0.0.1', resolve))
    const address = greeter.address()
    if (address === null || typeof address === 'string') throw new Error('no port')
    try {
      const gateway = await openGateway({ target: 'forward: ["127.0.0.1:*"]' })
      using caller = await loggedIn(gateway)
      caller.say(directTcpip(0, '127.0.0.1', address.port))
      await caller.hears('CHANNEL_EOF')
      expect(names(caller.heard).slice(0, 3)).toEqual([
        'CHANNEL_OPEN_CONFIRMATION',
        'CHANNEL_DATA',
        'CHANNEL_EOF',
      ])
      expect(textOf(caller.heard, 'output')).toBe('220 at your service\r\n')
    } finally {
      greeter.close()
    }
  })

  test('has its requests answered in the order in which they were asked, the impossible among them', async () => {
    const gateway = await openGateway()
    using caller = await loggedIn(gateway)
    caller.say(
      openChannel(0),
      pty(0),
      env(0, 'LANG', 'C.UTF-8'),
      env(0, 'LD_PRELOAD', '/tmp/x.so'),
      request(0, 'x11-req'),
      request(0, '__proto__'),
      exec(0, 'echo $LANG; cat'),
      pty(0),
      request(0, 'keepalive@openssh.com'),
      global('keepalive@openssh.com'),
      global('no-such-thing'),
    )
    await caller.hearsAll('CHANNEL_FAILURE', 5)
    const answers = names(caller.heard).filter((name) => /^CHANNEL_(SUCCESS|FAILURE)$/.test(name))
    expect(answers).toEqual([
      ...['CHANNEL_SUCCESS', 'CHANNEL_SUCCESS', 'CHANNEL_FAILURE', 'CHANNEL_FAILURE', 'CHANNEL_FAILURE'],
      ...['CHANNEL_SUCCESS', 'CHANNEL_FAILURE', 'CHANNEL_FAILURE'],
    ])
    expect(caller.count('REQUEST_FAILURE') + caller.count('REQUEST_SUCCESS')).toBe(2)
  })
})

describe('a program that runs', () => {
  test('is sent signals and breaks, which are answered as they come', async () => {
    const gateway = await openGateway()
    using caller = await loggedIn(gateway)
    const trap = 'trap "echo caught; exit 7" USR1; echo ready; while :; do sleep 0.1; done'
    caller.say(openChannel(0), exec(0, trap))
    await caller.hears('CHANNEL_DATA')
    const before = sshd.log().length
    caller.say(
      request(0, 'break', encodeForm({ length: uint32 }, { length: 500 })),
      request(0, 'eow@openssh.com'),
      request(0, 'signal', encodeForm({ name: text }, { name: 'USR1' })),
    )
    await expect.poll(() => caller.count('CHANNEL_SUCCESS') + caller.count('CHANNEL_FAILURE')).toBe(4)
    // Debian's sshd signals no program of root's, and says so; any other it does.
    const came = (): boolean =>
      /session signalling requires/.test(sshd.log().slice(before)) ||
      textOf(caller.heard, 'output') === 'ready\ncaught\n'
    await expect.poll(came).toBe(true)
  })

  test('is told nothing by what a client says beside its standard input', async () => {
    const gateway = await openGateway()
    using caller = await loggedIn(gateway)
    const beside: Message = {
      type: 'CHANNEL_EXTENDED_DATA',
      recipient: 0,
      code: 1,
      data: Buffer.from('beside'),
    }
    caller.say(openChannel(0), exec(0, 'cat'), beside, data(0, 'input'), eof(0))
    await caller.hears('CHANNEL_CLOSE')
    expect(textOf(caller.heard, 'output')).toBe('input')
  })

  test('is the last where a client says that no more will come', async () => {
    const gateway = await openGateway()
    using caller = await loggedIn(gateway)
    caller.say(openChannel(0), exec(0, 'cat'), global('no-more-sessions@openssh.com', Uint8Array.of(), false))
    caller.say(data(0, 'still here'), eof(0))
    await caller.hears('CHANNEL_CLOSE')
    expect(textOf(caller.heard, 'output')).toBe('still here')
    // As OpenSSH's own server: who comes after that is somebody else.
    caller.say(openChannel(1))
    await caller.ends()
    expect(caller.count('CHANNEL_OPEN_CONFIRMATION')).toBe(1)
  })

  test('goes on while we make new keys of our own accord', async () => {
    const gateway = await openGateway({ changes: [['idle: 30m', 'idle: 12h']] })
    using caller = await loggedIn(gateway)
    const client = start('ssh', [
      ...['-o', 'LogLevel=DEBUG1', ...gatewayOptions(sshd, gateway), remote, 'echo ready; cat'],
    ])
    await client.shows('ready')
    // The hour begins when the connection is first looked at, which is a second behind the login.
    gateway.clock.advance(2000)
    gateway.clock.advance(61 * 60_000)
    for (let look = 0; look < 1000 && caller.exchanges < 2; look++)
      await new Promise((resolve) => setTimeout(resolve, 20))
    expect(caller.exchanges).toBe(2)
    client.type('behind new keys\n')
    await client.shows('behind new keys')
    client.end()
    const { code, err } = await client.ended
    expect([code, err.split('SSH2_MSG_KEXINIT received').length - 1]).toEqual([0, 2])
  })
})

describe('beside each other on one connection', () => {
  test('a shell and scp, by both of its protocols, each have a whole record of their own', async () => {
    const gateway = await openGateway()
    const [from, to] = [join(sshd.folder, 'beside.txt'), join(sshd.folder, 'beside.copy')]
    const content = Buffer.from('a line\n'.repeat(40_000))
    writeFileSync(from, content)
    const shared = await SharedConnection.open(sshd, gateway)
    // In a terminal of its own: a shared connection takes the modes of the client's, and without one there is no echo.
    const prompt = `TERM=xterm PS1="p$ " exec bash --norc --noprofile -i`
    const shell = start('script', [
      ...['-qec', `ssh ${shared.flags.join(' ')} -tt ${remote} '${prompt}'`, '/dev/null'],
    ])
    await shell.shows('p$ ')
    shell.type('echo before-$((1 + 1))\r')
    await shell.shows('before-2')
    for (const protocol of ['-s', '-O']) {
      const copy = [...shared.flags, protocol, '-q', from, `${remote}:${to}${protocol}`]
      expect(await run('scp', copy)).toMatchObject({ code: 0 })
      expect(sha256(readFileSync(`${to}${protocol}`))).toBe(sha256(content))
    }
    shell.type('echo behind-$((1 + 2))\r')
    await shell.shows('behind-3')
    shell.type('exit 4\r')
    expect(await shell.ended).toMatchObject({ code: 4 })
    await shared.end()
    const book = await closedBook(gateway)
    expect(book.commands).toEqual(['echo before-$((1 + 1))', 'echo behind-$((1 + 2))', 'exit 4'])
    const [terminal] = book.of('ssh.exec').filter(({ code }) => code === '4')
    if (terminal === undefined) throw new Error('the terminal is not in the book')
    expect(SshBook.stream(terminal, 'o').toString()).toMatch(/before-2[\s\S]*behind-3/)
    const hashes = JSON.stringify(book.operations.map(({ meta }) => meta)).split(sha256(content)).length - 1
    expect(hashes).toBeGreaterThanOrEqual(2)
  })

  test('many calls to the person’s agent at once do not wait for each other', async () => {
    const socket = join(sshd.folder, 'many-agent')
    const agent = background('ssh-agent', ['-D', '-a', socket])
    try {
      for (let look = 0; look < 1000 && !existsSync(socket); look++)
        await new Promise((resolve) => setTimeout(resolve, 20))
      const options = { env: { SSH_AUTH_SOCK: socket } }
      await run('ssh-add', ['-q', join(sshd.folder, 'alice')], options)
      const gateway = await openGateway({ target: 'agent_forwarding: true' })
      const calls = 'for i in 1 2 3 4 5 6 7 8; do ssh-add -l & done; wait'
      const { code, out } = await sshThrough(sshd, gateway, ['-A', calls], { login: 'alice', ...options })
      expect([code, out.toString().match(/ED25519/g)]).toEqual([
        0,
        Array.from({ length: 8 }, () => 'ED25519'),
      ])
      const { operations } = await closedBook(gateway)
      expect(operations.filter(({ act }) => act === 'ssh.forward')).toHaveLength(8)
    } finally {
      await agent.stop()
    }
  })
})

describe('the first words of a connection', () => {
  test('by the post-quantum exchange lead to the same place', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('ml-kem-768')
    const mlkem = {
      privateKey,
      publicValue: new Uint8Array(publicKey.export({ format: 'raw-public' }) as unknown as Uint8Array),
    }
    const gateway = await openGateway()
    using caller = await Caller.open(gateway.port('ssh'), { kex: 'mlkem768x25519-sha256' }, mlkem)
    await caller.logIn('alice', PASSWORD)
    caller.say(openChannel(0), exec(0, 'echo quantum'))
    await caller.hears('CHANNEL_CLOSE')
    expect(textOf(caller.heard, 'output')).toBe('quantum\n')
  })

  test('announce every signature that is taken, which a real client reads and goes by', async () => {
    const file = join(sshd.folder, 'rsa')
    spawnSync('ssh-keygen', ['-q', '-t', 'rsa', '-b', '2048', '-N', '', '-f', file])
    const line = readFileSync(`${file}.pub`, 'utf8').trim()
    const gateway = await openGateway({ changes: [['ssh_keys: ["', `ssh_keys: ["${line}", "`]] })
    const flags = ['-o', 'LogLevel=DEBUG1', ...gatewayOptions(sshd, gateway, 'rsa')]
    const { code, err } = await run('ssh', [...flags, remote, 'true'])
    expect(code).toBe(0)
    const announced = /server-sig-algs=<(.*)>/.exec(err)?.[1]?.split(',') ?? []
    expect(announced).toEqual(expect.arrayContaining(['ssh-ed25519', 'rsa-sha2-256', 'rsa-sha2-512']))
    const known = spawnSync('ssh', ['-Q', 'sig']).stdout.toString().split('\n')
    expect(announced.filter((name) => !known.includes(name))).toEqual([])
    // A question about a key is answered by the algorithm that it named.
    using caller = await Caller.open(gateway.port('ssh'))
    const { blob } = parseKeyLine(line)
    const asked = ['rsa-sha2-256', 'rsa-sha2-512'].map((algorithm) =>
      byQuery({ user: 'alice', algorithm, blob }),
    )
    caller.say(ASK, ...asked)
    const answers = await caller.hearsAll('USERAUTH_PK_OK', 2)
    expect(answers.map(({ algorithm }) => algorithm)).toEqual(['rsa-sha2-256', 'rsa-sha2-512'])
  })
})
