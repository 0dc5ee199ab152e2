import { createPrivateKey, generateKeyPairSync, sign } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  CheckpointError,
  formatVkey,
  keyId,
  makeSigner,
  makeVkey,
  parseCheckpoint,
  parseNote,
  parseVkey,
  type Signer,
  signCheckpoint,
  signersOf,
  signNote,
  verifyNote,
} from '../../../src/book/checkpoint.ts'
import { EMPTY_ROOT } from '../../../src/book/tree.ts'
import { readForeignVectors, readVector } from '../../support/book-vectors.ts'

function signer(name: string, seed: Uint8Array): Signer {
  const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed])
  return makeSigner(name, createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }))
}

const codeOf = (act: () => unknown): string => {
  try {
    act()
    return 'accepted'
  } catch (error) {
    if (error instanceof CheckpointError) return error.code
    throw error
  }
}

// RFC 8032, section 7.1, test 1.
const seed = Buffer.from('9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60', 'hex')

describe('published values', () => {
  test('Ed25519', () => {
    expect(sign(null, new Uint8Array(0), signer('x', seed).privateKey).toString('hex')).toBe(
      'e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b',
    )
  })

  test('the signed note of C2SP', () => {
    // github.com/C2SP/C2SP, signed-note.md (CC BY 4.0).
    const vkey = parseVkey('example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k')
    const note =
      'This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n'
    expect(verifyNote(parseNote(note), [vkey])).toEqual([vkey])
    expect(codeOf(() => verifyNote(parseNote(note.replace('an ', 'no ')), [vkey]))).toBe('signature')
  })

  test('the signed note of Go, with two signatures', () => {
    // golang.org/x/mod/sumdb/note (BSD-3-Clause); the private keys are published with it.
    const text =
      "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
    const peter = signer(
      'PeterNeumann',
      Buffer.from('AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz', 'base64').subarray(1),
    )
    const enoch = signer('EnochRoot', Buffer.alloc(32))
    expect(formatVkey(peter.vkey)).toBe('PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW')
    const note = signNote(text, [peter, enoch])
    expect(note).toBe(
      `${text}\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n` +
        '— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n',
    )
    expect(verifyNote(parseNote(note), [enoch.vkey, peter.vkey])).toEqual([peter.vkey, enoch.vkey])
  })

  const foreign = readForeignVectors('tessera-testdata.json') as { files: Record<string, string> }
  test('the checkpoints of a whole small log', () => {
    const vkey = parseVkey('example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx')
    const sizes = Object.entries(foreign.files)
      .filter(([name]) => /\/checkpoint(\.\d+)?$/.test(name))
      .map(([, body]) => {
        const checkpoint = parseCheckpoint(Buffer.from(body, 'base64'))
        expect(verifyNote(checkpoint, [vkey])).toEqual([vkey])
        return checkpoint.size
      })
    expect(new Set(sizes)).toEqual(new Set(Array.from({ length: 16 }, (_, size) => size)))
  })
})

describe('the example', () => {
  const { header, bytes } = readVector('example-checkpoint')
  const vkey = parseVkey(header.get('vkey') ?? '')

  test('is what its key signs, byte for byte', () => {
    const checkpoint = parseCheckpoint(bytes)
    const { origin, size, root } = checkpoint
    expect({ origin, size, root: Buffer.from(root).toString('base64') }).toEqual(
      JSON.parse(header.get('expect') ?? ''),
    )
    expect(signCheckpoint([signer(origin, Buffer.from(header.get('seed') ?? '', 'hex'))], checkpoint)).toBe(
      Buffer.from(bytes).toString(),
    )
    expect(verifyNote(checkpoint, [vkey])).toEqual([vkey])
    expect(formatVkey(vkey)).toBe(header.get('vkey'))
  })

  test('has no bit that could be another', () => {
    const outcomes = new Set<string>()
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const changed = Buffer.from(bytes)
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      outcomes.add(codeOf(() => verifyNote(parseCheckpoint(changed), [vkey])))
    }
    expect(outcomes).toEqual(new Set(['checkpoint', 'signature']))
  })
})

const tree = { origin: 'gw1.example/book', size: 0, root: EMPTY_ROOT }
const ours = signer(tree.origin, seed)
const { privateKey } = generateKeyPairSync('ed25519')
const stranger = makeSigner('stranger', privateKey)
const sameName = makeSigner(tree.origin, privateKey)
const good = signCheckpoint([ours], tree)

describe('signatures', () => {
  test('that are all taken away are missed', () => {
    const [text] = good.split('\n\n')
    expect(codeOf(() => verifyNote(parseCheckpoint(`${text}\n\n`), [ours.vkey]))).toBe('signature')
  })

  test('by unknown keys are ignored', () => {
    const note = parseNote(signCheckpoint([stranger, ours, sameName], tree))
    expect(signersOf(note, [ours.vkey])).toEqual([ours.vkey])
    expect(codeOf(() => verifyNote(note, [makeVkey('other', ours.vkey.publicKey)]))).toBe('signature')
  })

  test('by a known key that do not verify spoil the note, however good the others', () => {
    const [, second = ''] = signCheckpoint([ours, stranger], { ...tree, size: 1 }).split('\n\n')
    const strange = second.split('\n')[1] ?? ''
    const note = parseNote(`${good}${strange}\n`)
    expect(signersOf(note, [ours.vkey])).toEqual([ours.vkey])
    expect(codeOf(() => signersOf(note, [ours.vkey, stranger.vkey]))).toBe('signature')
  })

  test('of another length, or of another type, are not ours', () => {
    const [text, line = ''] = good.split('\n\n')
    const raw = Buffer.from(line.split(' ')[2] ?? '', 'base64')
    const signed = (bytes: Buffer) => `${text}\n\n— ${tree.origin} ${bytes.toString('base64')}\n`
    expect(codeOf(() => verifyNote(parseNote(signed(raw)), [ours.vkey]))).toBe('accepted')
    expect(codeOf(() => verifyNote(parseNote(signed(raw.subarray(0, -1))), [ours.vkey]))).toBe('signature')
    expect(codeOf(() => verifyNote(parseNote(signed(Buffer.concat([raw, Buffer.of(0)]))), [ours.vkey]))).toBe(
      'signature',
    )
  })

  test('sixteen of them, and more, are read', () => {
    const note = signCheckpoint(
      Array.from({ length: 40 }, (_, at) => makeSigner(`witness${at}`, privateKey)).concat(ours),
      tree,
    )
    expect(verifyNote(parseCheckpoint(note), [ours.vkey])).toEqual([ours.vkey])
  })
})

describe('a checkpoint is refused', () => {
  const [text = '', line = ''] = good.split('\n\n')
  const withText = (...lines: string[]) => signNote(`${lines.join('\n')}\n`, [ours])
  const root = text.split('\n')[2] ?? ''

  test.each([
    ['with an empty signature', `${text}\n\n\n`],
    ['without an empty line', `${text}\n${line}`],
    ['without its last newline', good.slice(0, -1)],
    ['with an extension line', withText(tree.origin, '0', root, 'extension')],
    ['with a line too few', withText(tree.origin, '0')],
    ['with a size of leading zeros', withText(tree.origin, '00', root)],
    ['with a negative size', withText(tree.origin, '-1', root)],
    ['with a size beyond 2^53', withText(tree.origin, '9007199254740992', root)],
    ['with a root of 31 bytes', withText(tree.origin, '0', Buffer.alloc(31).toString('base64'))],
    ['with a root of spare bits', withText(tree.origin, '0', root.replace(/.=$/, 'V='))],
    ['with a hyphen for its dash', good.replace('—', '-')],
    [
      'with spare bits in a signature',
      good.replace(/.=\n$/, (end) => `${String.fromCharCode(end.charCodeAt(0) + 1)}=\n`),
    ],
    ['with a signature of four bytes', `${text}\n\n— ${tree.origin} AAAAAA==\n`],
    ['with carriage returns', good.replaceAll('\n', '\r\n')],
    ['beyond 64 lines', good + line.repeat(64)],
    ['beyond 64 KiB', withText(`${'x'.repeat(70_000)}/book`, '0', root)],
    ['in another encoding', Buffer.from(good, 'latin1')],
    ['when it is nothing', ''],
  ])('%s', (_, note) => {
    expect(codeOf(() => parseCheckpoint(note))).toBe('checkpoint')
  })

  test('but not as it is', () => {
    expect(codeOf(() => parseCheckpoint(good))).toBe('accepted')
  })
})

test('whatever the bytes are, a note is read or refused', () => {
  const pieces = fc.constantFrom(...good.split(/(?<=\n)/), '\n', '\n\n', '— ', '+', 'A', '=', '\0', '\uFFFF')
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc.array(pieces, { maxLength: 12 }).map((parts) => Buffer.from(parts.join(''))),
  )
  fc.assert(
    fc.property(bytes, (note) => {
      expect(['accepted', 'checkpoint', 'signature']).toContain(
        codeOf(() => verifyNote(parseCheckpoint(note), [ours.vkey])),
      )
      expect(['accepted', 'checkpoint']).toContain(codeOf(() => parseVkey(Buffer.from(note).toString())))
    }),
    { numRuns: 500 },
  )
})

describe('a vkey', () => {
  const vkey = formatVkey(ours.vkey)

  test('comes back, base64 with a plus in it too', () => {
    expect(parseVkey(vkey)).toEqual(ours.vkey)
    const plus = makeVkey(tree.origin, Buffer.alloc(32, 0xfb))
    expect(formatVkey(plus)).toMatch(/\+.*\+.*\+/)
    expect(parseVkey(formatVkey(plus))).toEqual(plus)
    expect(keyId(tree.origin, ours.vkey.publicKey)).toBe('456f41ac')
  })

  test.each([
    ['another id', vkey.replace('456f41ac', '456f41ad')],
    ['a capital id', vkey.replace('456f41ac', '456F41AC')],
    ['another name', vkey.replace('gw1', 'gw2')],
    ['another type', vkey.replace('+Ad', '+Bd')],
    ['a byte too few', `${tree.origin}+456f41ac+${Buffer.alloc(32, 1).toString('base64')}`],
    ['no name', vkey.replace(tree.origin, '')],
    ['a space in its name', vkey.replace('gw1', 'gw 1')],
    ['a line end', `${vkey}\n`],
    ['nothing', ''],
  ])('with %s is refused', (_, text) => {
    expect(codeOf(() => parseVkey(text))).toBe('checkpoint')
  })
})
