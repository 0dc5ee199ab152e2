/** T-ALL-05: nothing that was recorded acts on the terminal, the spreadsheet or the program of whoever looks at it. */
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { proof } from '../../../src/cli/book/proof.ts'
import { exportSession } from '../../../src/cli/reading/export-session.ts'
import { playSession } from '../../../src/cli/reading/play.ts'
import { clockOf, Player, timeIn } from '../../../src/cli/reading/player.ts'
import { query } from '../../../src/cli/reading/query.ts'
import { listSessions, showSession } from '../../../src/cli/reading/sessions.ts'
import { stats } from '../../../src/cli/reading/stats.ts'
import { csvLine, displayWidth, jsonLine, tableLines } from '../../../src/cli/table.ts'
import type { Frame, Row } from '../../../src/read/answers.ts'
import { KEK_BYTES } from '../../support/books.ts'
import { MAIN } from '../../support/gatebook.ts'
import { captureIo } from '../../support/io.ts'
import { playReading } from '../../support/reading-book.ts'
import { newBookForFile } from '../../support/recorder.ts'

/** Everything a terminal could obey: controls but line feeds, escapes, C1, marks that turn or hide text. */
const ACTIVE = /[\p{Cc}\p{Cf}\u2028\u2029]/u
/** What playing a recording may send beside text: colours, the cursor, erasing, and the reset at the end. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for.
const PLAYED = /\u001b(?:\[[0-9;:]*[A-HJ-MPSTXZ`adefm@]|[DEM78]|\[r|\[\?25h|\[\?1049l|\(B)|[\b\t\n\v\f\r]/g

let remove: () => void
let config: string
let folder: string

beforeAll(() => {
  const book = newBookForFile()
  remove = book.remove
  folder = join(book.directory, '..')
  const play = playReading(book.directory, 40, 41)
  hostile(play.book)
  play.book.stop()
  config = join(folder, 'config.yaml')
  writeFileSync(join(folder, 'kek'), `${KEK_BYTES.toString('base64')}\n`)
  writeFileSync(
    config,
    `version: 1
gateway: { name: gw1.example, data_dir: data, tls: { cert: tls.crt, key: tls.key } }
listeners: { postgres: { type: postgres, address: "127.0.0.1:0" } }
targets: { orders: { type: postgres, address: "127.0.0.1:1", credentials: { user: a, password: "env:A" } } }
recording: { encryption: { key: "file:kek" } }
integrity: { signing_key: data/book.key }
`,
  )
})
afterAll(() => remove())

const NASTY = '=cmd|calc!\u001b]0;owned\u0007\u001b[2J\u009b31m\u202egnp.exe\u200b <b>\u{e0041}\r\nnext'

function hostile(book: ReturnType<typeof playReading>['book']): void {
  const who = { name: NASTY, address: '10.0.0.1', roles: ['reader'], claims: { application_name: NASTY } }
  const session = book.open('standard', {
    act: 'pg',
    sub: 'u_evil',
    tgt: 'orders',
    who: Buffer.from(JSON.stringify(who)),
  })
  const sql = { type: 'sql', body: Buffer.from(`-- evilmark ${NASTY}${'x'.repeat(10_000)}`) } as const
  session.record({ type: 'begin', op: 1, act: 'db.query', payloads: [sql] })
  session.record({ type: 'end', op: 1, outcome: 'ok', rows: 1 })
  session.close('client')
  const shell = book.open('standard', {
    act: 'ssh',
    sub: 'u_evil',
    tgt: 'web-1',
    who: Buffer.from(JSON.stringify(who)),
  })
  shell.record({ type: 'begin', op: 1, act: 'ssh.shell', payloads: [{ type: 'cmd', body: Buffer.from('') }] })
  const frame = (kind: 'r' | 'o' | 'm', text: string): void =>
    void shell.record({ type: 'data', op: 1, stream: 'tty', frame: kind, bytes: Buffer.from(text) })
  frame('r', '80x24')
  frame('o', `\u001b[31mred\u001b[0m ${NASTY}\u001bP+q\u001b\\\u001b[6n\u001b[?1049h evilshell\r\n`)
  frame('m', JSON.stringify({ command: NASTY, by: 'prompt' }))
  shell.record({ type: 'end', op: 1, outcome: 'ok', code: '0' })
  shell.close('client')
  book.drain()
}

const search = { config: '', follow: false, limit: 50, output: 'table' } as const

async function run(text: string, more: Partial<Parameters<typeof query>[0]> = {}) {
  const { io, out, err } = captureIo()
  const code = await query({ ...search, config, query: text, ...more }, io)
  return { code, out: out(), err: err() }
}

/** A page of lines without anything active in them. */
function expectHarmless(text: string): void {
  for (const line of text.split(/\r?\n/)) expect(line).not.toMatch(ACTIVE)
}

async function sessionWith(words: string): Promise<string> {
  const { out } = await run(words, { output: 'json' })
  const [row] = out.trim().split('\n')
  return (JSON.parse(row ?? '') as Row).session ?? ''
}

describe('gatebook query', () => {
  test('finds, and says without a gateway that this is no record', async () => {
    const { code, out, err } = await run('evilmark')
    expect(code).toBe(0)
    expect(out.split('\n')).toHaveLength(3)
    expect(err).toContain('that is not recorded')
    expect(err).toContain('1 row')
  })

  test.each(['table', 'json', 'csv'] as const)(
    'as %s nothing recorded acts on a terminal',
    async (output) => {
      const { out } = await run('(evilmark OR evilshell OR actor:"u_evil" OR action:ssh.command)', { output })
      expect(out).toContain('owned')
      expectHarmless(out)
      if (output === 'json') for (const line of out.trim().split('\n')) JSON.parse(line)
    },
  )

  test('points at the column of a mistake and exits with 2', async () => {
    const { code, err } = await run('actor:alice acter:bob')
    expect(code).toBe(2)
    expect(err).toContain('actor:alice acter:bob\n              ^ unknown key "acter": did you mean actor?')
  })

  test('ends without complaint when its reader has seen enough', () => {
    const { stderr } = spawnSync('sh', ['-c', `node ${MAIN} query --config ${config} | true`], {
      encoding: 'utf8',
    })
    expect(stderr).toMatch(/^no gateway runs: .*\n(\d+ rows.*\n)?$/)
  })
})

describe('tables', () => {
  test('fit the terminal', () => {
    const columns = [
      { head: 'A' },
      { head: 'TEXT', elastic: true as const },
      { head: 'N', right: true as const },
    ]
    const lines = tableLines(
      columns,
      [
        ['a', `long ${'漢'.repeat(50)}`, '12'],
        ['b', 'short', '7'],
      ],
      40,
    )
    for (const line of lines) expect(displayWidth(line)).toBeLessThanOrEqual(40)
    expect(lines[1]).toContain('…')
    expect(lines[2]).toMatch(/ 7$/)
  })

  test('are neither formulas nor programs', () => {
    expect(csvLine(['=1+1', '+1', '-1', '@x', 'a"b', 'c,d', 5, undefined])).toBe(
      `"'=1+1","'+1","'-1","'@x","a""b","c,d",5,`,
    )
    expect(jsonLine({ a: '\u202e\u009b\u{e0041}' })).toBe('{"a":"\\u202e\\u009b\\udb40\\udc41"}')
  })
})

describe('gatebook sessions', () => {
  test('ls and show tell of hostile sessions as text', async () => {
    for (const output of ['table', 'json'] as const) {
      const list = captureIo()
      expect(await listSessions({ config, output, query: 'actor:*owned*', limit: 10 }, list.io)).toBe(0)
      expect(list.out()).toContain('owned')
      expectHarmless(list.out())
      const { io, out } = captureIo()
      expect(await showSession({ config, output, session: await sessionWith('evilshell') }, io)).toBe(0)
      expect(out()).toContain('ssh.shell')
      expectHarmless(out())
    }
  })

  test('play lets text, colours and the cursor through, and resets the terminal', async () => {
    const written: Buffer[] = []
    const { io } = captureIo()
    const stdout = { write: (bytes: string | Uint8Array) => written.push(Buffer.from(bytes)) }
    expect(
      await playSession({ config, session: await sessionWith('evilshell'), speed: 1 }, { ...io, stdout }),
    ).toBe(0)
    const text = Buffer.concat(written).toString('utf8')
    expect(text).toContain('\u001b[31mred\u001b[0m')
    expect(text).toContain('evilshell')
    expect(text.replaceAll(PLAYED, '')).not.toMatch(ACTIVE)
    expect(text.endsWith('\u001b(B\r\n')).toBe(true)
  })

  test('play shows a database session as a timeline', async () => {
    const { io, out } = captureIo()
    expect(await playSession({ config, session: await sessionWith('evilmark'), speed: 1 }, io)).toBe(0)
    expect(out()).toContain('evilmark')
    expectHarmless(out())
  })

  test('export writes an asciicast, filtered unless raw, and a transcript', async () => {
    const session = await sessionWith('evilshell')
    const write = async (format: 'cast' | 'text', raw: boolean): Promise<string> => {
      const output = join(folder, `${format}-${raw}`)
      const { io } = captureIo()
      expect(await exportSession({ config, session, format, raw, output }, io)).toBe(0)
      return readFileSync(output, 'utf8')
    }
    const [head = '', ...events] = (await write('cast', false)).trim().split('\n')
    expect(JSON.parse(head)).toMatchObject({ version: 3, term: { cols: 80, rows: 24 } })
    const parsed = events.map((event) => JSON.parse(event) as [number, string, string])
    expect(parsed.map(([, code]) => code)).toEqual(['r', 'o', 'm'])
    expect(parsed[1]?.[2].replaceAll(PLAYED, '')).not.toMatch(ACTIVE)
    expect(await write('cast', true)).toContain('\\u001b]0;owned')
    const transcript = await write('text', false)
    expect(transcript).toContain('evilshell')
    expectHarmless(transcript)
  })

  test('export writes evidence that is a folder of its own', async () => {
    const output = join(folder, 'evidence')
    const { io, err } = captureIo()
    const session = await sessionWith('evilmark')
    expect(await exportSession({ config, session, format: 'evidence', raw: false, output }, io)).toBe(0)
    expect(err()).toContain('the key in there proves nothing')
    expect(readFileSync(join(output, 'index.html'), 'utf8')).toContain(session)
    expect(readFileSync(join(output, 'checkpoint'), 'utf8')).toContain('gw1.example/book')
  })

  test('a session that is not there is no success', async () => {
    const { io, err } = captureIo()
    expect(await showSession({ config, output: 'table', session: 'a'.repeat(16) }, io)).toBe(1)
    expect(err()).toContain('there is no session')
  })
})

test('gatebook stats counts', async () => {
  const { io, out } = captureIo()
  const code = await stats({ config, since: '2025-11-01', output: 'table' }, io)
  expect(code).toBe(0)
  expect(out()).toMatch(/operations +\d+: \d+ failed/)
  expectHarmless(out())
})

test('gatebook proof takes the id that somebody was told', async () => {
  const { io, err } = captureIo()
  const output = join(folder, 'proof.json')
  expect(await proof({ config, record: `${await sessionWith('evilmark')}.1`, output }, io)).toBe(0)
  expect(err()).toContain('written to')
})

describe('the player', () => {
  const frame = (at: number, text: string): Frame => ({
    at,
    kind: 'o',
    data: Buffer.from(text).toString('base64'),
  })

  async function play(options: Partial<ConstructorParameters<typeof Player>[0]>, frames: readonly Frame[]) {
    let slept = 0
    let shown = ''
    const player = new Player(
      { speed: 1, from: 0, ...options },
      {
        write: (bytes) => {
          shown += Buffer.from(bytes).toString()
        },
        sleep: async (ms) => {
          slept += ms
          await setImmediate()
        },
        signal: AbortSignal.timeout(20_000),
      },
    )
    const given = async function* (): AsyncGenerator<Frame> {
      yield* frames
    }
    await player.play(given())
    return { slept: Math.round(slept), shown }
  }

  const FRAMES = [frame(0, 'a'), frame(1e6, 'b'), frame(61e6, 'c')]

  test('takes as long as it took, faster, without pauses, or from a point on', async () => {
    expect((await play({}, FRAMES)).slept).toBe(61_000)
    expect((await play({ speed: 4 }, FRAMES)).slept).toBe(15_250)
    expect((await play({ idleMax: 2e6 }, FRAMES)).slept).toBe(3000)
    expect((await play({ from: 60e6 }, FRAMES)).slept).toBe(60_000)
    expect((await play({ from: Number.POSITIVE_INFINITY }, FRAMES)).slept).toBe(0)
  })

  test('reads and writes times', () => {
    expect(timeIn('4:31')).toBe(271e6)
    expect(timeIn('1:02:03')).toBe(3723e6)
    expect(timeIn('90s')).toBe(90e6)
    expect(timeIn('4:99')).toBeUndefined()
    expect(clockOf(271e6)).toBe('04:31')
    expect(clockOf(3723e6)).toBe('1:02:03')
  })
})
