/**
 * Works on a disk that runs full, whose other files are the one at argv[3], and tells what it sees. The book is in
 * argv[2]; argv[4] is how large the texts are that it records.
 */
import { randomBytes } from 'node:crypto'
import { closeSync, existsSync, ftruncateSync, openSync, rmSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { Kek } from '../../../src/book/keys.ts'
import { systemRandom } from '../../../src/record/random.ts'
import { Recorder } from '../../../src/record/recorder.ts'
import type { RecordedSession } from '../../../src/record/session.ts'
import { systemSchedule } from '../../../src/system/clock.ts'
import { microseconds } from '../../../src/system/microseconds.ts'
import { KEK_BYTES, threadOptions } from '../../support/books.ts'

const [, , directory = '', filler = '', bytes = ''] = process.argv
const ROOM_LEFT = 512 << 10
const BALLAST_BYTES = 8 << 20
const say = (line: string): void => void process.stdout.write(`${line}\n`)

/** Fills the disk but for a little. */
function fill(): void {
  const file = openSync(filler, 'w')
  const piece = Buffer.alloc(64 << 10, 1)
  let size = 0
  try {
    for (;;) size += writeSync(file, piece, 0, piece.length, size)
  } catch {
    ftruncateSync(file, Math.max(0, size - ROOM_LEFT))
  }
  closeSync(file)
}

async function state(wanted: string): Promise<void> {
  for (
    let waited = 0;
    recorder.state !== wanted && recorder.failure === undefined && waited < 20_000;
    waited += 10
  ) {
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  say(`state ${recorder.state}`)
}

async function statement(session: RecordedSession): Promise<void> {
  if (recorder.congested) await recorder.relieved()
  const op = session.nextOp
  const payloads = [{ type: 'sql' as const, body: randomBytes(Number(bytes)) }]
  session.record({ type: 'begin', op, act: 'db.query', payloads })
  await recorder.wait(session.record({ type: 'end', op, outcome: 'ok' }), 'durable')
  say(`E ${session.sid} ${op}`)
}

const disk = { warnShare: 0, closeShare: 0, closeBytes: 0, ballastBytes: BALLAST_BYTES }
const recorder = await Recorder.start(
  { ...threadOptions(directory, { disk }), kek: new Kek(KEK_BYTES), compress: true },
  {
    now: microseconds,
    random: systemRandom(),
    schedule: systemSchedule,
    onState: () => {},
    onFailure: (error) => say(`failed ${error.message}`),
  },
)
const first = await recorder.open({ act: 'pg', mode: 'standard' })
const second = await recorder.open({ act: 'pg', mode: 'standard' })
second.record({ type: 'begin', op: 1, act: 'db.query', payloads: [] })
await statement(first)
fill()
for (let k = 0; k < 200 && recorder.state === 'open'; k++) await statement(first)
await state('suspended')
say(`ballast ${existsSync(join(directory, 'ballast'))}`)
await recorder.open({ act: 'pg', mode: 'standard' }).then(
  () => say('let in'),
  (error: unknown) => say(`refused ${String(error)}`),
)
for (const session of [first, second]) {
  await recorder.committed(session.close('limit'))
  say(`X ${session.sid}`)
}
rmSync(filler)
await state('open')
say(`ballast ${statSync(join(directory, 'ballast')).size}`)
const third = await recorder.open({ act: 'pg', mode: 'standard' })
await statement(third)
await recorder.stop()
say('stopped')
