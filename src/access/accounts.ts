/**
 * What the gateway itself keeps of people, in `accounts.db`: tokens, by what each protocol needs to check them,
 * and the pseudonym under which the book speaks of each user. Users, groups and rights stand in the configuration.
 *
 * An act on accounts is written down in the same transaction that does it, and waits here until the gateway has
 * it in the book: so a command needs no running gateway, and nothing is done that is not told.
 */
import { createHmac, randomBytes } from 'node:crypto'
import { chmodSync } from 'node:fs'
import Database from 'better-sqlite3'
import type { Clock } from '../system/clock.ts'
import { OperatorError, wordsOf } from '../system/operator-error.ts'
import { type AdminAct, type AdminEvent, LOCAL_SUBJECT } from './events.ts'
import { SCRAM_SALT_BYTES, type Verifier, verifierOf } from './verifier.ts'

/** Tells a token from a chosen password at once, to us and to whoever searches files for lost secrets. */
export const TOKEN_PREFIX = 'gatebook_'
/** How many secrets of one user a proof may be tried against: see SCRAM in the protocols. */
export const TOKENS_MAX = 15
const LABEL_MAX = 100
const ACTS_READ_MAX = 1000
/** A token's last use is kept this exactly: each change of it is a write to the disk. */
const LAST_USED_EXACT_MS = 5 * 60_000

const SCHEMA = `
  CREATE TABLE secret(name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
  CREATE TABLE subject(user TEXT PRIMARY KEY, sub TEXT NOT NULL UNIQUE, created INTEGER NOT NULL) STRICT;
  CREATE TABLE token(
    id TEXT PRIMARY KEY, user TEXT NOT NULL, label TEXT NOT NULL, salt BLOB NOT NULL, stored_key BLOB NOT NULL,
    server_key BLOB NOT NULL, sha256_twice BLOB NOT NULL, sha1_twice BLOB NOT NULL, created INTEGER NOT NULL,
    expires INTEGER NOT NULL, revoked INTEGER, last_used INTEGER) STRICT;
  CREATE INDEX token_user ON token(user);
  CREATE TABLE act(id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, event TEXT NOT NULL) STRICT;
  PRAGMA user_version = 1;`
const SCHEMA_VERSION = 1

/** What may be shown of a token. Times are milliseconds since 1970. */
export interface TokenInfo {
  readonly id: string
  readonly user: string
  readonly label: string
  readonly created: number
  readonly expires: number
  readonly revoked?: number
  readonly lastUsed?: number
}

export interface StoredToken extends TokenInfo, Verifier {
  readonly salt: Uint8Array
}

/** Something done that the book does not know yet. */
export interface PendingAct {
  readonly id: number
  /** Microseconds since 1970. */
  readonly at: number
  readonly event: AdminEvent
}

export interface AccountsParts {
  readonly clock: Clock
  readonly random?: (length: number) => Uint8Array
}

export class Accounts implements Disposable {
  readonly #db: Database.Database
  readonly #clock: Clock
  readonly #random: (length: number) => Uint8Array
  readonly #saltKey: Uint8Array

  private constructor(db: Database.Database, { clock, random = randomBytes }: AccountsParts) {
    this.#db = db
    this.#clock = clock
    this.#random = random
    this.#saltKey = secretOf(db, 'salt')
  }

  /** What should not exist yet is created here and nowhere else. */
  static create(path: string, parts: AccountsParts): Accounts {
    const db = opened(path, false)
    // SQLite creates its files as the umask says, and later those beside them as this one is.
    chmodSync(path, 0o600)
    const { random = randomBytes } = parts
    db.transaction(() => {
      if (versionOf(db) !== 0) throw new OperatorError('disk', `creating ${path}: it exists already`)
      db.exec(SCHEMA)
      db.prepare('INSERT INTO secret VALUES (?, ?)').run('salt', random(32))
    }).immediate()
    return new Accounts(db, parts)
  }

  static open(path: string, parts: AccountsParts): Accounts {
    const db = opened(path, true)
    const version = versionOf(db)
    if (version !== SCHEMA_VERSION) {
      db.close()
      throw new OperatorError(
        'disk',
        `opening ${path}: its format is ${version}, and this release knows ${SCHEMA_VERSION}`,
      )
    }
    return new Accounts(db, parts)
  }

  /** The pseudonym of a user who exists; random, so that the book without this table names nobody. */
  subjectOf(user: string): string {
    const find = this.#db.prepare<[string], { sub: string }>('SELECT sub FROM subject WHERE user = ?')
    const known = find.get(user)
    if (known !== undefined) return known.sub
    const insert = this.#db.prepare('INSERT INTO subject VALUES (?, ?, ?) ON CONFLICT(user) DO NOTHING')
    insert.run(user, base32(this.#random(10)), this.#clock.now())
    // Another process may have been first; the row that stands is the one that counts.
    return find.get(user)?.sub ?? unreachable()
  }

  /** Whose pseudonym it is, for those who may read the book's payloads. */
  userOf(sub: string): string | undefined {
    return this.#db.prepare<[string], { user: string }>('SELECT user FROM subject WHERE sub = ?').get(sub)
      ?.user
  }

  /** The same for a name whether or not it is anybody's, and different at every gateway. */
  saltOf(user: string): Uint8Array {
    return createHmac('sha256', this.#saltKey).update(user).digest().subarray(0, SCRAM_SALT_BYTES)
  }

  /** Tokens that are not revoked. Whether one has expired is for the reader's clock to say. */
  tokensOf(user: string): readonly StoredToken[] {
    const rows = this.#db
      .prepare<[string], TokenRow>(
        'SELECT * FROM token WHERE user = ? AND revoked IS NULL ORDER BY created, id',
      )
      .all(user)
    return rows.map(storedToken)
  }

  /** Whose secret it is, told without a name; tokens are random, so that finding them by a hash tells nothing. */
  ownerOf(secret: string): StoredToken | undefined {
    if (!secret.startsWith(TOKEN_PREFIX)) return undefined
    const { sha256Twice } = verifierOf(secret, new Uint8Array(SCRAM_SALT_BYTES))
    const row = this.#db
      .prepare<[Uint8Array, number], TokenRow>(
        'SELECT * FROM token WHERE sha256_twice = ? AND revoked IS NULL AND expires > ?',
      )
      .get(sha256Twice, this.#clock.now())
    return row && storedToken(row)
  }

  tokens(user?: string): readonly TokenInfo[] {
    const rows = this.#db.prepare<[], TokenRow>('SELECT * FROM token ORDER BY user, created, id').all()
    return rows.filter((row) => user === undefined || row.user === user).map(tokenInfo)
  }

  /** Returns the secret, which is stored nowhere and cannot be told again. */
  createToken({
    user,
    label,
    expires,
    salt = this.saltOf(user),
    by = LOCAL_SUBJECT,
  }: NewToken): CreatedToken {
    if (label.length > LABEL_MAX)
      throw new OperatorError('usage', `a label of more than ${LABEL_MAX} characters`)
    const secret = `${TOKEN_PREFIX}${base32(this.#random(20))}`
    const id = base32(this.#random(5))
    const now = this.#clock.now()
    const { storedKey, serverKey, sha256Twice, sha1Twice } = verifierOf(secret, salt)
    const insert = this.#db.prepare('INSERT INTO token VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL)')
    this.#db
      .transaction(() => {
        const live = this.tokensOf(user).filter((token) => token.expires > now).length
        if (live >= TOKENS_MAX)
          throw new OperatorError('usage', `${user} has ${live} tokens already: revoke one`)
        insert.run(id, user, label, salt, storedKey, serverKey, sha256Twice, sha1Twice, now, expires)
        this.#tell('token.create', by, { token: id, user, label, expires: new Date(expires).toISOString() })
      })
      .immediate()
    return { secret, token: { id, user, label, created: now, expires } }
  }

  /** Undefined when there is no such token; one revoked before stays as it was. */
  revokeToken(id: string, by = LOCAL_SUBJECT): TokenInfo | undefined {
    return this.#db
      .transaction(() => {
        const row = this.#db.prepare<[string], TokenRow>('SELECT * FROM token WHERE id = ?').get(id)
        if (row === undefined || row.revoked !== null) return row && tokenInfo(row)
        const revoked = this.#clock.now()
        this.#db.prepare('UPDATE token SET revoked = ? WHERE id = ?').run(revoked, id)
        this.#tell('token.revoke', by, { token: id, user: row.user })
        return tokenInfo({ ...row, revoked })
      })
      .immediate()
  }

  tokenUsed(token: TokenInfo): void {
    const now = this.#clock.now()
    if (token.lastUsed !== undefined && now - token.lastUsed < LAST_USED_EXACT_MS) return
    this.#db.prepare('UPDATE token SET last_used = ? WHERE id = ?').run(now, token.id)
  }

  /** In the order they were done; call again after `actsTold` for the rest. */
  pendingActs(): readonly PendingAct[] {
    const rows = this.#db
      .prepare<[number], { id: number; at: number; event: string }>('SELECT * FROM act ORDER BY id LIMIT ?')
      .all(ACTS_READ_MAX)
    return rows.map(({ id, at, event }) => ({ id, at, event: JSON.parse(event) as AdminEvent }))
  }

  /** Only when they are durable in the book: what a crash brings twice is better than what it loses. */
  actsTold(upTo: number): void {
    this.#db.prepare('DELETE FROM act WHERE id <= ?').run(upTo)
  }

  [Symbol.dispose](): void {
    this.#db.close()
  }

  #tell(act: AdminAct, sub: string, details: Readonly<Record<string, string>>): void {
    const event: AdminEvent = { type: 'admin', act, sub, outcome: 'ok', private: details }
    this.#db
      .prepare('INSERT INTO act(at, event) VALUES (?, ?)')
      .run(this.#clock.nowMicros(), JSON.stringify(event))
  }
}

export interface NewToken {
  readonly user: string
  readonly label: string
  readonly expires: number
  /** That of the user's SCRAM password, if there is one: a challenge can name one salt only. */
  readonly salt?: Uint8Array
  readonly by?: string
}

export interface CreatedToken {
  readonly token: TokenInfo
  readonly secret: string
}

interface TokenRow {
  id: string
  user: string
  label: string
  salt: Uint8Array
  stored_key: Uint8Array
  server_key: Uint8Array
  sha256_twice: Uint8Array
  sha1_twice: Uint8Array
  created: number
  expires: number
  revoked: number | null
  last_used: number | null
}

function tokenInfo({ id, user, label, created, expires, revoked, last_used: lastUsed }: TokenRow): TokenInfo {
  return {
    ...{ id, user, label, created, expires },
    ...(revoked === null ? {} : { revoked }),
    ...(lastUsed === null ? {} : { lastUsed }),
  }
}

function storedToken(row: TokenRow): StoredToken {
  const {
    salt,
    stored_key: storedKey,
    server_key: serverKey,
    sha256_twice: sha256Twice,
    sha1_twice: sha1Twice,
  } = row
  return { ...tokenInfo(row), salt, storedKey, serverKey, sha256Twice, sha1Twice }
}

/** better-sqlite3 opens a WAL database under NORMAL: FULL is set at every opening and read back. */
function opened(path: string, mustExist: boolean): Database.Database {
  let db: Database.Database
  try {
    db = new Database(path, { fileMustExist: mustExist, timeout: 5000 })
  } catch (cause) {
    throw new OperatorError('disk', `opening ${path}: ${wordsOf(cause)}`, { cause })
  }
  try {
    db.pragma('journal_mode = WAL')
    db.pragma('synchronous = FULL')
    db.pragma('secure_delete = ON')
    if (db.pragma('synchronous', { simple: true }) !== 2)
      throw new Error('it cannot be made to write durably')
    return db
  } catch (cause) {
    db.close()
    throw new OperatorError('disk', `opening ${path}: ${wordsOf(cause)}`, { cause })
  }
}

function versionOf(db: Database.Database): number {
  return Number(db.pragma('user_version', { simple: true }))
}

function secretOf(db: Database.Database, name: string): Uint8Array {
  const row = db.prepare<[string], { value: Uint8Array }>('SELECT value FROM secret WHERE name = ?').get(name)
  if (row === undefined) throw new OperatorError('disk', `accounts.db holds no secret "${name}"`)
  return row.value
}

const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567'

/** RFC 4648 in lower case without padding: survives being read aloud, typed and put into any file. */
function base32(bytes: Uint8Array): string {
  let bits = 0
  let held = 0
  let text = ''
  for (const byte of bytes) {
    held = ((held << 8) | byte) & 0xfff
    bits += 8
    for (; bits >= 5; bits -= 5) text += ALPHABET[(held >>> (bits - 5)) & 31]
  }
  return bits > 0 ? text + ALPHABET[(held << (5 - bits)) & 31] : text
}

function unreachable(): never {
  throw new Error('a row just written is not there')
}
