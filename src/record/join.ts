/**
 * Journal entries become records of the book. The begin of an operation and its end, drained together, are one
 * leaf, `op`, in the begin's place: it halves what a statement costs. Where one leaf cannot say it, two do.
 */
import { LEAF_BYTES_MAX, type Members, REFS_MAX } from '../book/format.ts'
import { decodeEntries } from '../book/journal.ts'
import type { NewPayload, NewRecord } from '../book/store.ts'

/** What the book adds to an entry's members, at most: log, prev, salt, seq and v with their names. */
const PLACE_BYTES_MAX = 320

interface Draft {
  members: Members
  payloads: readonly NewPayload[]
  length: number
}

/** The entries of one batch, in order. The journal is our own and its CRC held: a bad entry is our mistake. */
export function readRecords(batch: Buffer): Draft[] {
  return decodeEntries(batch).map(({ members: text, carried }) => {
    const members = JSON.parse(text.toString('latin1')) as Members
    const payloads = carried.map(({ ref, bytes }) => {
      const named = members.ref?.[ref]
      if (named === undefined)
        throw new RangeError(`an entry carries a payload that it does not name: ${ref}`)
      return { i: named.i, bytes }
    })
    return { members, payloads, length: text.length }
  })
}

/** Joins what one commit holds. The order of what remains is the order in which it was written. */
export function joinRecords(drafts: readonly Draft[]): NewRecord[] {
  const kept: (Draft | undefined)[] = []
  const begins = new Map<string, number>()
  const results = new Map<string, number[]>()
  /** Operations with a result that stays a record of its own: it must stand between their begin and their end. */
  const told = new Set<string>()
  /** Per session, where a record last named payloads: nothing that names some may be moved before it. */
  const naming = new Map<string, number>()

  for (const draft of drafts) {
    const { kind, sid = '', op, ref } = draft.members
    const at = kept.length
    const key = op === undefined ? '' : `${sid}.${op}`
    if (kind === 'op.end') {
      for (const result of results.get(key) ?? []) kept[result] = undefined
      const begin = begins.get(key)
      const opened = begin === undefined ? undefined : kept[begin]
      const moves = ref === undefined || (naming.get(sid) ?? -1) <= (begin ?? -1)
      if (opened !== undefined && moves && !told.has(key) && fitsOneLeaf(opened, draft)) {
        kept[begin ?? 0] = joined(opened, draft)
        if (ref !== undefined) naming.set(sid, Math.max(naming.get(sid) ?? -1, begin ?? 0))
        continue
      }
    } else if (kind === 'op.begin') {
      begins.set(key, at)
    } else if (kind === 'op.result' && ref !== undefined) {
      told.add(key)
    } else if (kind === 'op.result') {
      // Its facts stand in the end's `res` payload too; alone it is needed only while the operation goes on.
      const list = results.get(key)
      if (list === undefined) results.set(key, [at])
      else list.push(at)
    }
    if (ref !== undefined) naming.set(sid, at)
    kept.push(draft)
  }
  return kept.filter((draft) => draft !== undefined)
}

function fitsOneLeaf(begin: Draft, end: Draft): boolean {
  const first = begin.members.ref ?? []
  const second = end.members.ref ?? []
  if (first.length + second.length > REFS_MAX) return false
  if (begin.length + end.length + PLACE_BYTES_MAX > LEAF_BYTES_MAX) return false
  return !second.some(({ t }) => first.some((ref) => ref.t === t))
}

function joined(begin: Draft, end: Draft): Draft {
  const { sid, op, act, par, rule, ts } = begin.members
  const { out, code, rows, bytes, dur, parts } = end.members
  const refs = [...(begin.members.ref ?? []), ...(end.members.ref ?? [])]
  const ref = refs.length === 0 ? undefined : refs
  return {
    members: { kind: 'op', ts, sid, op, act, par, rule, out, code, rows, bytes, dur, parts, ref },
    payloads: [...begin.payloads, ...end.payloads],
    length: begin.length + end.length,
  }
}
