/** The recorder as the configuration wants it: for the gateway, and for one act on a book that no gateway holds. */
import { existsSync, statSync } from 'node:fs'
import { LOCAL_SUBJECT } from '../access/events.ts'
import { openForReading } from '../book/database.ts'
import { bookFiles, journalPath } from '../book/files.ts'
import { JOURNAL_BYTES } from '../book/journal.ts'
import { Kek, KeyStore } from '../book/keys.ts'
import type { LoadedConfig } from '../config/load.ts'
import { rewrapKeys } from '../record/administration.ts'
import { systemRandom } from '../record/random.ts'
import { Recorder, type RecorderParts } from '../record/recorder.ts'
import { systemSchedule } from '../system/clock.ts'
import { microseconds } from '../system/microseconds.ts'
import { OperatorError } from '../system/operator-error.ts'
import { decodeKey, type Environment, readSecret } from '../system/secret.ts'

const SIGNING_KEY_MAX_AGE_MS = 30 * 24 * 3600 * 1000
const DISK_POLICY = { warnShare: 0.2, closeShare: 0.05, closeBytes: 1 << 30, ballastBytes: 64 << 20 }

export interface RecordingOptions {
  readonly loaded: LoadedConfig
  readonly env: Environment
  readonly release: string
  readonly acceptJournalLoss: boolean
}

export type RecordingEvents = Pick<RecorderParts, 'onState' | 'onFailure' | 'openJournal'>

export async function readKek(options: Pick<RecordingOptions, 'loaded' | 'env'>): Promise<Kek> {
  return new Kek(await readKekBytes(options))
}

/** For threads, which make their own. */
export async function readKekBytes({
  loaded,
  env,
}: Pick<RecordingOptions, 'loaded' | 'env'>): Promise<Uint8Array> {
  const { key } = loaded.config.recording.encryption
  return decodeKey(await readSecret(key, env), 'recording.encryption.key')
}

async function readFormerKek({ loaded, env }: RecordingOptions): Promise<Kek | undefined> {
  const { former } = loaded.config.recording.encryption
  if (former === undefined) return undefined
  return new Kek(decodeKey(await readSecret(former, env), 'recording.encryption.former'))
}

/**
 * Under another key everything recorded so far could not be read any more, and nobody would notice until they try.
 * Gives whether something is still wrapped under the former one.
 */
function requireKek({ config }: LoadedConfig, kek: Kek, former: Kek | undefined): boolean {
  const path = bookFiles(config.gateway.data_dir).keys
  // That it is missing is told by whoever opens the book.
  if (!existsSync(path)) return false
  const db = openForReading(path)
  try {
    const others = new KeyStore(db).keks().filter((id) => id !== kek.id)
    const unknown = others.filter((id) => id !== former?.id)
    if (unknown.length === 0) return others.length > 0
    throw new OperatorError(
      'config',
      `recording.encryption.key is the key ${kek.id}, but what ${path} holds is wrapped under ${unknown.join(', ')}: put that key back, or name it as recording.encryption.former to have all wrapped anew`,
    )
  } finally {
    db.close()
  }
}

/** What a journal must hold of the longest statement, so that those before it need not be drained yet. */
const STATEMENTS_IN_JOURNAL = 4

/**
 * Refuses statements longer than the journal was made for. One that was made smaller on purpose refuses, record by
 * record, what it cannot take.
 */
export function requireJournal({ config }: LoadedConfig): void {
  const path = journalPath(bookFiles(config.gateway.data_dir))
  const { max_statement: longest } = config.recording.sql
  const size = Math.max(JOURNAL_BYTES, existsSync(path) ? statSync(path).size : 0)
  if (longest * STATEMENTS_IN_JOURNAL <= size) return
  const mib = (bytes: number): string => `${Math.floor(bytes / 2 ** 20)}MiB`
  throw new OperatorError(
    'config',
    `recording.sql.max_statement is ${mib(longest)}, and the journal ${path} has ${mib(size)}, of which a statement may take a quarter: set it to at most ${mib(size / STATEMENTS_IN_JOURNAL)}`,
  )
}

export async function startRecorder(options: RecordingOptions, events: RecordingEvents): Promise<Recorder> {
  requireJournal(options.loaded)
  const { gateway, integrity } = options.loaded.config
  const { records, time } = integrity.keep_checkpoint_every
  const kek = await readKek(options)
  const former = await readFormerKek(options)
  const isChanging = requireKek(options.loaded, kek, former)
  const random = systemRandom()
  const recorder = await Recorder.start(
    {
      directory: gateway.data_dir,
      signingKey: integrity.signing_key,
      release: options.release,
      acceptJournalLoss: options.acceptJournalLoss,
      keepCheckpoint: { records, micros: time * 1000 },
      signingKeyMaxAgeMs: SIGNING_KEY_MAX_AGE_MS,
      disk: DISK_POLICY,
      kek,
      compress: true,
      goOn: options.loaded.config.recording.on_failure === 'continue',
    },
    { ...events, now: microseconds, random, schedule: systemSchedule },
  )
  if (isChanging && former !== undefined) {
    const act = { sub: LOCAL_SUBJECT, reason: 'recording.encryption.former names the key before' }
    await rewrapKeys(recorder, { from: former, to: kek, random }, act)
  }
  return recorder
}

/** Opens the book, does one thing, and closes it in order. Fails where a gateway holds it. */
export async function withBook<Result>(
  options: RecordingOptions,
  run: (recorder: Recorder) => Promise<Result>,
): Promise<Result> {
  const failed = Promise.withResolvers<never>()
  const recorder = await startRecorder(options, {
    onState: () => {},
    onFailure: (error) => failed.reject(new OperatorError('disk', error.message, { cause: error })),
  })
  try {
    return await Promise.race([run(recorder), failed.promise])
  } finally {
    failed.promise.catch(() => {})
    await recorder.stop()
  }
}
