/**
 * Our server role and ssh2's Client between real clients and Debian's sshd. Wherever it can be said, the test is
 * that the same command says the same directly and through us.
 */
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Verdict } from '../../../protocols/relay.ts'
import {
  checkCertificate,
  fingerprint,
  type ProofAnswer,
  parseKeyLine,
} from '../../../protocols/ssh/index.ts'
import {
  background,
  converse,
  type Outcome,
  opensshOptions,
  type RunOptions,
  run,
  sha256,
} from '../../support/ssh-clients.ts'
import type { GateOptions } from '../../support/ssh-gate.ts'
import { freePort, type Sshd, startSshd } from '../../support/ssh-sshd.ts'
import { HOST_KEYS, payloadText, ssh, Way } from '../../support/ssh-way.ts'

const MIB = 1024 * 1024

let sshd: Sshd

beforeAll(async () => {
  sshd = await startSshd()
})

afterAll(() => {
  sshd.stop()
})

const key = () => join(sshd.folder, 'user')

const openWay = (over: Partial<GateOptions> = {}) => Way.open(sshd, over)

/** The same said both ways. */
async function same(args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const way = await openWay()
  const [ours, theirs] = await Promise.all([way.ssh(args, options), ssh(sshd, sshd.port, args, options)])
  expect({ ...ours, out: sha256(ours.out) }).toEqual({ ...theirs, out: sha256(theirs.out) })
  return ours
}

describe('a program behaves as it does directly', () => {
  test.each([
    ['reads its standard input, which ends', 'cat', 'hello\n'],
    ['ends with a status', 'exit 42', undefined],
    ['writes to both streams and fails', 'echo out; echo err >&2; exit 3', undefined],
    ['dies of a signal', 'kill -TERM $$', undefined],
    ['has no input at all', 'cat', undefined],
    ['leaves its input unread', 'exit 0', 'x'.repeat(3_000_000)],
    ['closes its output first', 'exec >&-; cat >/dev/null; exit 5', 'x'],
    ['writes nothing', 'true', undefined],
    ['is not there', '/nonexistent', undefined],
    ['has quotes and bytes in its name', `printf %s "a'b"'ü' \\\\`, undefined],
  ])('that %s', async (_, command, input) => {
    await same([command], input === undefined ? {} : { input })
  })

  test('that is allowed only after a while, when all of its input has come', async () => {
    const judge = () => new Promise<Verdict>((resolve) => setTimeout(() => resolve({ allow: true }), 300))
    const { code, out } = await (await openWay({ judge })).ssh(['cat; exit 6'], { input: 'hello\n' })
    expect([code, out.toString()]).toEqual([6, 'hello\n'])
  })

  test('with 8 MiB on both streams at once', async () => {
    const { out, err } = await same([
      '(head -c 8388608 /dev/zero | tr "\\0" o)& head -c 8388608 /dev/zero | tr "\\0" e >&2; wait',
    ])
    expect([out.length, err.length]).toEqual([8 * MIB, 8 * MIB])
  })

  test('with 3 MiB of output and then 5 MiB of errors', async () => {
    const { out, err } = await same(['head -c 3145728 /dev/zero; head -c 5242880 /dev/zero >&2'])
    expect([out.length, err.length]).toEqual([3 * MIB, 5 * MIB])
  })

  test('with 20 MiB in and out', async () => {
    const input = randomBytes(20 * MIB)
    const way = await openWay()
    const { out } = await way.ssh(['cat'], { input })
    expect(sha256(out)).toBe(sha256(input))
    expect(JSON.parse(payloadText(way.records.at(-1), 'meta'))).toEqual({
      stdin: { bytes: 20 * MIB, sha256: sha256(input) },
    })
  })

  test('with the environment that is allowed', async () => {
    const env = { LANG: 'C.UTF-8', LC_GATEBOOK: 'one two', FORBIDDEN: 'x' }
    const { out } = await same(
      ['-o', 'SendEnv=LANG LC_GATEBOOK FORBIDDEN', 'echo "$LANG|$LC_GATEBOOK|$FORBIDDEN"'],
      { env },
    )
    expect(out.toString()).toBe('C.UTF-8|one two|\n')
  })
})

describe('a terminal is the same terminal', () => {
  /** A real one, of a size and with modes that nobody has by default. */
  const inTerminal = (port: number, command: string) => {
    const ssh = ['ssh', '-tt', ...opensshOptions(port, key()), `${sshd.user}@127.0.0.1`, `'${command}'`].join(
      ' ',
    )
    return run(
      'script',
      ['-qec', `stty rows 33 cols 77 erase ^H -ixon -iutf8 quit ^A; ${ssh}`, '/dev/null'],
      {
        input: '',
        env: { TERM: 'screen-256color' },
      },
    )
  }

  test('in size, modes and name', async () => {
    const command = 'stty -a; echo $TERM; stty size'
    const way = await openWay()
    const [ours, theirs] = await Promise.all([inTerminal(way.port, command), inTerminal(sshd.port, command)])
    // `script` has no input itself, and shows the end of it whenever it comes to know.
    const text = ({ out }: Outcome) => out.toString().replaceAll('^@', '').trim()
    expect(text(ours)).toBe(text(theirs))
    expect(ours.out.toString()).toContain('rows 33; columns 77')
    expect(ours.out.toString()).toMatch(/quit = \^A;.* erase = \^H/)
    expect(ours.out.toString()).toContain('screen-256color\r\n33 77')
  })

  test('and what is entered there is derived from what it shows', async () => {
    const way = await openWay()
    const shell = `${sshd.user}@127.0.0.1`
    const prompt = /p\$ $/
    const { code, out } = await converse(
      'ssh',
      [
        '-tt',
        ...opensshOptions(way.port, key()),
        shell,
        'TERM=xterm PS1="p$ " exec bash --norc --noprofile -i',
      ],
      [
        [prompt, 'echo one  two\r'],
        [prompt, 'fals\u{7f}se\r'],
        [prompt, 'read -s word\r'],
        [/\r\n/, 'correct horse\r'],
        [prompt, 'stty -echo\r'],
        [prompt, 'echo unseen $((40 + 2))\r'],
        [/unseen 42[\s\S]*p\$ $/, 'stty echo\r'],
        [prompt, `${'\u{1b}[A'.repeat(6)}\r`],
        [prompt, 'exit 4\r'],
      ],
    )
    expect([code, out.toString()]).toEqual([4, expect.stringContaining('unseen 42')])
    expect(way.commands).toEqual([
      'echo one  two',
      'false',
      'read -s word',
      'stty -echo',
      'echo one  two',
      'exit 4',
    ])
    const recorded = way.records.flatMap((event) =>
      event.type === 'data' ? [new TextDecoder().decode(event.bytes)] : [],
    )
    expect(recorded.join('')).not.toContain('correct horse')
    expect(JSON.parse(payloadText(way.records.at(-1), 'meta'))).toMatchObject({ unechoed: { lines: 3 } })
  })
})

describe('every algorithm that both sides have', () => {
  const supported = (what: string) => spawnSync('ssh', ['-Q', what]).stdout.toString().trim().split('\n')
  const ours = {
    kex: [
      'mlkem768x25519-sha256',
      'curve25519-sha256',
      'curve25519-sha256@libssh.org',
      'ecdh-sha2-nistp256',
      'ecdh-sha2-nistp384',
      'ecdh-sha2-nistp521',
      'diffie-hellman-group14-sha256',
      'diffie-hellman-group16-sha512',
      'diffie-hellman-group18-sha512',
    ].filter((name) => supported('kex').includes(name)),
    hostKey: ['ssh-ed25519', 'ecdsa-sha2-nistp256', 'rsa-sha2-256', 'rsa-sha2-512'],
    cipher: ['aes256-gcm@openssh.com', 'aes128-gcm@openssh.com', 'chacha20-poly1305@openssh.com'],
    mac: ['hmac-sha2-256-etm@openssh.com', 'hmac-sha2-512-etm@openssh.com', 'hmac-sha2-256'],
  }
  const echo = async (...args: readonly string[]) => {
    const way = await openWay()
    const { code, out, err } = await way.ssh([...args, 'cat; head -c 300000 /dev/zero'], {
      input: 'x'.repeat(100_000),
    })
    expect([code, out.length, err]).toEqual([0, 400_000, ''])
    return way.algorithms
  }

  test.each(ours.kex)('%s', async (name) => {
    expect((await echo('-o', `KexAlgorithms=${name}`))[0]).toBe(name)
  })

  test.each(ours.hostKey)('%s', async (name) => {
    expect((await echo('-o', `HostKeyAlgorithms=${name}`))[1]).toBe(name)
  })

  test.each(ours.cipher)('%s, with new keys every 64 KiB', async (name) => {
    expect((await echo('-c', name, '-o', 'RekeyLimit=64K')).slice(2)).toEqual([name, name])
  })

  test.each(
    ['aes128-ctr', 'aes192-ctr', 'aes256-ctr'].flatMap((cipher) =>
      ours.mac.map((mac) => [cipher, mac] as const),
    ),
  )('%s with %s', async (cipher, mac) => {
    expect((await echo('-c', cipher, '-m', mac)).slice(2)).toEqual([cipher, mac, cipher, mac])
  })
})

describe('new keys', () => {
  test('at the client’s wish, under load both ways', async () => {
    // OpenSSH takes its time over each: directly this takes ten times as long.
    const input = randomBytes(MIB)
    const { out } = await (await openWay()).ssh(['-o', 'RekeyLimit=128K', 'cat'], { input })
    expect(sha256(out)).toBe(sha256(input))
  })

  test('at our own wish, under load both ways', async () => {
    const own = await openWay({ connection: { hostKeys: HOST_KEYS, rekeyBytes: 256 * 1024 } })
    const input = randomBytes(6 * MIB)
    const { out } = await own.ssh(['cat'], { input })
    expect(sha256(out)).toBe(sha256(input))
  })
})

describe('files', () => {
  const content = randomBytes(3 * MIB)
  const place = (name: string) => join(sshd.folder, name)
  beforeAll(() => {
    writeFileSync(place('source'), content)
  })

  test('by sftp: put, get, list, rename, remove, and the record of them', async () => {
    const batch = [
      `put ${place('source')} ${place('uploaded')}`,
      `get ${place('uploaded')} ${place('downloaded')}`,
      `ls -l ${sshd.folder}`,
      `mkdir ${place('made')}`,
      `rename ${place('uploaded')} ${place('made/renamed')}`,
      `chmod 600 ${place('made/renamed')}`,
      `rm ${place('made/renamed')}`,
      `rmdir ${place('made')}`,
    ]
    const way = await openWay()
    const args = [...opensshOptions(way.port, key()), '-b', '-', `${sshd.user}@127.0.0.1`]
    const { code, err } = await run('sftp', args, { input: `${batch.join('\n')}\n` })
    expect([code, err]).toEqual([0, ''])
    expect(sha256(readFileSync(place('downloaded')))).toBe(sha256(content))
    expect(way.fileOperations).toEqual(
      expect.arrayContaining([
        'sftp.open uploaded',
        'sftp.mkdir made',
        'sftp.rename uploaded -> made/renamed',
        'sftp.setstat made/renamed',
        'sftp.remove made/renamed',
        'sftp.rmdir made',
      ]),
    )
    const hash = sha256(content)
    expect(way.metas).toContain(JSON.stringify({ written: { bytes: content.length, sha256: hash } }))
    expect(way.metas).toContain(JSON.stringify({ read: { bytes: content.length, sha256: hash } }))
    // Not a byte of the files is in the record.
    expect(way.records.filter((event) => event.type === 'data')).toEqual([])
  })

  test.each([
    ['by scp over SFTP', 'new', []],
    ['by scp as it was', 'old', ['-O']],
  ])('%s, both ways', async (_, name, flags) => {
    const way = await openWay()
    const remote = (file: string) => `${sshd.user}@127.0.0.1:${place(file)}`
    const scp = (...args: readonly string[]) =>
      run('scp', ['-q', ...flags, ...opensshOptions(way.port, key()), ...args])
    expect(await scp(place('source'), remote(`${name}-up`))).toMatchObject({ code: 0, err: '' })
    expect(way.metas).toContain(sha256(content))
    expect(await scp(remote(`${name}-up`), place(`${name}-down`))).toMatchObject({ code: 0, err: '' })
    expect(way.metas.split(sha256(content)).length).toBeGreaterThan(2)
    expect(sha256(readFileSync(place(`${name}-down`)))).toBe(sha256(content))
    const missing = await scp(remote('not-there'), place('x'))
    expect([missing.code, missing.err]).toEqual([1, expect.stringContaining('No such file')])
  })

  test('by SFTP that runs as a program of its own', async () => {
    const server = '/usr/lib/openssh/sftp-server'
    const way = await openWay()
    const args = [...opensshOptions(way.port, key()), '-s', server, '-b', '-', `${sshd.user}@127.0.0.1`]
    const { code } = await run('sftp', args, { input: `get ${place('source')} ${place('by-program')}\n` })
    expect(code).toBe(0)
    expect(way.fileOperations).toContain('sftp.open source')
    expect(way.metas).toContain(sha256(content))
    expect(statSync(place('by-program')).size).toBe(content.length)
  })
})

describe('other clients', () => {
  const ppk = () => join(sshd.folder, 'user.ppk')
  const host = () => `${sshd.user}@127.0.0.1`

  beforeAll(() => {
    spawnSync('puttygen', [key(), '-O', 'private', '-o', ppk()])
    spawnSync('dropbearconvert', ['openssh', 'dropbear', key(), `${key()}.dropbear`])
    writeFileSync(join(sshd.folder, 'for-putty'), randomBytes(3 * MIB))
  })

  test.each([
    ['its own choice', []],
    ['chacha20', ['-c', 'chacha20-poly1305@openssh.com']],
    ['CTR with a plain MAC', ['-c', 'aes128-ctr', '-m', 'hmac-sha2-256']],
  ])('dbclient, with %s', async (_, flags) => {
    const way = await openWay()
    const input = randomBytes(2 * MIB)
    const args = ['-y', '-y', '-q', '-i', `${key()}.dropbear`, '-p', String(way.port), ...flags, host()]
    const { code, out, err } = await run('dbclient', [...args, 'cat; echo done >&2; exit 7'], {
      input,
      env: { HOME: sshd.folder },
    })
    expect([code, sha256(out), err]).toEqual([7, sha256(input), expect.stringContaining('done')])
  })

  const putty = (program: string, way: Way, args: readonly string[], options: RunOptions = {}) => {
    const line = `ssh-ed25519 ${Buffer.from(HOST_KEYS[0]?.blob ?? []).toString('base64')}`
    const flags = [
      '-batch',
      '-hostkey',
      fingerprint(parseKeyLine(line).blob),
      '-i',
      ppk(),
      '-P',
      String(way.port),
    ]
    return run(program, [...flags, ...args], { ...options, env: { HOME: sshd.folder } })
  }

  test('plink, with data both ways and a status', async () => {
    const input = randomBytes(2 * MIB)
    const way = await openWay()
    const { code, out, err } = await putty('plink', way, [host(), 'cat; echo done >&2; exit 7'], { input })
    expect([code, sha256(out), err]).toEqual([7, sha256(input), 'done\n'])
  })

  test('pscp', async () => {
    const place = join(sshd.folder, 'by-pscp')
    const source = join(sshd.folder, 'for-putty')
    const way = await openWay()
    expect(await putty('pscp', way, ['-q', source, `${host()}:${place}`])).toMatchObject({ code: 0, err: '' })
    expect(sha256(readFileSync(place))).toBe(sha256(readFileSync(source)))
    expect(way.metas).toContain(sha256(readFileSync(source)))
  })

  test('psftp', async () => {
    const batch = join(sshd.folder, 'psftp-batch')
    const place = join(sshd.folder, 'by-psftp')
    writeFileSync(batch, `get ${join(sshd.folder, 'for-putty')} ${place}\nls ${sshd.folder}\n`)
    const way = await openWay()
    const { code, out } = await putty('psftp', way, ['-b', batch, host()])
    expect([code, out.toString()]).toEqual([0, expect.stringContaining('by-psftp')])
    expect(way.metas).toContain(sha256(readFileSync(place)))
  })
})

describe('many sessions on one connection', () => {
  test('run beside each other and each has its record', async () => {
    const way = await openWay()
    const control = join(sshd.folder, 'control')
    const master = [
      '-M',
      '-N',
      '-f',
      '-S',
      control,
      '-o',
      'ControlPersist=yes',
      ...opensshOptions(way.port, key()),
    ]
    expect(await run('ssh', [...master, `${sshd.user}@127.0.0.1`])).toMatchObject({ code: 0 })
    const session = (command: string, input?: string) =>
      run('ssh', ['-F', 'none', '-S', control, 'gateway', command], input === undefined ? {} : { input })
    const outcomes = await Promise.all([
      session('sleep 0.3; echo slow'),
      session('cat', 'x'.repeat(100_000)),
      ...Array.from({ length: 6 }, (_, i) => session(`echo ${i}; exit ${i}`)),
    ])
    expect(outcomes.map(({ code, out }) => [code, out.length])).toEqual([
      [0, 5],
      [0, 100_000],
      ...Array.from({ length: 6 }, (_, i) => [i, 2]),
    ])
    expect(way.connections).toBe(1)
    expect(way.records.filter((event) => event.type === 'begin')).toHaveLength(8)
    expect(way.records.filter((event) => event.type === 'end')).toHaveLength(8)
    await run('ssh', ['-F', 'none', '-S', control, '-O', 'exit', 'gateway'])
  })
})

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
    const way = await openWay()
    const { code, out } = await way.ssh(['-W', `127.0.0.1:${port}`, ''], { input: '' })
    expect([code, out.toString()]).toEqual([0, 'hello from the other side\n'])
    expect(payloadText(way.records[0], 'addr')).toBe(`127.0.0.1:${port}`)
    expect(JSON.parse(payloadText(way.records.at(-1), 'meta'))).toEqual({
      sent: 0,
      received: 26,
      content: 'not recorded',
    })
  })

  test('nowhere else, and the person is told why', async () => {
    const refusal = { cause: 'access', what: 'no tunnels here', why: '', next: '', record: '' } as const
    const way = await openWay({ judge: () => ({ allow: false, refusal }) })
    const flags = ['-o', 'LogLevel=INFO', '-W', `127.0.0.1:${sshd.port}`, '']
    const { code, err } = await way.ssh(flags, { input: '' })
    expect([code, err]).toEqual([255, expect.stringContaining('no tunnels here')])
    expect(way.records).toMatchObject([{ type: 'decision', act: 'ssh.forward' }])
  })

  test('from a port at the host to the person', async () => {
    const port = await greeter()
    const listening = await freePort()
    const way = await openWay()
    const flags = ['-N', '-R', `${listening}:127.0.0.1:${port}`, ...opensshOptions(way.port, key())]
    const session = background('ssh', [...flags, `${sshd.user}@127.0.0.1`])
    expect(await heardFrom({ host: '127.0.0.1', port: listening })).toBe('hello from the other side\n')
    await session.stop()
    expect(way.records.map((event) => [event.type, payloadText(event, 'addr')])).toEqual(
      expect.arrayContaining([
        ['begin', `localhost:${listening}`],
        ['end', ''],
      ]),
    )
  })

  test('between sockets with paths, both ways', async () => {
    const path = (name: string) => join(sshd.folder, name)
    await greeter(path('greeter'))
    const way = await openWay()
    const flags = [
      '-N',
      '-L',
      `${path('near')}:${path('greeter')}`,
      '-R',
      `${path('far')}:${path('greeter')}`,
    ]
    const session = background('ssh', [
      ...flags,
      ...opensshOptions(way.port, key()),
      `${sshd.user}@127.0.0.1`,
    ])
    expect(await heardFrom({ path: path('near') })).toBe('hello from the other side\n')
    expect(await heardFrom({ path: path('far') })).toBe('hello from the other side\n')
    await session.stop()
  })

  test('of the person’s agent, where it is allowed', async () => {
    const socket = join(sshd.folder, 'agent')
    const agent = background('ssh-agent', ['-D', '-a', socket])
    await until(() => existsSync(socket))
    const env = { SSH_AUTH_SOCK: socket }
    await run('ssh-add', ['-q', key()], { env })
    const way = await openWay({ relay: { agentForwarding: true } })
    const { code, out } = await way.ssh(['-A', 'ssh-add -l; ssh-add -l >/dev/null'], { env })
    expect([code, out.toString()]).toEqual([0, expect.stringContaining('ED25519')])
    const closed = await openWay()
    expect((await closed.ssh(['-A', 'ssh-add -l'], { env })).code).not.toBe(0)
    await agent.stop()
  })

  test('through us to another SSH, which then is not seen into', async () => {
    const way = await openWay()
    const jump = `ProxyCommand=ssh ${opensshOptions(way.port, key()).join(' ')} -W %h:%p ${sshd.user}@127.0.0.1`
    const { code, out } = await ssh(sshd, sshd.port, ['-o', jump, 'echo behind; exit 9'])
    expect([code, out.toString()]).toEqual([9, 'behind\n'])
    expect(way.records[0]).toMatchObject({ type: 'begin', act: 'ssh.forward' })
  })
})

describe('authentication', () => {
  const askpass = (name: string, script: string): Record<string, string> => {
    const path = join(sshd.folder, name)
    writeFileSync(path, `#!/bin/sh\n${script}\n`, { mode: 0o755 })
    return { SSH_ASKPASS: path, SSH_ASKPASS_REQUIRE: 'force', DISPLAY: 'x' }
  }

  test('by a key and then a code, asked for in two steps', async () => {
    const way = await openWay({
      prove: (proof): ProofAnswer => {
        switch (proof.type) {
          case 'key-query':
            return { type: 'known' }
          case 'key':
            return { type: 'partial', methods: ['keyboard-interactive'] }
          case 'interactive':
            return {
              type: 'prompt',
              name: '',
              instruction: 'Second factor',
              prompts: [{ text: 'Code: ', echo: false }],
            }
          case 'responses':
            return proof.responses[0] === '123456' ? { type: 'accept' } : { type: 'reject' }
          case 'password':
            return { type: 'reject' }
        }
      },
    })
    const right = await way.ssh(['echo in'], { env: askpass('right', 'echo 123456') })
    expect([right.code, right.out.toString()]).toEqual([0, 'in\n'])
    const wrong = await way.ssh(['-o', 'NumberOfPasswordPrompts=1', 'echo in'], {
      env: askpass('wrong', 'echo 000000'),
    })
    expect([wrong.code, wrong.err]).toEqual([
      255,
      expect.stringContaining('Permission denied (keyboard-interactive)'),
    ])
  })

  test('by a password, and by none of many keys', async () => {
    const tried: string[] = []
    const way = await openWay({
      prove: (proof): ProofAnswer => {
        tried.push(proof.type)
        return proof.type === 'password' && proof.password === 'open sesame'
          ? { type: 'accept' }
          : { type: 'reject' }
      },
    })
    const keys = Array.from({ length: 12 }, (_, i) => join(sshd.folder, `many-${i}`))
    for (const path of keys) spawnSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', path])
    const flags = keys.flatMap((path) => ['-i', path])
    const { code, out } = await way.ssh([...flags, 'echo in'], {
      env: askpass('password', 'echo open sesame'),
    })
    expect([code, out.toString()]).toEqual([0, 'in\n'])
    expect(tried.filter((type) => type === 'key-query').length).toBeGreaterThanOrEqual(12)
  })

  test('by a certificate, and what it forces', async () => {
    const path = (name: string) => join(sshd.folder, name)
    for (const name of ['ca', 'certified'])
      spawnSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', path(name)])
    spawnSync('ssh-keygen', [
      '-q',
      '-s',
      path('ca'),
      '-I',
      'alice',
      '-n',
      'alice',
      '-V',
      '+1h',
      path('certified.pub'),
    ])
    const authority = parseKeyLine(readFileSync(path('ca.pub'), 'utf8')).blob
    const seen: string[] = []
    const way = await openWay({
      relay: { forceCommand: 'echo forced' },
      prove: (proof): ProofAnswer => {
        if (proof.type !== 'key' && proof.type !== 'key-query') return { type: 'reject' }
        const { certificate } = proof.offered
        if (certificate === undefined) return { type: 'reject' }
        const now = BigInt(Math.floor(Date.now() / 1000))
        const verdict = checkCertificate(certificate, {
          authorities: [authority],
          principals: ['alice'],
          now,
          addressIn: () => true,
          verifiedUser: false,
        })
        seen.push(verdict.valid ? verdict.grant.keyId : verdict.reason)
        if (!verdict.valid) return { type: 'reject' }
        return proof.type === 'key' ? { type: 'accept' } : { type: 'known' }
      },
    })
    const flags = ['-F', 'none', '-p', String(way.port), '-i', path('certified'), '-o', 'IdentitiesOnly=yes']
    const { code, out } = await run('ssh', [
      ...flags,
      ...['-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null', '-o', 'LogLevel=ERROR'],
      `${sshd.user}@127.0.0.1`,
      'rm -rf /',
    ])
    expect([code, out.toString(), seen]).toEqual([0, 'forced\n', ['alice', 'alice']])
  })
})

describe('a refused program is explained', () => {
  const refusal = {
    cause: 'access',
    what: 'no access to "web-1" for alice',
    why: 'no role grants target web-1',
    next: '',
    record: '',
  } as const
  const denied = () => openWay({ judge: () => ({ allow: false, refusal }) })

  test('to ssh', async () => {
    const { code, out, err } = await (await denied()).ssh(['id'])
    expect([code, out.length, err]).toEqual([
      77,
      0,
      'gatebook: no access to "web-1" for alice\n  why : no role grants target web-1\n  id  : k3v5o2n7q4w6x2za.1\n',
    ])
  })

  test('to sftp and scp', async () => {
    const way = await denied()
    const flags = opensshOptions(way.port, key())
    const sftp = await run('sftp', [...flags, '-b', '-', `${sshd.user}@127.0.0.1`], { input: 'ls\n' })
    const scp = await run('scp', [...flags, key(), `${sshd.user}@127.0.0.1:/tmp/x`])
    for (const { code, err } of [sftp, scp]) {
      expect(code).not.toBe(0)
      expect(err).toContain('why : no role grants target web-1')
    }
  })
})

async function until(holds: () => boolean): Promise<void> {
  for (let attempt = 0; !holds() && attempt < 100; attempt++)
    await new Promise((resolve) => setTimeout(resolve, 20))
}
