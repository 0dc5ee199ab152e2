/**
 * What a relay itself must know of a text, policies or not: whom it kills, which local files it asks for, which
 * database it moves to, and whether it changes how texts are read. Most texts contain none of the words, and
 * are not looked at further.
 */
import { decodeLossy } from '../../bytes.ts'
import { isSafeCharset, isUtf8 } from '../charsets.ts'
import { settingName, touchesOf } from './settings.ts'
import { readName } from './tables.ts'
import {
  decodeLatin,
  encodeLatin,
  splitStatements,
  type Token,
  Tokenizer,
  tokenize,
  unquote,
} from './tokens.ts'

export interface Kill {
  /** HARD or SOFT, QUERY or CONNECTION, as far as they are there. */
  readonly words: readonly string[]
  readonly thread: number
}

export interface Concerns {
  /** `unclear`: a KILL that is not exactly of a thread by its number, and alone in its text. */
  readonly kill: Kill | 'unclear' | undefined
  /** Names of local files to load, in Latin-1: each byte a character. */
  readonly files: readonly string[]
  readonly database: string | undefined
  /** The character set that its texts are in from then on, where it is named as it stands. */
  readonly charset: string | undefined
  /** Whether another reading of texts may hold behind it. */
  readonly reading: boolean
  /** What bytes above 0x7f are behind it: `utf8` once the target has done it, `other` perhaps at once. */
  readonly encoding: 'utf8' | 'other' | undefined
}

export const NO_CONCERNS: Concerns = {
  kill: undefined,
  files: [],
  database: undefined,
  charset: undefined,
  reading: false,
  encoding: undefined,
}
const KILL = /\bkill\b/i
const OTHERS =
  /\buse\b|\binfile\b|\bnames\b|\bchar(?:acter|set)\b|\b(?:character_set|collation)_|\bsql_mode\b|\bprepare\b|\bexecute\b/i

/** `dependable`: whether the session reads texts as the tokenizer does. */
export function concernsOf(text: Uint8Array, dependable: boolean): Concerns {
  const latin = decodeLatin(text)
  const kills = KILL.test(latin)
  if (!kills && !OTHERS.test(latin)) return NO_CONCERNS
  const { tokens, disputed } = tokenize(latin)
  const statements = splitStatements(tokens)
  // Where another server's reading could bring a KILL out of a literal, it counts as one.
  const sure = dependable && disputed === undefined
  const inner = statements.flatMap(prepared)
  const sets = [...statements, ...inner].filter(isSet)
  return {
    kill: kills ? (sure ? killOf(statements) : 'unclear') : undefined,
    files: statements.flatMap(filesOf),
    database: statements.flatMap(databaseOf).at(-1),
    charset: statements.filter(isSet).flatMap(charsetOf).at(-1),
    reading: sets.some(changesReading),
    encoding: sets.some(leavesUtf8)
      ? 'other'
      : inner.length === 0 && entersUtf8(statements)
        ? 'utf8'
        : undefined,
  }
}

/** The statements inside PREPARE and EXECUTE IMMEDIATE, as far as they stand in the text. */
function prepared(tokens: readonly Token[]): readonly Token[][] {
  if (tokens[0]?.key !== 'PREPARE' && tokens[0]?.key !== 'EXECUTE') return []
  const literals = tokens.filter(({ kind }) => kind === 'string')
  return literals.flatMap((literal) => splitStatements(tokenize(unquote(literal)).tokens))
}

/** KILL is a reserved word: where it stands unquoted, and not as a part of a name, something is killed. */
function killOf(statements: readonly Token[][]): Concerns['kill'] {
  const found = statements.some(
    (tokens) => tokens.some((token, i) => isKill(token, tokens[i - 1])) || prepares(tokens),
  )
  if (!found) return undefined
  const [tokens] = statements
  if (tokens === undefined || statements.length > 1 || tokens.some(({ optional }) => optional))
    return 'unclear'
  const words = tokens.slice(1, -1).map(({ key }) => key)
  const id = tokens.at(-1)
  const plain =
    tokens[0]?.key === 'KILL' && /^(?:HARD |SOFT )?(?:QUERY |CONNECTION )?$/.test([...words, ''].join(' '))
  if (!plain || id?.kind !== 'number' || !/^\d{1,10}$/.test(id.text)) return 'unclear'
  return { words, thread: Number(id.text) }
}

function isKill(token: Token, before: Token | undefined): boolean {
  return token.key === 'KILL' && before?.key !== '.'
}

/** A statement that is prepared from a literal, or run from one at once. */
function prepares(tokens: readonly Token[]): boolean {
  const first = tokens[0]?.key
  if (first !== 'PREPARE' && first !== 'EXECUTE' && first !== 'SET') return false
  return tokens.some((token) => token.kind === 'string' && KILL.test(unquote(token)))
}

/** LOAD DATA LOCAL INFILE, LOAD XML LOCAL INFILE. */
function filesOf(tokens: readonly Token[]): string[] {
  const load = tokens.findIndex(({ key }) => key === 'LOAD')
  const infile = tokens.findIndex(({ key }, i) => i > load && key === 'INFILE')
  if (load === -1 || infile === -1) return []
  if (!tokens.slice(load, infile).some(({ key }) => key === 'LOCAL')) return []
  const name = tokens[infile + 1]
  return name?.kind === 'string' ? [unquote(name)] : []
}

function databaseOf(tokens: readonly Token[]): string[] {
  if (tokens[0]?.key !== 'USE') return []
  const [name] = readName(tokens, 1)
  return name === undefined ? [] : [decodeLossy(encodeLatin(name.name))]
}

function isSet([first]: readonly Token[]): boolean {
  return first?.key === 'SET'
}

/** What the client's texts are in from then on, where it is named as it stands. */
function charsetOf(tokens: readonly Token[]): string[] {
  return charsetsSet(tokens, ['CHARACTER_SET_CLIENT']).filter((name) => /^\w+$/.test(name))
}

/** Any SET of a character set or sql_mode, but for the few values that change nothing for a parser. */
function changesReading(tokens: readonly Token[]): boolean {
  if (!touchesOf(tokens).includes('text-reading')) return false
  const isMode = (token: Token, i: number): boolean =>
    settingName(token) === 'SQL_MODE' && assigns(tokens[i + 1]) && !isPlainMode(tokens[i + 2], tokens[i + 3])
  return tokens.some(isMode) || !charsetsSet(tokens).every(isSafeCharset)
}

function leavesUtf8(tokens: readonly Token[]): boolean {
  return !charsetsSet(tokens).every(isUtf8)
}

/** SET NAMES, alone in its text: what else a text does may undo it. */
function entersUtf8([tokens = [], ...others]: readonly Token[][]): boolean {
  const [, names, value, ...collation] = tokens
  return (
    others.length === 0 &&
    names?.key === 'NAMES' &&
    isUtf8(value === undefined ? '' : unquote(value)) &&
    (collation.length === 0 || (collation.length === 2 && collation[0]?.key === 'COLLATE')) &&
    !tokens.some(({ optional }) => optional)
  )
}

const READING_VARIABLES = ['CHARACTER_SET_CLIENT', 'CHARACTER_SET_CONNECTION']

/** The character sets that a SET names for what the client sends; empty where one is computed. */
function charsetsSet(tokens: readonly Token[], variables: readonly string[] = READING_VARIABLES): string[] {
  const named = (at: number): string[] => {
    const value = tokens[at]
    return [value === undefined ? '' : unquote(value).toLowerCase()]
  }
  return tokens.flatMap((token, i) => {
    const name = settingName(token)
    if (name === 'NAMES' || name === 'CHARSET') return named(i + 1)
    if (name === 'CHARACTER') return named(i + 2)
    return variables.includes(name) && assigns(tokens[i + 1]) ? named(i + 2) : []
  })
}

function assigns(token: Token | undefined): boolean {
  return token?.key === '=' || token?.key === ':='
}

/** A literal without the modes that move the ends of strings. What is computed may hold any. */
function isPlainMode(value: Token | undefined, behind: Token | undefined): boolean {
  if (value?.kind !== 'string' || (behind !== undefined && behind.key !== ',')) return false
  return !/NO_BACKSLASH_ESCAPES|ANSI|DB2|MAXDB|MSSQL|ORACLE|POSTGRESQL/i.test(value.text)
}

/** How many `?` a text has, for an execution that is sent before the target has told; undefined where unsure. */
export function countParams(text: Uint8Array): number | undefined {
  const tokenizer = new Tokenizer(decodeLatin(text))
  let count = 0
  for (let token = tokenizer.next(); token !== undefined; token = tokenizer.next()) {
    if (token.optional) return undefined
    if (token.kind === 'param') count++
  }
  return tokenizer.disputed === undefined ? count : undefined
}
