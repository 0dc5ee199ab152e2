import fc from 'fast-check'
import type { Members, Place, Ref } from '../../src/book/format.ts'
import { KINDS, MEMBERS, type MemberName, type Shape } from '../../src/book/kinds.ts'

/** Every character that a token may have, those that JSON escapes among them. */
const characters = Array.from({ length: 0x7e - 0x20 }, (_, at) => String.fromCharCode(0x21 + at))

const token = (max: number, min = 1): fc.Arbitrary<string> =>
  fc.string({ unit: fc.constantFrom(...characters), minLength: min, maxLength: max })
const bytes = (length: number): fc.Arbitrary<Buffer> =>
  fc.uint8Array({ minLength: length, maxLength: length }).map((item) => Buffer.from(item))
const int = (max = Number.MAX_SAFE_INTEGER, min = 0): fc.Arbitrary<number> =>
  fc.oneof(fc.integer({ min, max }), fc.constantFrom(min, max))
const session = fc.string({
  unit: fc.constantFrom(...'abcdefghijklmnopqrstuvwxyz234567'),
  minLength: 16,
  maxLength: 16,
})
const hash = bytes(32).map((item) => item.toString('base64'))
const ref: fc.Arbitrary<Ref> = fc.record({
  h: hash,
  i: int(2 ** 32 - 1),
  n: int(1_048_609, 33),
  t: fc.oneof(fc.constantFrom('sql', 'who', 'tty'), token(12)),
})

const VALUES: Record<Shape, fc.Arbitrary<unknown>> = {
  base64: fc.uint8Array({ minLength: 1, maxLength: 200 }).map((item) => Buffer.from(item).toString('base64')),
  count: int(Number.MAX_SAFE_INTEGER, 1),
  flag: fc.boolean(),
  format: fc.constant(1),
  hash,
  int: int(),
  origin: token(20).map((name) => `${name.replaceAll('+', '-')}/book`),
  refs: fc.array(ref, { minLength: 1, maxLength: 4 }),
  salt: bytes(16).map((item) => item.toString('base64url')),
  scope: fc.oneof(
    fc.record({ below: int() }),
    fc.record({ sids: fc.array(session, { minLength: 1, maxLength: 5 }) }),
    fc.record({ refs: fc.array(fc.tuple(session, int(2 ** 32 - 1)), { minLength: 1, maxLength: 5 }) }),
  ),
  session,
  token: token(128),
  tokens: fc.array(token(12), { minLength: 1, maxLength: 4 }),
  vkey: token(256),
  word: token(32),
}

const place: fc.Arbitrary<Place> = fc.record({
  log: VALUES.origin as fc.Arbitrary<string>,
  seq: int(),
  prev: hash,
  salt: VALUES.salt as fc.Arbitrary<string>,
})

function members(kind: string): fc.Arbitrary<Members> {
  const { required = [], optional = [], words } = KINDS[kind] ?? {}
  const value = (name: MemberName) => {
    const closed = words?.[name]
    return closed === undefined ? VALUES[MEMBERS[name]] : fc.constantFrom(...closed)
  }
  const names = [...required, ...optional]
  const values = Object.fromEntries(names.map((name) => [name, value(name)]))
  return fc.record({ kind: fc.constant(kind), ts: int(), ...values }, {
    requiredKeys: ['kind', 'ts', ...required],
  } as never) as unknown as fc.Arbitrary<Members>
}

interface Recorded {
  readonly members: Members
  readonly place: Place
}

/** A record of that kind with any values that the schema allows, and where it stands. */
export const recordOf = (kind: string): fc.Arbitrary<Recorded> => fc.record({ members: members(kind), place })

/** One of any kind. */
export const anyRecord: fc.Arbitrary<Recorded> = fc.constantFrom(...Object.keys(KINDS)).chain(recordOf)
