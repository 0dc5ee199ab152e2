/**
 * Our server role and ssh2's Client between real clients and Debian's sshd. Wherever it can be said, the test is
 * that the same command says the same directly and through us.
 */
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { TestGateway } from '../../support/gateway.ts'
import {
  converse,
  type Outcome,
  opensshOptions,
  type RunOptions,
  run,
  sha256,
} from '../../support/ssh-clients.ts'
import { closedBook, gatewayOptions, sshDirectly, sshThrough } from '../../support/ssh-gateway.ts'
import { SharedConnection } from '../../support/ssh-shared.ts'
import { type Sshd, startSshd } from '../../support/ssh-sshd.ts'
import { gatewaysOfEachTest } from './each-test.ts'

const MIB = 1024 * 1024

let sshd: Sshd

beforeAll(async () => {
  sshd = await startSshd()
})

afterAll(() => {
  sshd.stop()
})

const remote = 'alice@127.0.0.1'

const openGateway = gatewaysOfEachTest(() => sshd)

const through = (gateway: TestGateway, args: readonly string[], options: RunOptions = {}) =>
  sshThrough(sshd, gateway, args, { login: 'alice', ...options })

/** The same said both ways. */
async function same(args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const gateway = await openGateway()
  const [ours, theirs] = await Promise.all([
    through(gateway, args, options),
    sshDirectly(sshd, args, options),
  ])
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
    const gateway = await openGateway()
    const { out } = await through(gateway, ['cat'], { input })
    expect(sha256(out)).toBe(sha256(input))
    const [operation] = (await closedBook(gateway)).operations
    expect(operation?.meta).toEqual({ stdin: { bytes: 20 * MIB, sha256: sha256(input) } })
    expect(operation?.bytes).toBe(20 * MIB)
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

describe('over a shared connection, whose client closes a channel as soon as both directions have ended', () => {
  const shared = async (command: string, input = '') => {
    const gateway = await openGateway()
    const connection = await SharedConnection.open(sshd, gateway)
    const outcome = await connection.run(command, { input })
    await connection.end()
    return outcome
  }

  test('a program still says how it ends', async () => {
    expect(await shared('exec >&- 2>&-; sleep 0.3; exit 3')).toMatchObject({ code: 3 })
  })

  test('a program still has all of its input', async () => {
    const input = 'all of it'.repeat(300_000)
    const file = join(sshd.folder, 'taken')
    expect(await shared(`exec >&- 2>&-; sleep 0.3; cat > ${file}`, input)).toMatchObject({ code: 0 })
    expect(sha256(readFileSync(file))).toBe(sha256(Buffer.from(input)))
  })
})

describe('a terminal is the same terminal', () => {
  /** A real one, of a size and with modes that nobody has by default. */
  const inTerminal = (flags: readonly string[], destination: string, command: string) => {
    const ssh = ['ssh', '-tt', ...flags, destination, `'${command}'`].join(' ')
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
    const gateway = await openGateway()
    const [ours, theirs] = await Promise.all([
      inTerminal(gatewayOptions(sshd, gateway), remote, command),
      inTerminal(opensshOptions(sshd.port, join(sshd.folder, 'user')), `${sshd.user}@127.0.0.1`, command),
    ])
    // `script` has no input itself, and shows the end of it whenever it comes to know.
    const text = ({ out }: Outcome) => out.toString().replaceAll('^@', '').trim()
    expect(text(ours)).toBe(text(theirs))
    expect(text(ours)).toContain('rows 33; columns 77')
    expect(text(ours)).toMatch(/quit = \^A;.* erase = \^H/)
    expect(text(ours)).toContain('screen-256color\r\n33 77')
  })

  test('and what is entered there is derived from what it shows', async () => {
    const gateway = await openGateway()
    const prompt = /p\$ $/
    const secretly = 'stty -echo; printf word:; read word; stty echo'
    const { code, out } = await converse(
      'ssh',
      [
        '-tt',
        ...gatewayOptions(sshd, gateway),
        remote,
        'TERM=xterm PS1="p$ " exec bash --norc --noprofile -i',
      ],
      [
        [prompt, 'echo one  two\r'],
        [prompt, 'fals\u{7f}se\r'],
        // It asks once it has turned echo off: what is typed sooner is shown, by every host.
        [prompt, `${secretly}\r`],
        [/word:$/, 'correct horse\r'],
        [prompt, 'stty -echo\r'],
        [prompt, 'echo unseen $((40 + 2))\r'],
        [/unseen 42[\s\S]*p\$ $/, 'stty echo\r'],
        [prompt, `${'\u{1b}[A'.repeat(6)}\r`],
        [prompt, 'exit 4\r'],
      ],
    )
    expect([code, out.toString()]).toEqual([4, expect.stringContaining('unseen 42')])
    const book = await closedBook(gateway)
    expect(book.commands).toEqual([
      'echo one  two',
      'false',
      secretly,
      'stty -echo',
      'echo one  two',
      'exit 4',
    ])
    // Neither in what was shown nor anywhere else.
    for (const payload of book.payloads) expect(payload.includes('correct horse')).toBe(false)
    expect(book.operations.at(-1)?.meta).toMatchObject({ unechoed: { lines: 3 } })
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
    const gateway = await openGateway()
    const { code, out, err } = await through(gateway, [...args, 'cat; head -c 300000 /dev/zero'], {
      input: 'x'.repeat(100_000),
    })
    expect([code, out.length, err]).toEqual([0, 400_000, ''])
    const [session] = (await gateway.finish()).sessions
    const claims = session?.who['claims'] as Record<string, string> | undefined
    return claims?.['algorithms']
  }

  test.each(ours.kex)('%s', async (name) => {
    expect(await echo('-o', `KexAlgorithms=${name}`)).toMatch(new RegExp(`^${name} `))
  })

  test.each(ours.hostKey)('%s', async (name) => {
    expect(await echo('-o', `HostKeyAlgorithms=${name}`)).toContain(` ${name} `)
  })

  test.each(ours.cipher)('%s, with new keys every 64 KiB', async (name) => {
    expect(await echo('-c', name, '-o', 'RekeyLimit=64K')).toContain(`${name} ${name}`)
  })

  test.each(
    ['aes128-ctr', 'aes192-ctr', 'aes256-ctr'].flatMap((cipher) =>
      ours.mac.map((mac) => [cipher, mac] as const),
    ),
  )('%s with %s', async (cipher, mac) => {
    expect(await echo('-c', cipher, '-m', mac)).toContain(`${cipher} ${mac} ${cipher} ${mac}`)
  })
})

describe('new keys', () => {
  test('at the client’s wish, under load both ways', async () => {
    // OpenSSH takes its time over each: directly this takes ten times as long.
    const input = randomBytes(MIB)
    const { out } = await through(await openGateway(), ['-o', 'RekeyLimit=128K', 'cat'], { input })
    expect(sha256(out)).toBe(sha256(input))
  })
})

describe('many sessions on one connection', () => {
  test('run beside each other and each has its record', async () => {
    const gateway = await openGateway()
    const connection = await SharedConnection.open(sshd, gateway)
    const session = (command: string, input?: string) =>
      connection.run(command, input === undefined ? {} : { input })
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
    await connection.end()
    const { sessions } = await gateway.finish()
    expect(sessions).toHaveLength(1)
    expect(
      sessions[0]?.operations.filter(({ act, out }) => act === 'ssh.exec' && out !== undefined),
    ).toHaveLength(8)
  })
})
