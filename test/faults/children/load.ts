/**
 * A recorder under load, for others to kill. Every line on stdout is a promise that was kept at that moment:
 *   B sid op    the begin of an operation is durable          b: the kernel has it
 *   E sid op    its outcome is durable                        e: the kernel has it
 *   C sid op    its outcome is committed to the book
 *   X sid       the session's close is durable
 *   G sid       the session's payloads and its key are gone
 * What ends it: argv[4] promises of `E`, or a failure of the recorder, which it tells as `failed <message>`; then what
 * is refused, and `stopped`. Or it is killed: argv[6] is `start:MS` or `load:MS`, so long after it began, or after its
 * first `E`, by a process of its own, which waits for nobody. What it does follows from the seed in argv[3].
 */
import { spawn } from 'node:child_process'
import { Kek } from '../../../src/book/keys.ts'
import { erase, rotateSigningKey } from '../../../src/record/administration.ts'
import type { Durability } from '../../../src/record/barrier.ts'
import { systemRandom } from '../../../src/record/random.ts'
import { Recorder, RecorderClosedError } from '../../../src/record/recorder.ts'
import { type RecordedSession, RecordTooLargeError } from '../../../src/record/session.ts'
import { systemSchedule } from '../../../src/system/clock.ts'
import { microseconds } from '../../../src/system/microseconds.ts'
import { KEK_BYTES, threadOptions } from '../../support/books.ts'
import { numbersFrom } from '../../support/numbers.ts'

const [, , directory = '', seed = '1', outcomes = '1000000000', change = '{}', death = ''] = process.argv
const number = numbersFrom(Number(seed))
const say = (line: string): void => {
  process.stdout.write(`${line}\n`)
  if (line.startsWith('E ')) dieLater('load')
}
const MODES: readonly Durability[] = ['strict', 'standard', 'standard', 'relaxed']
const SESSIONS_AT_ONCE = 4

let [dying, afterMs] = death.split(':')
/** The killer has no part in our pipes: they end with this process. */
function dieLater(from: string): void {
  if (dying !== from) return
  dying = undefined
  spawn('sh', ['-c', `sleep ${Number(afterMs) / 1000}; kill -9 ${process.pid}`], {
    stdio: 'ignore',
    detached: true,
  })
}

dieLater('start')
let left = Number(outcomes)
let isOver = false
const closed: string[] = []
let failure: Error | undefined

const recorder = await Recorder.start(
  { ...threadOptions(directory, JSON.parse(change) as object), kek: new Kek(KEK_BYTES), compress: true },
  {
    now: microseconds,
    random: systemRandom(),
    schedule: systemSchedule,
    onState: (state) => say(`state ${state}`),
    onFailure: (error) => {
      failure = error
      isOver = true
    },
  },
)
say('ready')

async function promise(mark: number, reach: 'written' | 'durable', line: string): Promise<void> {
  await recorder.wait(mark, reach)
  say(line)
}

async function statement(session: RecordedSession): Promise<void> {
  const op = session.nextOp
  const id = `${session.sid} ${op}`
  const text = number(3) === 0 ? `SELECT ${number(5)}` : `SELECT ${'x'.repeat(number(2000))}`
  const begin = session.record({
    type: 'begin',
    op,
    act: 'db.query',
    payloads: [{ type: 'sql', body: Buffer.from(text), repeats: true }],
  })
  const isStrict = session.mode === 'strict'
  if (session.mode !== 'relaxed')
    await promise(begin, isStrict ? 'durable' : 'written', `${isStrict ? 'B' : 'b'} ${id}`)
  for (let k = number(4); k > 0; k--) {
    const bytes = Buffer.alloc(number(number(10) === 0 ? 40_000 : 400), number(256))
    session.record({ type: 'data', op, stream: number(2) === 0 ? 'in' : 'out', frame: 'o', bytes })
  }
  if (number(5) === 0) session.record({ type: 'result', op, outcome: 'ok', rows: number(100) })
  const end = session.record({
    type: 'end',
    op,
    outcome: number(8) === 0 ? 'error' : 'ok',
    code: '42P01',
    rows: number(9),
  })
  if (session.mode === 'relaxed') {
    // Nobody waits, and yet the promise is made when it is durable. Now and then it is left to its own time.
    const mark = number(3) === 0 ? recorder.soFar() : 0
    if (mark > 0) {
      recorder.when(mark, 'written', (error) => error === undefined && say(`e ${id}`))
      recorder.when(mark, 'durable', (error) => error === undefined && say(`E ${id}`))
    }
    await new Promise((resolve) => setTimeout(resolve, number(5)))
  } else await promise(end, 'durable', `E ${id}`)
  if (--left <= 0) isOver = true
  if (number(20) === 0) {
    await recorder.committed(Math.max(end, recorder.soFar()))
    say(`C ${id}`)
  }
}

async function connection(): Promise<void> {
  const mode = MODES[number(MODES.length)] ?? 'standard'
  const session = await recorder.open({
    act: 'pg',
    mode,
    sub: 'u_1',
    target: 'orders',
    who: Buffer.from('{"name":"a"}'),
  })
  for (let k = 1 + number(12); k > 0 && !isOver; k--) {
    if (recorder.congested) await recorder.relieved()
    try {
      await statement(session)
    } catch (error) {
      // The journal has no room at this moment: this session ends, the others go on.
      if (!(error instanceof RecordTooLargeError)) throw error
      break
    }
  }
  await promise(session.close('client'), 'durable', `X ${session.sid}`)
  closed.push(session.sid)
}

async function connections(): Promise<void> {
  while (!isOver) {
    try {
      await connection()
    } catch (error) {
      // Refused for now: the disk is nearly full.
      if (!(error instanceof RecorderClosedError) || failure !== undefined) throw error
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}

async function changes(): Promise<void> {
  while (!isOver) {
    await new Promise((resolve) => setTimeout(resolve, 20 + number(100)))
    const sid = closed.splice(number(closed.length), 1)[0]
    if (isOver || number(3) === 0) continue
    if (sid === undefined || number(2) === 0) await rotateSigningKey(recorder, { sub: 'local' })
    else {
      await erase(recorder, { sids: [sid] }, { sub: 'local' })
      say(`G ${sid}`)
    }
  }
}

const results = await Promise.allSettled([
  ...Array.from({ length: SESSIONS_AT_ONCE }, connections),
  changes(),
])
for (const result of results) {
  if (result.status === 'rejected' && failure === undefined && recorder.state === 'open') throw result.reason
}
if (failure !== undefined) {
  say(`failed ${failure.message}`)
  await recorder.open({ act: 'pg', mode: 'standard' }).then(
    () => say('let in'),
    (error: unknown) => say(`refused ${String(error)}`),
  )
}
await recorder.stop().then(
  () => say('stopped'),
  (error: unknown) => say(`stopped with ${String(error)}`),
)
