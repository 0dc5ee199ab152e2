/**
 * ssh2's Client under host.ts, with our own server role as the host: each is the other's independent peer. What
 * host.ts uses of ssh2's inside is held to the installed version here.
 */
import { createHmac, generateKeyPairSync } from 'node:crypto'
import { connect, createServer } from 'node:net'
import { describe, expect, test, vi } from 'vitest'
import type { Proof, ProofAnswer } from '../../../protocols/ssh/auth.ts'
import { HostConnection, HostError, readHostKey } from '../../../protocols/ssh/host.ts'
import { hostKey } from '../../../protocols/ssh/host-keys.ts'
import type { HostOptions } from '../../../protocols/ssh/host-options.ts'
import { type HostPin, parseHostPin, parseKnownHosts } from '../../../protocols/ssh/host-pins.ts'
import { fingerprint } from '../../../protocols/ssh/keys.ts'
import type { HostCommand, HostEvent, Terminal } from '../../../protocols/ssh/steps.ts'
import { MODES } from '../../support/ssh-channel-talk.ts'
import { Gate, type GateOptions } from '../../support/ssh-gate.ts'
import { ed25519Blob, ed25519Key, HOST_KEY } from '../../support/ssh-keys.ts'
import { Programs } from '../../support/ssh-programs.ts'
import { toHex } from '../../support/ssh-vectors.ts'

const RSA = hostKey(generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey)
const line = (blob: Uint8Array, type = 'ssh-ed25519') => `${type} ${Buffer.from(blob).toString('base64')}`
const pin = (blob: Uint8Array = HOST_KEY.blob) => parseHostPin(line(blob))
const bytes = (text: string) => new TextEncoder().encode(text)

/** A host on the loopback: our server role, with the programs of the tests. */
class TestHost {
  readonly proofs: Proof[] = []
  readonly programs: Programs[] = []
  readonly gates: Gate[] = []
  port = 0

  static async listen(
    over: Partial<GateOptions> = {},
    prove?: (proof: Proof) => ProofAnswer,
  ): Promise<TestHost> {
    const host = new TestHost()
    const server = createServer((socket) => {
      const gate = new Gate(socket, {
        connection: { hostKeys: [HOST_KEY, RSA] },
        relay: { agentForwarding: true, variables: ['LANG'] },
        prove: (proof) => {
          host.proofs.push(proof)
          return prove?.(proof) ?? { type: 'accept' }
        },
        host: (tell) => {
          const programs = new Programs(tell)
          host.programs.push(programs)
          return programs
        },
        ...over,
      })
      host.gates.push(gate)
    }).unref()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    if (address !== null && typeof address !== 'string') host.port = address.port
    return host
  }

  /** What the host was told, as its own programs see it. */
  get commands(): readonly HostCommand[] {
    return this.programs.flatMap(({ commands }) => commands)
  }
}

class Leg {
  readonly events: HostEvent[] = []
  lost: string | undefined
  connection: HostConnection | undefined
  #waiting: { holds: () => boolean; resolve: () => void }[] = []

  static async open(host: TestHost, over: Partial<HostOptions> = {}): Promise<Leg> {
    const leg = new Leg()
    const options = {
      user: 'deploy',
      credential: { type: 'password', password: 'injected' } as const,
      pins: [pin()],
      readyTimeoutMs: 5000,
      keepaliveMs: 0,
      ...over,
    }
    const tell = (event: HostEvent): void => {
      leg.events.push(event)
      leg.#check()
    }
    leg.connection = await HostConnection.open(connect(host.port, '127.0.0.1'), options, tell, (message) => {
      leg.lost = message
      leg.#check()
    })
    return leg
  }

  command(...commands: readonly HostCommand[]): void {
    for (const command of commands) this.connection?.command(command)
  }

  until(holds: () => boolean): Promise<void> {
    if (holds()) return Promise.resolve()
    return new Promise((resolve) => this.#waiting.push({ holds, resolve }))
  }

  seen(type: HostEvent['type'], count = 1): Promise<void> {
    return this.until(() => this.events.filter((event) => event.type === type).length >= count)
  }

  received(stream: 'output' | 'stderr'): Uint8Array {
    return Buffer.concat(
      this.events.flatMap((event) => (event.type === 'data' && event.stream === stream ? [event.bytes] : [])),
    )
  }

  get types(): string[] {
    return this.events.map((event) => event.type)
  }

  #check(): void {
    for (const waiting of this.#waiting) if (waiting.holds()) waiting.resolve()
  }
}

function start(command: string, over: Partial<Extract<HostCommand, { type: 'start' }>> = {}): HostCommand {
  const program = { type: 'exec', command: bytes(command) } as const
  return { type: 'start', channel: 5, program, terminal: undefined, variables: [], agent: false, ...over }
}

const TERMINAL: Terminal = { term: 'xterm', columns: 132, rows: 50, width: 1, height: 2, modes: MODES }

describe('the host must be the pinned one', () => {
  test.each([
    ['its key', () => [pin()]],
    ['its fingerprint', () => [parseHostPin(`ssh-ed25519 ${fingerprint(HOST_KEY.blob)}`)]],
    ['another of its keys, which then is the one asked for', () => [parseHostPin(line(RSA.blob, 'ssh-rsa'))]],
    ['one of several', () => [pin(ed25519Blob(ed25519Key(8))), pin()]],
  ] as [string, () => HostPin[]][])('by %s', async (_, pins) => {
    const host = await TestHost.listen()
    const leg = await Leg.open(host, { pins: pins() })
    leg.connection?.end()
    expect(host.proofs.length).toBeGreaterThan(0)
  })

  test('else nothing is told it: no user, no password', async () => {
    const host = await TestHost.listen()
    const opened = Leg.open(host, { pins: [pin(ed25519Blob(ed25519Key(8)))] })
    await expect(opened).rejects.toMatchObject({
      code: 'host-key',
      message: `the host shows a key that is not pinned: ${fingerprint(HOST_KEY.blob)}`,
    })
    expect(host.proofs).toEqual([])
  })

  test('and without any pin nothing is dialled', async () => {
    const host = await TestHost.listen()
    await expect(Leg.open(host, { pins: [] })).rejects.toMatchObject({ code: 'host-key' })
    expect(host.gates).toHaveLength(0)
  })

  test('its key can be looked at without logging in', async () => {
    const host = await TestHost.listen()
    const blob = await readHostKey(connect(host.port, '127.0.0.1'), 5000)
    expect([toHex(HOST_KEY.blob), toHex(RSA.blob)]).toContain(toHex(blob))
    expect(host.proofs).toEqual([])
  })
})

describe('known_hosts', () => {
  const key = line(HOST_KEY.blob)
  const matches = (file: string, host = 'web-1.internal', port = 22) =>
    parseKnownHosts(file, host, port).some((found) => found.matches(HOST_KEY.blob))

  test.each([
    [`web-1.internal ${key}`, true],
    [`# comment\n\nother,web-1.internal ${key} comment\n`, true],
    [`other ${key}`, false],
    [`*.internal ${key}`, false],
    [`[web-1.internal]:2222 ${key}`, false],
    // ssh-keygen -H of the name above.
    [`|1|c2FsdHNhbHRzYWx0c2FsdHNhbHQ=|HASH ${key}`, true],
    [`web-1.internal ${key}\n@revoked * ${key}\n@revoked web-1.internal ${key}`, false],
  ])('%j', (file, expected) => {
    const hash = Buffer.from(
      new Uint8Array(
        // The hash of the name under the salt, as sshd(8) describes it.
        hmac('saltsaltsaltsaltsalt', 'web-1.internal'),
      ),
    ).toString('base64')
    expect(matches(file.replace('HASH', hash))).toBe(expected)
  })

  test('names a port where it is not 22', () => {
    expect(matches(`[web-1.internal]:2222 ${key}`, 'web-1.internal', 2222)).toBe(true)
  })

  test('that trusts an authority is refused, for that cannot be checked', () => {
    expect(() => matches(`@cert-authority web-1.internal ${key}`)).toThrow('line 1 trusts an authority')
  })

  test.each(['ssh-ed25519 SHA256:short', 'ssh-dss SHA256:AAAA', 'ssh-ed25519 AAAA', ''])(
    'a pin %j is none',
    (bad) => {
      expect(() => parseHostPin(bad)).toThrow(expect.objectContaining({ name: 'ProtocolError' }))
    },
  )
})

describe('the injected credential', () => {
  test('is a password, and an answer to a single hidden prompt for one', async () => {
    const host = await TestHost.listen(
      { connection: { hostKeys: [HOST_KEY], methods: ['keyboard-interactive'] } },
      (proof) => {
        if (proof.type === 'interactive') {
          return { type: 'prompt', name: '', instruction: '', prompts: [{ text: 'Password: ', echo: false }] }
        }
        return proof.type === 'responses' && proof.responses[0] === 'injected'
          ? { type: 'accept' }
          : { type: 'reject' }
      },
    )
    const leg = await Leg.open(host)
    leg.connection?.end()
    expect(host.proofs.at(-1)).toEqual({ type: 'responses', user: 'deploy', responses: ['injected'] })
  })

  test('goes to no other prompt', async () => {
    const host = await TestHost.listen(
      { connection: { hostKeys: [HOST_KEY], methods: ['keyboard-interactive'] } },
      (proof) =>
        proof.type === 'interactive'
          ? {
              type: 'prompt',
              name: '',
              instruction: '',
              prompts: [{ text: 'Your favourite colour: ', echo: true }],
            }
          : { type: 'reject' },
    )
    await expect(Leg.open(host)).rejects.toBeInstanceOf(HostError)
    expect(host.proofs.some((proof) => JSON.stringify(proof).includes('injected'))).toBe(false)
  })

  test('is a key', async () => {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    const host = await TestHost.listen({}, (proof) =>
      proof.type === 'key-query' ? { type: 'known' } : { type: 'accept' },
    )
    const key = privateKey.export({ format: 'pem', type: 'pkcs1' }).toString()
    const leg = await Leg.open(host, { credential: { type: 'key', privateKey: key } })
    leg.connection?.end()
    expect(host.proofs.map(({ type }) => type)).toEqual(['key-query', 'key'])
  })

  test('comes with what the host says to whoever logs in', async () => {
    const leg = await Leg.open(
      await TestHost.listen({ connection: { hostKeys: [HOST_KEY], banner: 'Welcome.\n' } }),
    )
    expect(leg.events).toEqual([{ type: 'banner', text: 'Welcome.\n' }])
    leg.connection?.end()
  })

  test('that the host does not take is said to be the reason', async () => {
    const host = await TestHost.listen({}, () => ({ type: 'reject' }))
    await expect(Leg.open(host)).rejects.toMatchObject({ name: 'HostError', code: 'credential' })
  })

  test('a host that is not there is unreachable', async () => {
    const host = new TestHost()
    host.port = 1
    await expect(Leg.open(host)).rejects.toMatchObject({ code: 'unreachable' })
  })
})

describe('a program at the host', () => {
  test('gets what came before it ran, in order, and its end comes behind its output', async () => {
    const leg = await Leg.open(await TestHost.listen())
    leg.command(
      start('cat'),
      { type: 'write', channel: 5, bytes: bytes('one ') },
      { type: 'write', channel: 5, bytes: bytes('two') },
      { type: 'eof', channel: 5 },
    )
    leg.connection?.credit(5, 1000)
    await leg.seen('closed')
    expect(new TextDecoder().decode(leg.received('output'))).toBe('one two')
    expect(leg.types.filter((type) => type !== 'data' && type !== 'taken')).toEqual([
      'started',
      'eof',
      'ending',
      'closed',
    ])
    expect(leg.events).toContainEqual({
      type: 'ending',
      channel: 5,
      ending: { type: 'exit-status', status: 0 },
    })
    const taken = leg.events.reduce((sum, event) => (event.type === 'taken' ? sum + event.bytes : sum), 0)
    expect(taken).toBe(7)
    leg.connection?.end()
  })

  test('has its terminal, with modes byte for byte, its environment and its command', async () => {
    const host = await TestHost.listen()
    const leg = await Leg.open(host)
    const value = Uint8Array.of(0x63, 0xff, 0x63)
    const program = { type: 'exec', command: Uint8Array.of(0x63, 0x61, 0x74, 0x20, 0xfe) } as const
    leg.command(start('', { program, terminal: TERMINAL, variables: [{ name: 'LANG', value }] }))
    await leg.seen('started')
    const [started] = host.commands
    if (started?.type !== 'start' || started.program.type !== 'exec') throw new Error('nothing started')
    expect(toHex(started.program.command)).toBe('63617420fe')
    expect(started.terminal).toMatchObject({ term: 'xterm', columns: 132, rows: 50, width: 1, height: 2 })
    expect(toHex(started.terminal?.modes ?? value)).toBe(toHex(MODES))
    expect(started.variables.map((variable) => [variable.name, toHex(variable.value)])).toEqual([
      ['LANG', '63ff63'],
    ])
    leg.connection?.end()
  })

  test('a shell with a terminal and without, and a subsystem', async () => {
    const host = await TestHost.listen()
    const leg = await Leg.open(host)
    leg.command(
      start('', { channel: 1, program: { type: 'shell' }, terminal: TERMINAL }),
      start('', { channel: 2, program: { type: 'shell' } }),
      start('', { channel: 3, program: { type: 'subsystem', name: 'netconf' } }),
    )
    await leg.seen('started', 3)
    expect(
      host.commands.map(
        (command) => command.type === 'start' && [command.program, command.terminal !== undefined],
      ),
    ).toEqual(
      // Each on its own channel: the one with a terminal waits for an answer to that first.
      expect.arrayContaining([
        [{ type: 'shell' }, true],
        [{ type: 'shell' }, false],
        [{ type: 'subsystem', name: 'netconf' }, false],
      ]),
    )
    leg.connection?.end()
  })

  test('is told of sizes, signals and breaks, behind the end of its input too', async () => {
    const host = await TestHost.listen()
    const leg = await Leg.open(host)
    leg.command(start('wait', { terminal: TERMINAL }), { type: 'eof', channel: 5 })
    await leg.seen('started')
    const size = { columns: 90, rows: 30, width: 0, height: 0 }
    leg.command(
      { type: 'resize', channel: 5, size },
      { type: 'signal', channel: 5, signal: 'HUP' },
      { type: 'signal', channel: 5, signal: 'NOSUCHSIGNAL' },
      { type: 'break', channel: 5, milliseconds: 500 },
    )
    await vi.waitUntil(() => host.commands.some(({ type }) => type === 'break'))
    const told = host.commands.filter(({ type }) => type !== 'start' && type !== 'eof')
    expect(told).toEqual([
      { type: 'resize', channel: 0, size },
      { type: 'signal', channel: 0, signal: 'HUP' },
      { type: 'break', channel: 0, milliseconds: 500 },
    ])
    leg.connection?.end()
  })

  test('that the host refuses is said to be refused', async () => {
    const leg = await Leg.open(await TestHost.listen({ judge: () => new Promise(() => undefined) }))
    leg.command({
      type: 'connect',
      channel: 5,
      destination: { type: 'direct-tcpip', host: 'x', port: 1, originator: '', originatorPort: 0 },
    })
    const other = await Leg.open(
      await TestHost.listen({
        judge: () => ({
          allow: false,
          refusal: { cause: 'access', what: 'not from here', why: '', next: '', record: '' },
        }),
      }),
    )
    other.command({
      type: 'connect',
      channel: 5,
      destination: { type: 'direct-tcpip', host: 'x', port: 1, originator: '', originatorPort: 0 },
    })
    await other.seen('refused')
    expect(other.events).toEqual([
      { type: 'refused', channel: 5, reason: 1, message: expect.stringContaining('not from here') },
    ])
    leg.connection?.end()
    other.connection?.end()
  })

  test('sends no more than its credit and a packet of each stream', async () => {
    const leg = await Leg.open(await TestHost.listen())
    leg.command(start('both 4'))
    leg.connection?.credit(5, 100_000)
    await leg.until(() => leg.received('output').length + leg.received('stderr').length >= 100_000)
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(leg.received('output').length + leg.received('stderr').length).toBeLessThanOrEqual(
      100_000 + 2 * 32_768,
    )
    leg.connection?.credit(5, 10_000_000)
    await leg.seen('closed')
    expect([leg.received('output').length, leg.received('stderr').length]).toEqual([4 << 20, 4 << 20])
    leg.connection?.end()
  })

  test('closed by the person, it is closed at the host whatever it still wants to say', async () => {
    const host = await TestHost.listen()
    const leg = await Leg.open(host)
    leg.command(start('both 8'))
    leg.connection?.credit(5, 1)
    await leg.seen('data')
    leg.command({ type: 'close', channel: 5 })
    await leg.seen('closed')
    const early = await Leg.open(host)
    early.command(start('cat'), { type: 'close', channel: 5 })
    await early.seen('closed')
    expect(early.types).toContain('closed')
    leg.connection?.end()
    early.connection?.end()
  })
})

describe('a host that goes away', () => {
  test('is told of once', async () => {
    const host = await TestHost.listen()
    const leg = await Leg.open(host)
    leg.command(start('cat'))
    await leg.seen('started')
    host.gates[0]?.run(host.gates[0].connection.end('target'))
    await leg.until(() => leg.lost !== undefined)
    expect(() => leg.command(start('cat'), { type: 'write', channel: 5, bytes: bytes('x') })).not.toThrow()
  })

  test('is not, when it was us who went', async () => {
    const leg = await Leg.open(await TestHost.listen())
    leg.connection?.end()
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(leg.lost).toBeUndefined()
  })
})

function hmac(salt: string, name: string): Uint8Array {
  return createHmac('sha1', salt).update(name).digest()
}
