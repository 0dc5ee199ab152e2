/** The recorder as the configuration wants it: for the gateway, and for one act on a book that no gateway holds. */
import { existsSync, statSync } from 'node:fs'
import { bookFiles, journalPath } from './book/files.ts'
import { JOURNAL_BYTES } from './book/journal.ts'
import { Kek } from './book/keys.ts'
import type { LoadedConfig } from './config/load.ts'
import { systemRandom } from './record/random.ts'
import { Recorder, type RecorderParts } from './record/recorder.ts'
import { systemSchedule } from './system/clock.ts'
import { microseconds } from './system/microseconds.ts'
import { OperatorError } from './system/operator-error.ts'
import { decodeKey, type Environment, readSecret } from './system/secret.ts'

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

/** Whoever relies on a pattern must not learn from the book that nothing was removed. */
export function requireNoRedaction({ config, places }: LoadedConfig): void {
  if (config.recording.redact.length === 0) return
  const line = places.lineOf(['recording', 'redact'])
  throw new OperatorError(
    'config',
    `${line}  recording.redact is not applied by this release, so what it names would be recorded: leave it out (recording.sql.parameters can be "redact")`,
  )
}

export async function startRecorder(options: RecordingOptions, events: RecordingEvents): Promise<Recorder> {
  requireJournal(options.loaded)
  requireNoRedaction(options.loaded)
  const { gateway, integrity } = options.loaded.config
  const { records, time } = integrity.keep_checkpoint_every
  return Recorder.start(
    {
      directory: gateway.data_dir,
      signingKey: integrity.signing_key,
      release: options.release,
      acceptJournalLoss: options.acceptJournalLoss,
      keepCheckpoint: { records, micros: time * 1000 },
      signingKeyMaxAgeMs: SIGNING_KEY_MAX_AGE_MS,
      disk: DISK_POLICY,
      kek: await readKek(options),
      compress: true,
      goOn: options.loaded.config.recording.on_failure === 'continue',
    },
    { ...events, now: microseconds, random: systemRandom(), schedule: systemSchedule },
  )
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
