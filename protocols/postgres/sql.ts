/**
 * What a text does, by PostgreSQL's own parser. Every node of the tree is looked at: a DELETE inside a WITH, under
 * EXPLAIN ANALYZE, in a COPY or behind a semicolon is a part like any other.
 *
 * What is decided about functions: calling one is part of the SELECT around it, except for those of PostgreSQL's
 * own that write, run texts or reach the server (EFFECTFUL below), which are CALLs. No parser can tell what a
 * function of the person's own does, and treating every unknown name as a write would refuse everyday queries;
 * the account behind a read-only role, which cannot write, is what holds there.
 */
import { loadModule, parseSync, SqlError } from 'libpg-query'
import { decodeText } from '../bytes.ts'
import type { StatementFacts, StatementPart } from '../statement-facts.ts'
import { hasDisputedLiteral, maskSql, nestingBound } from './sql-text.ts'
import { readTree } from './sql-tree.ts'

/** Longer texts are not parsed, for the parser holds up everybody meanwhile: about 80 ms at most. */
export const SQL_PARSED_MAX = 256 << 10
/** The parser, compiled to WebAssembly, overflows the stack of JavaScript above about 8000, and may not survive it. */
export const SQL_NESTING_MAX = 4000
/** Bytes of texts and of what is known of them. */
export const SQL_CACHE_BYTES_MAX = 16 << 20
const SQL_CACHED_TEXT_MAX = 32 << 10

/**
 * The first words by which a server knows a command of replication; no statement begins with one of them. Told by
 * the text alone: on a connection that does not replicate, the server refuses it as a syntax error.
 */
const REPLICATION =
  /^\s*(?:identify_system|timeline_history|base_backup|upload_manifest|(?:create|drop|alter|read)_replication_slot|start_replication)(?![\w$])/i

const UNKNOWN: readonly StatementPart[] = [{ verb: 'unknown', tables: [] }]

export class SqlReader {
  /** Least recently used first. */
  readonly #known = new Map<string, StatementFacts>()
  #bytes = 0
  /** What the parser died of: it is never called again, and everything counts as unknown. */
  #broken: string | undefined

  private constructor() {}

  /** Loads the parser, once for the whole process. */
  static async load(): Promise<SqlReader> {
    await loadModule()
    return new SqlReader()
  }

  /** `dependable` is false where the session reads texts in a way that the parser does not know. */
  read(bytes: Uint8Array, dependable: boolean): StatementFacts {
    const text = textOf(bytes)
    if (text === undefined) return unknown('it is not valid UTF-8', '(not valid UTF-8)')
    const facts = this.#cached(text) ?? this.#remember(text, this.#classify(text))
    if (dependable || facts.disputed !== undefined) return facts
    return { ...facts, disputed: 'this session’s settings change how texts are read' }
  }

  #classify(text: string): StatementFacts {
    const masked = maskSql(text)
    if (text.length > SQL_PARSED_MAX) return unknown(`it is longer than ${SQL_PARSED_MAX} characters`, masked)
    if (text.includes('\0')) return unknown('it has a NUL inside', masked)
    if (REPLICATION.test(text))
      return { parts: [{ verb: 'REPLICATION', tables: [] }], liftsReadOnly: false, masked }
    if (text.trim() === '') return { parts: [], liftsReadOnly: false, masked }
    if (nestingBound(text) > SQL_NESTING_MAX) return unknown('it is nested too deeply', masked)
    if (this.#broken !== undefined) return unknown(`the parser has failed: ${this.#broken}`, masked)
    try {
      const { parts, liftsReadOnly } = readTree(parseSync(text))
      const facts = { parts, liftsReadOnly, masked }
      return hasDisputedLiteral(text)
        ? { ...facts, disputed: "a backslash in a plain literal; write it as E'…'" }
        : facts
    } catch (error) {
      if (error instanceof SqlError)
        return unknown(`PostgreSQL 18 would not accept it: ${error.message}`, masked)
      this.#broken = String(error)
      return unknown(`the parser has failed: ${this.#broken}`, masked)
    }
  }

  #cached(text: string): StatementFacts | undefined {
    const facts = this.#known.get(text)
    if (facts === undefined) return undefined
    this.#known.delete(text)
    this.#known.set(text, facts)
    return facts
  }

  #remember(text: string, facts: StatementFacts): StatementFacts {
    if (text.length > SQL_CACHED_TEXT_MAX) return facts
    this.#known.set(text, facts)
    this.#bytes += weightOf(text, facts)
    for (const [oldest, known] of this.#known) {
      if (this.#bytes <= SQL_CACHE_BYTES_MAX) break
      this.#known.delete(oldest)
      this.#bytes -= weightOf(oldest, known)
    }
    return facts
  }

  /** What the cache holds now, by its own reckoning. */
  get cachedBytes(): number {
    return this.#bytes
  }
}

/** Two bytes a character, and what an object costs: an estimate that errs upwards. */
function weightOf(text: string, { parts, masked }: StatementFacts): number {
  const tables = parts.reduce((sum, part) => sum + 1 + part.tables.length, 0)
  return 2 * (text.length + masked.length) + 200 * (1 + tables)
}

function unknown(disputed: string, masked: string): StatementFacts {
  return { parts: UNKNOWN, liftsReadOnly: true, disputed, masked }
}

function textOf(bytes: Uint8Array): string | undefined {
  try {
    return decodeText(bytes)
  } catch {
    // The only fault there can be; the text is judged as unknown.
    return undefined
  }
}
