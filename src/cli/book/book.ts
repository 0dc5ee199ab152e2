/**
 * `gatebook book`: acts on the book itself. Through the gateway where one runs; where none does, the same acts are
 * done here, on a book that no process holds, with the configuration that names its keys.
 */

import { LOCAL_SUBJECT } from '../../access/events.ts'
import { parseCheckpoint } from '../../book/checkpoint.ts'
import { openForReading } from '../../book/database.ts'
import { bookFiles } from '../../book/files.ts'
import type { Scope } from '../../book/format.ts'
import { readHeadNote } from '../../book/reader.ts'
import { NoGatewayError } from '../../control/client.ts'
import { erase, retain, rotateSigningKey } from '../../record/administration.ts'
import type { BookStatus } from '../../record/messages.ts'
import { OperatorError } from '../../system/operator-error.ts'
import { withBook } from '../../wiring/recording.ts'
import { ask, DEFAULT_CONFIG, dataOf, type GatewayOptions } from '../gateway.ts'
import { configOrFail, type Io } from '../io.ts'
import { RELEASE } from '../release.ts'

type Recorder = Parameters<typeof erase>[0]

export interface BookOptions extends GatewayOptions {
  readonly reason?: string
}

export async function bookStatus(options: BookOptions, io: Io): Promise<number> {
  const { origin, size, head, undrained, state } = await statusOf(options)
  io.stdout.write(`origin     ${origin}\n`)
  io.stdout.write(`records    ${size}\n`)
  if (undrained !== undefined) io.stdout.write(`undrained  ${undrained} batches in the journal\n`)
  io.stdout.write(`state      ${state}\n\n${head}`)
  return 0
}

type ShownStatus = Pick<BookStatus, 'origin' | 'size' | 'head'> & {
  readonly undrained?: number
  readonly state: BookStatus['state'] | 'no gateway runs'
}

/** To look changes nothing: where no gateway runs the book is read as it lies there, journal and all. */
async function statusOf(options: BookOptions): Promise<ShownStatus> {
  try {
    return await ask<BookStatus>(options, 'book.status', {})
  } catch (error) {
    if (!(error instanceof NoGatewayError)) throw error
  }
  const { book } = bookFiles(await dataOf({ ...options, config: options.config ?? DEFAULT_CONFIG }))
  const db = openForReading(book)
  try {
    const head = readHeadNote(db)
    if (head === undefined) throw new OperatorError('disk', `${book} has no head`)
    const { origin, size } = parseCheckpoint(head)
    return { origin, size, head, state: 'no gateway runs' }
  } finally {
    db.close()
  }
}

export async function bookErase(options: BookOptions & { readonly scope: Scope }, io: Io): Promise<number> {
  const { scope } = options
  const { size } = await either<{ size: number }>(
    options,
    'book.erase',
    { scope, ...given(options) },
    (recorder) => erase(recorder, scope, actOf(options)),
  )
  io.stderr.write(`erased; the book says so below record ${size}, and still verifies\n`)
  return 0
}

export async function bookRetain(options: BookOptions & { readonly below: number }, io: Io): Promise<number> {
  const { below: wish } = options
  const { below } = await either<{ below: number }>(
    options,
    'book.retain',
    { below: wish, ...given(options) },
    (recorder) => retain(recorder, wish, actOf(options)),
  )
  io.stderr.write(`records below ${below} are gone; their hashes stay, and the book still verifies\n`)
  return 0
}

export async function bookRotateKey(options: BookOptions, io: Io): Promise<number> {
  const { vkey } = await either<{ vkey: string }>(
    options,
    'book.rotate-key',
    given(options),
    async (recorder) => ({
      vkey: await rotateSigningKey(recorder, actOf(options)),
    }),
  )
  io.stdout.write(`${vkey}\n`)
  io.stderr.write('the book signs with this key from now on; verification still starts from the first\n')
  return 0
}

/** The act by the gateway, or on the book alone. */
export async function either<Answer>(
  options: BookOptions,
  command: string,
  sent: unknown,
  alone: (recorder: Recorder) => Promise<Answer>,
): Promise<Answer> {
  try {
    return await ask<Answer>(options, command, sent)
  } catch (error) {
    if (!(error instanceof NoGatewayError)) throw error
  }
  if (options.config === undefined && options.data !== undefined) {
    throw new OperatorError(
      'usage',
      'no gateway runs there; without one, --config FILE must say where the keys are',
    )
  }
  const loaded = await configOrFail(options.config ?? DEFAULT_CONFIG)
  return withBook({ loaded, env: process.env, release: RELEASE, acceptJournalLoss: false }, alone)
}

export function given({ reason }: BookOptions): { reason?: string } {
  return reason === undefined ? {} : { reason }
}

export function actOf(options: BookOptions): { sub: string; reason?: string } {
  return { sub: LOCAL_SUBJECT, ...given(options) }
}
