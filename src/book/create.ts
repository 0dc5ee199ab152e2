/**
 * A new book, built in a folder beside its place and renamed into it: an interrupted creation leaves nothing
 * half-made, and an existing book is never touched.
 */
import { createPrivateKey, generateKeyPairSync, type KeyObject, randomFillSync } from 'node:crypto'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
} from 'node:fs'
import { dirname, resolve } from 'node:path'
import { preallocate, syncFolder, writeFileDurably } from '../system/durable.ts'
import { formatVkey, makeSigner, type Signer, signCheckpoint } from './checkpoint.ts'
import { BookError, holdLock, openForWriting } from './database.ts'
import { type BookFiles, bookFiles, JOURNAL_FILE, journalPath } from './files.ts'
import { JOURNAL_BYTES } from './journal.ts'
import { KEYS_SCHEMA } from './keys.ts'
import { SCHEMA } from './schema.ts'
import { RightEdge } from './tree.ts'

/** Room for the records that close what runs when the disk is full. */
export const BALLAST_BYTES = 64 << 20

export interface NewBook {
  readonly directory: string
  /** `<gateway name>/book`, without spaces and plus signs. */
  readonly origin: string
  /** Where the signing key shall lie; beside the book unless told. */
  readonly signingKey?: string
  readonly journalBytes?: number
  readonly ballastBytes?: number
}

export function newSigningKey(): KeyObject {
  return generateKeyPairSync('ed25519').privateKey
}

export function writeSigningKey(path: string, key: KeyObject): void {
  writeFileDurably(path, key.export({ type: 'pkcs8', format: 'pem' }))
}

export function readSigner(path: string, origin: string): Signer {
  const pem = readFileSync(path)
  let key: KeyObject | undefined
  try {
    key = createPrivateKey(pem)
  } catch {
    // OpenSSL's words for it name neither the file nor what is wrong.
  }
  if (key?.asymmetricKeyType !== 'ed25519') {
    throw new BookError(
      'damaged',
      `${path} holds no Ed25519 private key in PEM: restore the one that belongs there`,
    )
  }
  return makeSigner(origin, key)
}

/** The book's first vkey as it lies beside it; undefined where it was taken away. */
export function readFirstVkey({ vkey }: BookFiles): string | undefined {
  return existsSync(vkey) ? readFileSync(vkey, 'utf8').trim() : undefined
}

/** Creates the book and returns its first vkey, which its owner keeps elsewhere: verification starts from it. */
export function createBook(book: NewBook): string {
  const directory = resolve(book.directory)
  if (existsSync(directory) && readdirSync(directory).length > 0) {
    throw new BookError('exists', `${directory} is not empty: a new book needs a folder of its own`)
  }
  const draft = `${directory}.new`
  rmSync(draft, { recursive: true, force: true })
  mkdirSync(draft, { recursive: true, mode: 0o700 })
  const vkey = fill(bookFiles(draft, book.signingKey), book)
  syncFolder(draft)
  if (existsSync(directory)) rmdirSync(directory)
  renameSync(draft, directory)
  syncFolder(dirname(directory))
  return vkey
}

function fill(
  files: BookFiles,
  { origin, journalBytes = JOURNAL_BYTES, ballastBytes = BALLAST_BYTES }: NewBook,
): string {
  const key = newSigningKey()
  writeSigningKey(files.signingKey, key)
  const signer = makeSigner(origin, key)
  const vkey = formatVkey(signer.vkey)
  writeFileDurably(files.vkey, `${vkey}\n`, 0o644)

  const note = signCheckpoint([signer], { origin, size: 0, root: RightEdge.empty().root() })
  const db = openForWriting(files.book, false)
  db.exec(SCHEMA)
  db.prepare('INSERT INTO head(one, note) VALUES (1, ?)').run(note)
  db.prepare('INSERT INTO journal(file, size, batch) VALUES (?, ?, 0)').run(JOURNAL_FILE, journalBytes)
  db.pragma('wal_checkpoint(TRUNCATE)')
  db.close()
  const keys = openForWriting(files.keys, false)
  keys.exec(KEYS_SCHEMA)
  keys.pragma('wal_checkpoint(TRUNCATE)')
  keys.close()

  mkdirSync(files.journal, { mode: 0o700 })
  preallocate(journalPath(files), journalBytes)
  makeBallast(files, ballastBytes)
  writeFileDurably(files.head, note)
  holdLock(files.lock).close()
  // SQLite creates its files as the umask says, and later those beside them as these are.
  for (const path of [files.book, files.keys, files.lock]) chmodSync(path, 0o600)
  return vkey
}

/** Random bytes: zeros and holes may take no room at all. */
export function makeBallast(files: BookFiles, bytes: number): void {
  if (bytes > 0) preallocate(files.ballast, bytes, (piece) => randomFillSync(piece))
}
