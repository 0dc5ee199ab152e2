/**
 * Functions of both servers, and of their usual extensions, that write, run a text they are given, or reach the server's
 * files and settings. Calling one is a CALL beside the statement around it, as in PostgreSQL. Of functions of the
 * person's own the text does not tell what they do: they count as part of the statement that calls them.
 */
import { type Token, unquote } from './tokens.ts'

const EFFECTFUL = new RegExp(
  `^(${[
    'load_file|nextval|setval|sys_(exec|eval|set)|spider_.*',
    'group_replication_.*|asynchronous_connection_failover_.*|keyring_key_.*|version_tokens_.*|audit_log_.*',
  ].join('|')})$`,
  'i',
)

export function callsEffectful(tokens: readonly Token[]): boolean {
  return tokens.some((token, at) => isCall(token, at, tokens) || drawsFromSequence(at, tokens))
}

/** Quoted and behind a schema's name too: both servers find their own functions in either way. */
function isCall(token: Token, at: number, tokens: readonly Token[]): boolean {
  if (tokens[at + 1]?.key !== '(') return false
  const isName = token.kind === 'word' || token.kind === 'name' || token.text.startsWith('"')
  return isName && EFFECTFUL.test(unquote(token))
}

/** `NEXT VALUE FOR s`; `s.nextval`, as MariaDB takes it in Oracle's mode. */
function drawsFromSequence(at: number, tokens: readonly Token[]): boolean {
  const key = tokens[at]?.key
  const next = tokens[at + 1]?.key
  if (key === '.') return next === 'NEXTVAL'
  return key === 'NEXT' && next === 'VALUE' && tokens[at + 2]?.key === 'FOR'
}
