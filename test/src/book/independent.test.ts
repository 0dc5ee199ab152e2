/** Programs that share nothing with ours check what a book says: OpenSSL, and the verifier of npm's provenance. */
import { execFileSync } from 'node:child_process'
import { createPublicKey } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import checkpoints from '@sigstore/verify/dist/tlog/checkpoint.js'
import merkle from '@sigstore/verify/dist/tlog/merkle.js'
import { describe, expect, test } from 'vitest'
import { formatVkey } from '../../../src/book/checkpoint.ts'
import { parseTlogProof } from '../../../src/book/proof.ts'
import { proveRecord } from '../../../src/book/prove.ts'
import { leafHash } from '../../../src/book/tree.ts'
import { readVector } from '../../support/book-vectors.ts'
import { temporaryFiles } from '../../support/folder.ts'
import { MemorySource, readRows } from '../../support/memory-source.ts'
import { buildSampleBook } from '../../support/sample-book.ts'

const newFile = temporaryFiles()
const sample = buildSampleBook(newFile())
const rows = readRows(sample.file)
const head = Buffer.from(rows.head ?? []).toString()
const current = sample.signers.at(-1) ?? sample.signers[0]
const vkey = current?.vkey ?? sample.vkey

/** The recipe of FORMAT.md, word by word. */
const CHECK_SIGNATURE = `
sed '/^$/,$d' head.note > msg
grep '^— ' head.note | head -1 | cut -d' ' -f3 | base64 -d | tail -c +5 > sig
{ printf '\\060\\052\\060\\005\\006\\003\\053\\145\\160\\003\\041\\000'; printf %s "$VK" | cut -d+ -f3- | base64 -d | tail -c +2; } > pub.der
openssl pkeyutl -verify -pubin -keyform DER -inkey pub.der -rawin -in msg -sigfile sig
`

describe('OpenSSL', () => {
  function check(note: string, vk: string): boolean {
    const cwd = join(newFile(), '..')
    writeFileSync(join(cwd, 'head.note'), note)
    try {
      const out = execFileSync('bash', ['-c', CHECK_SIGNATURE], {
        cwd,
        env: { ...process.env, VK: vk },
        stdio: 'pipe',
      })
      return out.toString().includes('Signature Verified Successfully')
    } catch {
      return false
    }
  }

  test('accepts the signature of a head, and not that of an altered one or under another key', () => {
    expect(check(head, formatVkey(vkey))).toBe(true)
    expect(check(head.replace(`\n${sample.size}\n`, `\n${sample.size + 1}\n`), formatVkey(vkey))).toBe(false)
    expect(check(head, formatVkey(sample.vkey))).toBe(false)
  })

  test('accepts the example', () => {
    const { header, bytes } = readVector('example-checkpoint')
    expect(check(Buffer.from(bytes).toString(), header.get('vkey') ?? '')).toBe(true)
  })

  test('computes the hash of a record', () => {
    const { bytes } = readVector('example-leaf-3')
    const digest = execFileSync('openssl', ['dgst', '-sha256', '-binary'], {
      input: Buffer.concat([Buffer.of(0), bytes]),
    })
    expect(digest.equals(leafHash(bytes))).toBe(true)
  })
})

describe('@sigstore/verify', () => {
  const authority = {
    baseURL: `https://${vkey.name}`,
    publicKey: createPublicKey({
      key: Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), vkey.publicKey]),
      format: 'der',
      type: 'spki',
    }),
    logID: Buffer.from(vkey.id, 'hex'),
    validFor: { start: new Date(0), end: new Date(8e15) },
  }

  function check(leaf: string, proof: string): boolean {
    const { index, hashes, note } = parseTlogProof(proof)
    const inclusionProof = {
      logIndex: String(index),
      treeSize: String(sample.size),
      hashes: hashes.map((item) => Buffer.from(item)),
      rootHash: Buffer.alloc(0),
      checkpoint: { envelope: note },
    }
    const entry = { canonicalizedBody: Buffer.from(leaf), inclusionProof } as never
    try {
      merkle.verifyMerkleInclusion(entry, checkpoints.verifyCheckpoint(entry, [authority]))
      return true
    } catch {
      return false
    }
  }

  test('accepts our proofs, and no altered leaf, place or checkpoint', () => {
    for (const index of [0, 1, 100, 255, 256, sample.size - 1]) {
      const { leaf, proof } = proveRecord(new MemorySource(rows), index, { payloads: false })
      expect(check(leaf, proof)).toBe(true)
      expect(check(leaf.replace('"v":1', '"v":2'), proof)).toBe(false)
      expect(check(leaf, proof.replace(`index ${index}\n`, `index ${index ^ 1}\n`))).toBe(false)
      expect(check(leaf, proof.replace(`\n${sample.size}\n`, `\n${sample.size - 1}\n`))).toBe(false)
    }
  })
})
