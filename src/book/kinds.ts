/**
 * The closed schema of a leaf (FORMAT.md, "Members" and "Kinds"): which members there are, what a value of each
 * may look like, and which of them a kind has. The writer and the verifier both read this one table, so a leaf
 * that one accepts the other accepts too. A new kind or member raises FORMAT.
 */

/** `user_version` of a book's database. */
export const FORMAT = 1

/** What a value may look like; format.ts holds the grammar of each. */
export type Shape =
  | 'base64' // bytes in base64, at most PROOF_CHARS_MAX characters
  | 'count' // an integer from 1
  | 'flag' // true or false
  | 'format' // 1
  | 'hash' // 32 bytes in base64
  | 'int' // 0 to 2^53 - 1
  | 'origin' // a token without "+" that ends in "/book"
  | 'refs' // 1 to 64 references to payloads
  | 'salt' // 16 bytes in base64url
  | 'scope' // what an erasure covers
  | 'session' // 16 characters a-z2-7
  | 'token' // 1 to 128 characters 0x21 to 0x7E
  | 'tokens' // 1 to 4 tokens
  | 'vkey' // a token of at most 256 characters
  | 'word' // a token of at most 32 characters

/** Every member there is, in the order in which the canonical form writes them. */
export const MEMBERS = {
  about: 'session',
  act: 'word',
  below: 'int',
  by: 'tokens',
  bytes: 'int',
  clean: 'flag',
  code: 'word',
  com: 'hash',
  dur: 'int',
  from: 'int',
  kind: 'word',
  log: 'origin',
  next: 'vkey',
  off: 'int',
  op: 'count',
  ops: 'int',
  out: 'word',
  par: 'count',
  part: 'int',
  parts: 'int',
  prev: 'hash',
  proof: 'base64',
  recovered: 'int',
  ref: 'refs',
  rel: 'token',
  rows: 'int',
  rule: 'token',
  salt: 'salt',
  scope: 'scope',
  seq: 'int',
  sev: 'word',
  sid: 'session',
  size: 'int',
  sub: 'word',
  t0: 'int',
  tgt: 'token',
  to: 'int',
  ts: 'int',
  v: 'format',
  via: 'token',
  why: 'word',
} as const satisfies Record<string, Shape>

export type MemberName = keyof typeof MEMBERS

/** What only the book can give a record: its place. A journal entry is a leaf without them. */
export const PLACE = ['log', 'prev', 'salt', 'seq', 'v'] as const satisfies readonly MemberName[]

/** What every record says of itself. */
export const ALWAYS = ['kind', 'ts'] as const satisfies readonly MemberName[]

const OUTCOMES = ['ok', 'error', 'denied', 'aborted', 'unknown', 'skipped']

/** A kind's members beside PLACE and ALWAYS; `words` closes a member to a list. */
export interface Kind {
  readonly required: readonly MemberName[]
  readonly optional: readonly MemberName[]
  readonly words?: { readonly [N in MemberName]?: readonly string[] }
}

const outcome = { out: OUTCOMES }

export const KINDS: Readonly<Record<string, Kind>> = {
  boot: { required: ['rel', 'clean'], optional: ['ops', 'recovered'] },
  heartbeat: { required: [], optional: [] },
  login: {
    required: ['act', 'out', 'sid'],
    optional: ['op', 'sub', 'code', 'ops', 'from', 'ref'],
    words: outcome,
  },
  decision: {
    required: ['out', 'sid'],
    optional: ['op', 'about', 'sub', 'act', 'tgt', 'rule', 'ref'],
    words: { out: ['denied', 'ok', 'aborted'] },
  },
  'session.open': {
    required: ['sid', 'act', 'com'],
    optional: ['sub', 'tgt', 'ref'],
    words: { act: ['gateway', 'pg', 'mysql', 'ssh', 'web'] },
  },
  'session.close': {
    required: ['sid', 'why'],
    optional: [],
    words: { why: ['client', 'target', 'idle', 'limit', 'admin', 'stop', 'crash', 'renew'] },
  },
  op: {
    required: ['sid', 'op', 'act', 'out'],
    optional: ['par', 'rule', 'code', 'rows', 'bytes', 'dur', 'parts', 'ref'],
    words: outcome,
  },
  'op.begin': { required: ['sid', 'op', 'act'], optional: ['par', 'rule', 'ref'] },
  'op.end': {
    required: ['sid', 'op', 'out'],
    optional: ['code', 'rows', 'bytes', 'dur', 'parts', 'ref'],
    words: outcome,
  },
  'op.result': {
    required: ['sid', 'op', 'out'],
    optional: ['code', 'rows', 'bytes', 'dur', 'ref'],
    words: outcome,
  },
  data: { required: ['sid', 'op', 'part', 'off', 'bytes', 't0', 'ref'], optional: [] },
  admin: { required: ['sid', 'act', 'sub', 'out'], optional: ['about', 'by', 'ref'], words: outcome },
  config: { required: ['sid', 'act', 'ref'], optional: [], words: { act: ['load', 'reload'] } },
  'audit.read': { required: ['sid', 'act', 'sub'], optional: ['about', 'rows', 'ref'] },
  alert: {
    required: ['sid', 'rule', 'sev'],
    optional: ['about', 'op', 'ref'],
    words: { sev: ['info', 'warn', 'high'] },
  },
  erase: { required: ['sid', 'scope', 'sub'], optional: ['by', 'ref'] },
  retain: { required: ['sid', 'below', 'sub'], optional: ['by', 'ref'] },
  suspend: { required: ['why'], optional: [], words: { why: ['disk', 'store', 'clock'] } },
  resume: { required: ['why'], optional: [], words: { why: ['disk', 'store', 'clock'] } },
  gap: { required: ['from', 'to', 'why'], optional: ['ops', 'tgt'], words: { why: ['store', 'journal'] } },
  'key.next': { required: ['next'], optional: [] },
  anchor: { required: ['size', 'via', 'proof'], optional: [] },
}
