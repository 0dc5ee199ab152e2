/**
 * Commands that no client at hand sends, as bytes: the same ones go to the server directly and through the
 * relay, and the answers must be the same bytes.
 */
import { connect as dial, type Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { capabilities, EXTENDED, FLAG } from '../../../protocols/mysql/capabilities.ts'
import { connect, type Login } from '../../../protocols/mysql/index.ts'
import { execute, prepare, query, u32 } from '../../protocols/mysql/relay-setting.ts'
import { join, packet, text } from '../../support/mysql-play.ts'
import { Line, recorded, SECRET, type Session, startGateway } from './gateway.ts'
import { type Server, startServer } from './server.ts'

let server: Server

beforeAll(async () => {
  server = await startServer()
  const { socket } = await login(server.port, 'app', 'app secret', {})
  const asked = ask(socket, false)
  await asked([
    query('create table shop.n (i int, s text)'),
    query("insert into shop.n values (1, 'a'), (2, 'b'), (3, 'c')"),
    query('create procedure shop.two(x int) begin select x; select i from n; end'),
  ])
  socket.destroy()
}, 60_000)

afterAll(async () => {
  await server[Symbol.asyncDispose]()
})

interface Flags {
  readonly flags?: number
  readonly extended?: number
}

async function login(
  port: number,
  user: string,
  password: string,
  flags: Flags,
): Promise<{ socket: Socket }> {
  const line = new Line(dial(port, '127.0.0.1'))
  const both = FLAG.MULTI_STATEMENTS | FLAG.MULTI_RESULTS | FLAG.PS_MULTI_RESULTS | FLAG.TRANSACTIONS
  const wanted = { capabilities: capabilities(both | (flags.flags ?? 0), flags.extended ?? 0), charset: 45 }
  const ready = await line.run(
    connect({
      tls: 'off',
      credential: { user, password },
      // Only its flags and its character set are looked at, and an OK is made that nobody reads.
      login: { ...wanted, sequence: 0, signature: new Uint8Array(0) } as Login,
      database: 'shop',
      attributes: [],
      random: (length) => new Uint8Array(length),
    }),
    () => Promise.reject(new Error('no TLS here')),
    () => undefined,
  )
  if (ready.type === 'failure') throw new Error(ready.message)
  line.socket.removeAllListeners('data')
  return { socket: line.socket }
}

/** Sends commands in one write, and reads up to the end of a query that is put behind them. */
function ask(socket: Socket, deprecated: boolean) {
  let turn = 0
  return async (commands: readonly Uint8Array[]): Promise<Uint8Array> => {
    const mark = `end of turn ${++turn}`
    let answer = new Uint8Array(0)
    const whole = new Promise<Uint8Array>((resolve, reject) => {
      const take = (chunk: Buffer): void => {
        answer = join(answer, chunk) as Uint8Array<ArrayBuffer>
        if (!ends(answer, mark, deprecated)) return
        socket.off('data', take)
        resolve(answer)
      }
      socket.on('data', take)
      socket.once('close', () => reject(new Error(`closed behind ${Buffer.from(answer).toString('latin1')}`)))
    })
    socket.write(join(...commands, query(`select '${mark}'`)))
    return whole
  }
}

function ends(answer: Uint8Array, mark: string, deprecated: boolean): boolean {
  const packets: Uint8Array[] = []
  for (let at = 0; at < answer.length; ) {
    const length = (answer[at] ?? 0) | ((answer[at + 1] ?? 0) << 8) | ((answer[at + 2] ?? 0) << 16)
    if (at + 4 + length > answer.length) return false
    packets.push(answer.subarray(at + 4, at + 4 + length))
    at += 4 + length
  }
  const row = join(Uint8Array.of(mark.length), text(mark))
  const last = packets.at(-1)
  return (
    last?.[0] === 0xfe &&
    last.length < 100 &&
    Buffer.compare(packets.at(-2) ?? row, row) === 0 &&
    (deprecated || last.length === 5)
  )
}

const INT = '\x03\x00'
const BLOB = Uint8Array.of(0xfc, 0)
const LAST = 0xffffffff
const cursor = (id: number, rest: readonly (Uint8Array | string | number)[] = []) =>
  packet(0, 0x17, u32(id), 1, u32(1), ...rest)
const fetchRows = (id: number, rows: number) => packet(0, 0x1c, u32(id), u32(rows))

const SCRIPTS: readonly (readonly [string, readonly (readonly Uint8Array[])[]])[] = [
  [
    'texts, errors, several results',
    [
      [query('select * from n'), query('frob'), query('do 1'), query('update n set s = s')],
      [query('select 1; select 2; do 3; select * from missing; select 4')],
      [query('call two(5)'), query('set @a = 1; select @a')],
    ],
  ],
  [
    'prepared statements, their types sent once',
    [
      [prepare('select s from n where i = ?')],
      [execute(1, 0, 1, INT, u32(2)), execute(1, 0, 0, u32(3)), execute(1, 1, 0), execute(7)],
      [execute(1, 0, 0, u32(1)), packet(0, 0x19, u32(1)), execute(1, 0, 0, u32(1))],
      [prepare('call two(?)')],
      [execute(2, 0, 1, INT, u32(9))],
      [prepare('frob'), prepare('select 1'), prepare('do ?')],
    ],
  ],
  [
    'the last statement, in one write',
    [
      [prepare("select ?, '?'"), execute(LAST, 0, 1, INT, u32(2)), packet(0, 0x19, u32(LAST))],
      [prepare('frob'), execute(LAST), prepare('select i from n'), execute(LAST), execute(LAST)],
      [packet(0, 0x1a, u32(LAST)), execute(LAST)],
    ],
  ],
  [
    'cursors',
    [
      [
        prepare('select i, s from n order by i'),
        cursor(1),
        fetchRows(1, 2),
        fetchRows(1, 2),
        fetchRows(1, 2),
      ],
      [cursor(1), fetchRows(1, 1), packet(0, 0x1a, u32(1)), fetchRows(1, 1)],
      [prepare('update n set s = s where i = ?')],
      [cursor(2, [0, 1, INT, u32(1)])],
    ],
  ],
  [
    'values sent ahead',
    [
      [prepare('select length(?), ?')],
      [
        packet(0, 0x18, u32(1), 0, 0, 'abc'),
        packet(0, 0x18, u32(1), 0, 0, 'def'),
        execute(1, 0, 1, BLOB, INT, u32(4)),
      ],
      [
        execute(1, 1, 0, u32(4)),
        packet(0, 0x18, u32(1), 0, 0, 'x'),
        packet(0, 0x1a, u32(1)),
        execute(1, 1, 0, u32(4)),
      ],
      [packet(0, 0x18, u32(1), 9, 0, 'none'), execute(1, 1, 0, u32(4))],
    ],
  ],
  [
    'other commands',
    [
      [
        packet(0, 14),
        packet(0, 2, 'mysql'),
        packet(0, 2, 'nowhere'),
        packet(0, 2, 'shop'),
        packet(0, 0x1b, 1, 0),
      ],
      [packet(0, 4, 'n\0'), packet(0, 4, 'missing\0'), packet(0, 5, 'made'), packet(0, 6, 'made')],
      [query('set @a = 1'), packet(0, 0x1f), query('select @a')],
    ],
  ],
]

const FLAG_SETS: readonly (readonly [string, Flags])[] = [
  ['EOF packets', {}],
  ['EOF deprecated', { flags: FLAG.DEPRECATE_EOF }],
  [
    'all that MariaDB has',
    {
      flags: FLAG.DEPRECATE_EOF | FLAG.SESSION_TRACK,
      extended: EXTENDED.CACHE_METADATA | EXTENDED.EXTENDED_METADATA | EXTENDED.PROGRESS,
    },
  ],
  ['cached definitions and EOF packets', { extended: EXTENDED.CACHE_METADATA }],
]

describe.each(FLAG_SETS)('with %s', (_, flags) => {
  test.each(SCRIPTS)('%s are answered as by the server itself', async (_name, turns) => {
    await using gateway = await startGateway(server)
    const deprecated = ((flags.flags ?? 0) & FLAG.DEPRECATE_EOF) !== 0
    const direct = await login(server.port, 'app', 'app secret', flags)
    const relayed = await login(gateway.port, 'alice', SECRET, flags)
    const [askDirect, askRelayed] = [ask(direct.socket, deprecated), ask(relayed.socket, deprecated)]
    for (const turn of turns) {
      const [expected, got] = [await askDirect(turn), await askRelayed(turn)]
      expect(Buffer.from(got).toString('latin1')).toBe(Buffer.from(expected).toString('latin1'))
    }
    direct.socket.destroy()
    relayed.socket.end(Uint8Array.of(1, 0, 0, 0, 1))
    const session = gateway.sessions[0] as Session
    await session.ended
    expect(
      recorded(session).filter(({ outcome, denied }) => outcome === undefined && denied === undefined),
    ).toEqual([])
  })
})
