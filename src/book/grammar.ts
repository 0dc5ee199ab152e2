/**
 * The grammar of leaves. Their language is regular: members ascend, their spelling is unique, nothing nests but
 * `ref` and `scope`. So the table in kinds.ts is compiled into one regular expression per kind, and a leaf that
 * matches it is canonical and of its schema at once. What a match cannot say, the ranges of integers, is checked
 * where the values are read (format.ts).
 */
import { ALWAYS, KINDS, MEMBERS, type MemberName, PLACE, type Shape } from './kinds.ts'

export const REFS_MAX = 64
const APPROVERS_MAX = 4
const SCOPE_REFS_MAX = 128
const SCOPE_SESSIONS_MAX = 256
const PROOF_CHARS_MAX = 8_192

const INT = '(?:0|[1-9][0-9]{0,15})'
const SESSION = '[a-z2-7]{16}'
const BASE64 = '[A-Za-z0-9+/]'
/**
 * Of the last character only the bits that belong to a byte may be set; so one value has one spelling. Of the others
 * many are written out, for a counted loop takes longer, and hashes are a third of an entry.
 */
const HASH = `(?:${BASE64.repeat(14)}){3}[AEIMQUYcgkosw048]=`
const CHARACTER = String.raw`(?:[!#-\[\]-~]|\\["\\])`
const TOKEN = `${CHARACTER}{1,128}`
const REF = `\\{"h":"${HASH}","i":${INT},"n":${INT},"t":"${TOKEN}"\\}`
const SCOPES = [
  `\\{"below":${INT}\\}`,
  `\\{"refs":\\[${list(`\\["${SESSION}",${INT}\\]`, SCOPE_REFS_MAX)}\\]\\}`,
  `\\{"sids":\\[${list(`"${SESSION}"`, SCOPE_SESSIONS_MAX)}\\]\\}`,
]

function list(item: string, max: number): string {
  return `${item}(?:,${item}){0,${max - 1}}`
}

/** How a value of each shape is spelled. Every expression is linear: no two branches begin alike. */
const SPELLING: Readonly<Record<Shape, string>> = {
  base64: `"(?=[^"]{4,${PROOF_CHARS_MAX}}")(?:${BASE64}{4})*(?:${BASE64}{2}[AEIMQUYcgkosw048]=|${BASE64}[AQgw]==)?"`,
  count: '[1-9][0-9]{0,15}',
  flag: 'true|false',
  format: '1',
  hash: `"${HASH}"`,
  int: INT,
  origin: String.raw`"(?:[!#-*,-\[\]-~]|\\["\\]){1,123}/book"`,
  refs: `\\[${list(REF, REFS_MAX)}\\]`,
  salt: '"[A-Za-z0-9_-]{21}[AQgw]"',
  scope: SCOPES.join('|'),
  session: `"${SESSION}"`,
  token: `"${TOKEN}"`,
  tokens: `\\[${list(`"${TOKEN}"`, APPROVERS_MAX)}\\]`,
  vkey: `"${CHARACTER}{1,256}"`,
  word: `"${CHARACTER}{1,32}"`,
}

/** A member where it stands in a kind's leaf. */
interface Field {
  readonly name: MemberName
  readonly label: string
  readonly shape: Shape
  readonly optional: boolean
  /** Given by the book, not by the record. */
  readonly placed: boolean
}

export interface Grammar {
  readonly kind: string
  /** In ascending order, one for each group of `pattern`. */
  readonly fields: readonly Field[]
  /** Which group of `pattern` spells a member. */
  readonly groups: ReadonlyMap<MemberName, number>
  readonly pattern: RegExp
}

export type Grammars = ReadonlyMap<string, Grammar>

function spelling(kind: string, name: MemberName): string {
  const words = name === 'kind' ? [kind] : KINDS[kind]?.words?.[name]
  if (words === undefined) return SPELLING[MEMBERS[name]]
  return `"(?:${words.map((word) => word.replaceAll('.', '\\.')).join('|')})"`
}

function compile(kind: string, place: readonly MemberName[]): Grammar {
  const { required = [], optional = [] } = KINDS[kind] ?? {}
  const names = [...ALWAYS, ...place, ...required, ...optional].sort()
  const parts = names.map((name) => {
    // Every leaf has `ts`, so that is where commas change sides.
    const part = `${name > 'ts' ? ',' : ''}"${name}":(${spelling(kind, name)})${name < 'ts' ? ',' : ''}`
    return optional.includes(name) ? `(?:${part})?` : part
  })
  const fields = names.map((name) => ({
    name,
    label: `,"${name}":`,
    shape: MEMBERS[name],
    optional: optional.includes(name),
    placed: place.includes(name),
  }))
  const groups = new Map(names.map((name, at) => [name, at + 1]))
  return { kind, fields, groups, pattern: new RegExp(`^\\{${parts.join('')}\\}$`) }
}

const kinds = Object.keys(KINDS)
export const LEAVES: Grammars = new Map(kinds.map((kind) => [kind, compile(kind, PLACE)]))
export const ENTRIES: Grammars = new Map(kinds.map((kind) => [kind, compile(kind, [])]))

const PATTERNS = new Map(kinds.map((kind) => [kind, patterns(kind)]))

function patterns(kind: string): ReadonlyMap<string, RegExp> {
  const fields = LEAVES.get(kind)?.fields ?? []
  return new Map(fields.map(({ name }) => [name, new RegExp(`^(?:${spelling(kind, name)})$`)]))
}

/** Says what is wrong with a leaf that does not match: for people, so it need not be fast. */
export function explain(leaf: Readonly<Record<string, unknown>>, grammar: Grammar): string {
  const kind = String(leaf['kind'])
  for (const { name, optional } of grammar.fields) {
    if (leaf[name] === undefined && !optional) return `${kind}: ${name} is missing`
  }
  for (const [name, value] of Object.entries(leaf)) {
    if (value === undefined) continue
    if (!grammar.fields.some((field) => field.name === name)) return `${kind}: there is no member ${name}`
    if (PATTERNS.get(kind)?.get(name)?.test(JSON.stringify(value)) !== true)
      return `${kind}: ${name} has an impossible value`
  }
  return `${kind}: too long`
}
