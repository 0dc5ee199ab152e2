/** One line for each thing that was recorded, as it happens: who, where, what, with what outcome. */
import type { Leaf } from '../book/format.ts'
import type { Followed } from './follow.ts'
import type { Unsealer } from './unseal.ts'

/** Sessions and begun operations that are remembered for the lines that come later. */
const REMEMBERED_MAX = 10_000

export interface Line {
  readonly seq: number
  readonly hash: string
  /** Microseconds since 1970. */
  readonly ts: number
  readonly who: string
  readonly target: string
  readonly act: string
  /** What was run, as it was sent; empty where its payload is gone. */
  readonly text: string
  readonly outcome: string
  readonly code?: string
  readonly rows?: number
  /** Microseconds. */
  readonly duration?: number
}

/** Preparing is no running: its execution has a line of its own. */
const QUIET_ACTS = new Set(['db.prepare', 'db.other'])

export class Lines {
  readonly #unsealer: Unsealer
  readonly #sessions = new Map<string, { readonly who: string; readonly target: string }>()
  readonly #begun = new Map<string, { readonly act: string; readonly text: string }>()

  constructor(unsealer: Unsealer) {
    this.#unsealer = unsealer
  }

  /** Of the next record; undefined for what is no act of a person's. */
  of({ leaf, hash }: Followed): Line | undefined {
    const { kind, sid = '', op } = leaf
    const key = `${sid}.${op}`
    switch (kind) {
      case 'session.open':
        this.#remember(this.#sessions, sid, { who: this.#name(leaf), target: leaf.tgt ?? '' })
        return undefined
      case 'session.close':
        this.#sessions.delete(sid)
        return undefined
      case 'op.begin':
        this.#remember(this.#begun, key, { act: leaf.act ?? '', text: this.#text(leaf) })
        return undefined
      case 'op.end': {
        const begun = this.#begun.get(key)
        this.#begun.delete(key)
        return this.#line(leaf, hash, begun?.act ?? '', begun?.text ?? '')
      }
      case 'op':
      case 'decision':
        return this.#line(leaf, hash, leaf.act ?? '', this.#text(leaf))
      case 'login':
        return leaf.out === 'denied' ? this.#line(leaf, hash, 'login', '') : undefined
      default:
        return undefined
    }
  }

  #line(leaf: Leaf, hash: string, act: string, text: string): Line | undefined {
    if (QUIET_ACTS.has(act) && leaf.out === 'ok') return undefined
    const session = this.#sessions.get(leaf.sid ?? '')
    return {
      seq: leaf.seq,
      hash,
      ts: leaf.ts,
      who: session?.who || this.#name(leaf),
      target: session?.target || (leaf.tgt ?? ''),
      act,
      text,
      outcome: leaf.out ?? '',
      ...(leaf.code === undefined ? {} : { code: leaf.code }),
      ...(leaf.rows === undefined ? {} : { rows: leaf.rows }),
      ...(leaf.dur === undefined ? {} : { duration: leaf.dur }),
    }
  }

  #text(leaf: Leaf): string {
    return (this.#unsealer.text(leaf, 'sql') ?? this.#unsealer.text(leaf, 'cmd'))?.toString('utf8') ?? ''
  }

  #name(leaf: Leaf): string {
    const who = this.#unsealer.text(leaf, 'who')
    if (who === undefined) return leaf.sub ?? ''
    const { name } = JSON.parse(who.toString('utf8')) as { name?: string }
    return name ?? leaf.sub ?? ''
  }

  #remember<V>(map: Map<string, V>, key: string, value: V): void {
    map.set(key, value)
    const [oldest] = map.keys()
    if (map.size > REMEMBERED_MAX && oldest !== undefined) map.delete(oldest)
  }
}
