/**
 * Handing out a session's data key, for a proof that shows what was said. It opens the whole session, so it is asked
 * for by name, and stands in the book before anybody has it.
 */
import { join } from 'node:path'
import { openForReading } from '../../book/database.ts'
import type { Leaf } from '../../book/format.ts'
import { KeyStore } from '../../book/keys.ts'
import { OpenedKey } from '../../book/payload.ts'
import { reveal } from '../../record/administration.ts'
import { OperatorError } from '../../system/operator-error.ts'
import { readKek } from '../../wiring/recording.ts'
import { DEFAULT_CONFIG } from '../gateway.ts'
import { configOrFail } from '../io.ts'
import { actOf, type BookOptions, either, given } from './book.ts'

export async function revealKey(options: BookOptions, session: Leaf): Promise<Uint8Array> {
  const { log, sid = '', com = '' } = session
  const loaded = await configOrFail(options.config ?? DEFAULT_CONFIG)
  const kek = await readKek({ loaded, env: process.env })
  const db = openForReading(join(loaded.config.gateway.data_dir, 'keys.db'))
  try {
    const row = new KeyStore(db).find(sid)
    if (row === undefined) throw new OperatorError('usage', `the key of session ${sid} has been destroyed`)
    const key = kek.unwrap(log, row)
    // Of another key nobody should be told: this throws where the session has not committed to it.
    new OpenedKey(log, sid, key, com)
    const sent = { session: sid, ...given(options) }
    await either(options, 'book.reveal', sent, (recorder) => reveal(recorder, sid, actOf(options)))
    return key
  } finally {
    db.close()
  }
}
