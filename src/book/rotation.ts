/** Changing the signing key, FORMAT.md section 3.4: a thief of today's key cannot sign an earlier epoch again. */
import { renameSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { syncFolder } from '../system/durable.ts'
import { formatVkey } from './checkpoint.ts'
import { newSigningKey, readSigner, writeSigningKey } from './create.ts'
import type { BookFiles } from './files.ts'
import { newRecord, type Store } from './store.ts'

export function signingKeyIsDue(files: BookFiles, maxAgeMs: number, nowMs: number): boolean {
  return nowMs - statSync(files.signingKey).mtimeMs > maxAgeMs
}

/** The order is the point: whatever instant the process dies at, opening the book knows which key is the present one. */
export function rotateSigningKey(files: BookFiles, store: Store, ts: number): string {
  const next = `${files.signingKey}.next`
  writeSigningKey(next, newSigningKey())
  const signer = readSigner(next, store.origin)
  const vkey = formatVkey(signer.vkey)
  store.append([newRecord({ kind: 'key.next', ts, next: vkey })], {
    signers: [store.signer, signer],
    keep: true,
  })
  // Before the rename: should that fail, the next head must be the new key's all the same.
  store.signer = signer
  renameSync(next, files.signingKey)
  syncFolder(dirname(files.signingKey))
  return vkey
}
