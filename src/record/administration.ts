/**
 * What changes the book rather than adding to it: erasure, retention, new keys. Each is recorded first, in the
 * gateway's own session, and carried out when that record is committed.
 */
import type { Scope } from '../book/format.ts'
import type { Kek, WrappedKey } from '../book/keys.ts'
import type { Random } from '../book/payload.ts'
import { OperatorError } from '../system/operator-error.ts'
import type { Recorder } from './recorder.ts'

const REWRAP_AT_ONCE = 1000

/** Who does it, and in which words. `local`: an operator on the gateway itself. */
export interface Act {
  readonly sub: string
  readonly reason?: string
  readonly by?: readonly string[]
}

/** Erases payloads. Resolves when they are gone from the book, its log and the journal. */
export async function erase(recorder: Recorder, scope: Scope, act: Act): Promise<{ size: number }> {
  const named = 'refs' in scope ? scope.refs.map(([sid]) => sid) : 'sids' in scope ? scope.sids : []
  const open = named.find((sid) => recorder.isOpen(sid))
  if (open !== undefined) {
    throw new OperatorError(
      'usage',
      `session ${open} is still open: end it first (gatebook sessions kill ${open})`,
    )
  }
  const { unknown } = await recorder.thread.ask({ type: 'unknown-sessions', sids: named })
  if (unknown !== undefined) {
    throw new OperatorError('usage', `the book has neither a key nor a payload of session ${unknown}`)
  }
  const { size } = await recorder.status()
  if ('below' in scope && scope.below > size) {
    throw new OperatorError('usage', `there is no record ${scope.below} yet: the book ends at ${size}`)
  }
  const mark = recorder.gateway.append({ kind: 'erase', scope, sub: act.sub, by: act.by }, note(act))
  return carryOut(recorder, mark)
}

/** Removes the records below `wish`, rounded down to where a commit begins. */
export async function retain(
  recorder: Recorder,
  wish: number,
  act: Act,
): Promise<{ size: number; below: number }> {
  const { below } = await recorder.thread.ask({ type: 'retention-point', below: wish })
  if (below === undefined) {
    throw new OperatorError(
      'usage',
      `nothing can be removed below record ${wish}: only whole tiles of 256 records are`,
    )
  }
  const mark = recorder.gateway.append({ kind: 'retain', below, sub: act.sub, by: act.by }, note(act))
  return { ...(await carryOut(recorder, mark)), below }
}

/** A session's data key is about to be handed out. Resolves when the book says so. */
export function reveal(recorder: Recorder, sid: string, act: Act): Promise<{ size: number }> {
  const mark = recorder.gateway.append(
    { kind: 'audit.read', act: 'reveal', sub: act.sub, about: sid },
    note(act),
  )
  return recorder.committed(mark)
}

/** A new signing key, from the next record on. */
export async function rotateSigningKey(recorder: Recorder, act: Act): Promise<string> {
  const { vkey } = await recorder.thread.ask({ type: 'rotate-signing-key' })
  recorder.gateway.append({ kind: 'admin', act: 'key.rotate', sub: act.sub, out: 'ok' }, note(act))
  return vkey
}

/** Wraps every data key anew, in batches that may be interrupted: each row tells which key it is under. */
export async function rewrapKeys(
  recorder: Recorder,
  keks: { from: Kek; to: Kek; random: Random },
  act: Act,
): Promise<number> {
  let count = 0
  for (;;) {
    const { keys } = await recorder.thread.ask({
      type: 'keys-not-under',
      kek: keks.to.id,
      limit: REWRAP_AT_ONCE,
    })
    if (keys.length === 0) break
    const rewrapped = keys.map((row): WrappedKey => {
      const key = unwrapped(recorder.origin, row, keks.from)
      const wrapped = keks.to.wrap(recorder.origin, row.sid, key, keks.random)
      key.fill(0)
      return wrapped
    })
    await recorder.thread.ask({ type: 'rewrapped', keys: rewrapped })
    count += rewrapped.length
  }
  recorder.gateway.append({ kind: 'admin', act: 'kek.change', sub: act.sub, out: 'ok' }, note(act))
  return count
}

function unwrapped(origin: string, row: WrappedKey, kek: Kek): Buffer {
  try {
    return kek.unwrap(origin, row)
  } catch (cause) {
    const message = `the key of session ${row.sid} is wrapped under ${row.kek} and does not unwrap under ${kek.id}`
    throw new OperatorError('usage', message, { cause })
  }
}

async function carryOut(recorder: Recorder, mark: number): Promise<{ size: number }> {
  const committed = await recorder.committed(mark)
  const { through } = await recorder.thread.ask({ type: 'deleted' })
  await recorder.scrubJournal()
  await recorder.thread.ask({ type: 'scrubbed', through })
  return committed
}

function note({ reason }: Act): { type: 'note'; body: Uint8Array }[] {
  return reason === undefined ? [] : [{ type: 'note', body: Buffer.from(JSON.stringify({ reason })) }]
}
