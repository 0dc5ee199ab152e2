/**
 * `gatebook retention`: what is older than the configuration keeps it. `plan` says it, `run` removes it, by the same
 * act as `gatebook book retain`: whoever wants it done daily has a timer call it.
 */
import { openForReading } from '../../book/database.ts'
import { bookFiles } from '../../book/files.ts'
import { recordsBefore } from '../../read/age.ts'
import type { Clock } from '../../system/clock.ts'
import { OperatorError } from '../../system/operator-error.ts'
import { DEFAULT_CONFIG } from '../gateway.ts'
import { configOrFail, type Io } from '../io.ts'
import { type BookOptions, bookRetain } from './book.ts'

const DAY_MS = 86_400_000
/** Records are removed by whole tiles. */
const TILE = 256

export interface RetentionOptions extends Omit<BookOptions, 'reason'> {
  readonly clock: Clock
}

interface Plan {
  readonly days: number
  readonly before: Date
  /** Records below this are older; 0 where none is. */
  readonly below: number
}

export async function retentionPlan(options: RetentionOptions, io: Io): Promise<number> {
  const { days, before, below } = await planOf(options)
  const date = before.toISOString().slice(0, 10)
  io.stdout.write(`kept       ${days} days: what was recorded before ${date} may go\n`)
  io.stdout.write(below === 0 ? 'older      nothing\n' : `older      the records below ${below}\n`)
  return 0
}

export async function retentionRun(options: RetentionOptions, io: Io): Promise<number> {
  const { days, below } = await planOf(options)
  if (below > 0) return bookRetain({ ...options, below, reason: `retention: kept for ${days} days` }, io)
  io.stderr.write(`nothing is older than ${days} days\n`)
  return 0
}

async function planOf({ config: file = DEFAULT_CONFIG, clock }: RetentionOptions): Promise<Plan> {
  const { config } = await configOrFail(file)
  const { default: keptMs } = config.retention
  if (keptMs === undefined) {
    throw new OperatorError('usage', `${file} keeps everything for ever: it has no retention.default`)
  }
  const before = new Date(clock.now() - keptMs)
  const db = openForReading(bookFiles(config.gateway.data_dir).book)
  try {
    const first = Number(db.prepare('SELECT min(first) FROM bundle').pluck().get() ?? 0)
    const older = Math.floor(recordsBefore(db, before.getTime() * 1000) / TILE) * TILE
    return { days: Math.round(keptMs / DAY_MS), before, below: older > first ? older : 0 }
  } finally {
    db.close()
  }
}
