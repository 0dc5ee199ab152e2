/** The vectors of the example that no other test reads, by the words of FORMAT.md, and the example as a whole. */
import { createDecipheriv, createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { parseVkey } from '../../../src/book/checkpoint.ts'
import { parseLeaf, type Ref } from '../../../src/book/format.ts'
import { formatTlogProof } from '../../../src/book/proof.ts'
import { inclusionProof, leafHash, nodeHash } from '../../../src/book/tree.ts'
import { verifyProof } from '../../../src/book/verify-proof.ts'
import { readVector, type Vector } from '../../support/book-vectors.ts'

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString()
const hex = (vector: Vector, name: string): Buffer => Buffer.from(vector.header.get(name) ?? '', 'hex')

function decrypt(vector: Vector, key: string): Buffer {
  const decipher = createDecipheriv('aes-256-gcm', hex(vector, key), hex(vector, 'nonce'))
  decipher.setAAD(Buffer.from(JSON.parse(vector.header.get('aad') ?? '') as string))
  decipher.setAuthTag(vector.bytes.subarray(-16))
  return Buffer.concat([decipher.update(vector.bytes.subarray(0, -16)), decipher.final()])
}

describe('payloads', () => {
  test.each([
    [0, 2],
    [1, 3],
  ])('%i is named by leaf %i, and opens', (i, seq) => {
    const vector = readVector(`example-payload-${i}`)
    const [ref] = parseLeaf(readVector(`example-leaf-${seq}`).bytes).ref ?? []
    const h = createHash('sha256').update(vector.bytes).digest('base64')
    expect(ref).toMatchObject({ h, i, n: vector.bytes.length } satisfies Partial<Ref>)
    const plain = decrypt(vector, 'key')
    expect(plain.equals(hex(vector, 'plaintext'))).toBe(true)
    expect({ blind: plain.subarray(0, 16), codec: plain[16] }).toEqual({
      blind: Buffer.alloc(16, 0xa0 + i),
      codec: 0,
    })
    expect({ body: text(plain.subarray(17)) }).toEqual(JSON.parse(vector.header.get('expect') ?? ''))
  })

  test('their key is the one that the session has committed to, and unwraps', () => {
    const vector = readVector('example-wrapped-key')
    const key = hex(readVector('example-payload-0'), 'key')
    const com = createHash('sha256').update('gatebook/data-key/v1\0').update(key).digest('base64')
    expect(parseLeaf(readVector('example-leaf-2').bytes).com).toBe(com)
    expect({ key: decrypt(vector, 'kek').toString('hex') }).toEqual(
      JSON.parse(vector.header.get('expect') ?? ''),
    )
    const id = createHash('sha256')
      .update('gatebook/kek/v1\0')
      .update(hex(vector, 'kek'))
      .digest('hex')
      .slice(0, 16)
    expect(vector.header.get('id')).toBe(id)
  })
})

test('the example is proven from its key to its plaintext', () => {
  const leaves = [0, 1, 2, 3, 4].map((k) => readVector(`example-leaf-${k}`).bytes)
  const { header, bytes: note } = readVector('example-checkpoint')
  const hash = (level: number, index: number): Uint8Array =>
    level === 0
      ? leafHash(leaves[index] ?? Buffer.of())
      : nodeHash(hash(level - 1, 2 * index), hash(level - 1, 2 * index + 1))
  const prove = (index: number) => ({
    leaf: text(leaves[index] ?? Buffer.of()),
    proof: formatTlogProof({ index, hashes: inclusionProof(index, 5, { hash }), note: text(note) }),
  })
  expect(prove(3).proof).toBe(text(readVector('example-proof').bytes))
  const payload = readVector('example-payload-1')
  const proof = {
    v: 1,
    ...prove(3),
    session: prove(2),
    keys: [],
    payloads: [{ i: 1, data: Buffer.from(payload.bytes).toString('base64') }],
    key: hex(payload, 'key').toString('base64'),
  }
  const report = verifyProof(JSON.stringify(proof), parseVkey(header.get('vkey') ?? ''))
  expect(report).toMatchObject({ findings: [], size: 5, record: { seq: 3 }, session: { seq: 2 } })
  expect(report.payloads.map(({ body }) => text(body ?? Buffer.of()))).toEqual(['SELECT 1'])
})
